/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Count first, then reserve: produced = in the ring + dropped, per sandbox and kind, whatever happens after. */
#ifndef SANDPIPER_EMIT_BPF_H
#define SANDPIPER_EMIT_BPF_H

#include "bpf/maps.bpf.h"

struct sandbox_ref {
	__u64 tag;
	__u64 serial;
	__u64 cgroup_id;
	struct sandbox_counters *counters;
};

static __always_inline bool find_tagged(__u64 tag, __u64 cgroup_id, struct sandbox_ref *ref)
{
	ref->tag = tag;
	ref->serial = serial_of(tag);
	ref->cgroup_id = cgroup_id;
	ref->counters = bpf_map_lookup_elem(&sandboxes, &ref->serial);
	return ref->counters != NULL;
}

/* False for a cgroup that nobody watches: one failed look-up is all it costs. */
static __always_inline bool find_sandbox(__u64 cgroup_id, struct sandbox_ref *ref)
{
	__u64 *tag = bpf_map_lookup_elem(&watched_cgroups, &cgroup_id);

	return tag && find_tagged(*tag, cgroup_id, ref);
}

/* Per-CPU values still need the atomic: a softirq may interrupt the same counter. */
static __always_inline void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

static __always_inline void stamp(struct event_header *h, const struct sandbox_ref *ref, __u16 kind, __u32 size)
{
	h->kind = kind;
	h->flags = 0;
	h->size = size;
	h->time_ns = bpf_ktime_get_boot_ns();
	h->sandbox = ref->tag;
	h->cgroup_id = ref->cgroup_id;
}

/* The sandbox lives in this network namespace, unless another one did before. */
static __always_inline void enter_netns(__u32 netns, __u64 tag)
{
	if (netns && !bpf_map_lookup_elem(&watched_netns, &netns))
		bpf_map_update_elem(&watched_netns, &netns, &tag, BPF_NOEXIST);
}

/* A macro, since a reservation needs a size that is constant at the call. NULL after counting the loss. */
#define reserve_event(ring, ref, event_kind, bytes)                    \
	({                                                             \
		struct event_header *_header;                          \
		add(&(ref)->counters->produced[event_kind], 1);        \
		_header = bpf_ringbuf_reserve(ring, bytes, 0);         \
		if (_header)                                           \
			stamp(_header, ref, event_kind, bytes);        \
		else                                                   \
			add(&(ref)->counters->dropped[event_kind], 1); \
		(void *)_header;                                       \
	})

/*
 * Flag 0 lets the kernel wake the reader only when it had caught up: user space waits a moment after a wake-up before it drains, so a
 * flood costs one wake-up a drain and an idle host none.
 */
static __always_inline void submit_event(void *event)
{
	bpf_ringbuf_submit(event, 0);
}

#endif
