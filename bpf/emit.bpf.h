/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Count first, then reserve: produced = in the ring + dropped, per sandbox and kind, whatever
 * happens after. */
#ifndef SANDPIPER_EMIT_BPF_H
#define SANDPIPER_EMIT_BPF_H

#include "bpf/owner.bpf.h"

/* Per-CPU values still need the atomic: a softirq may interrupt the same counter. */
static __always_inline void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

static __always_inline void stamp(struct event_header *h, const struct sandbox_ref *ref, __u16 kind,
				  __u32 size)
{
	h->kind = kind;
	h->flags = ref->flags;
	h->size = size;
	h->time_ns = bpf_ktime_get_boot_ns();
	h->member = ref->owner.member;
	h->cgroup_id = ref->cgroup_id;
}

/*
 * Who may write into a ring: everybody while it has room to spare, which it has as long as user
 * space keeps up. Then each sandbox has a budget that grows with time, and a byte costs twice as
 * much with each step that the ring fills up: so that it does not, however slow the reader is, and
 * who writes little pays what it costs. What a sandbox cannot pay is counted and not told, and its
 * neighbours find room. The budget is kept as the time at which it would be whole again. CPUs that
 * look at the same moment may each take the last of it, which lets a record too many through and
 * changes no count. Not static: the verifier looks at such a function once, and not at each call
 * again.
 */
__noinline int take_budget(__u64 sandbox, __u32 ring, __u32 bytes)
{
	struct ring_limit *limit = bpf_map_lookup_elem(&ring_limits, &ring);
	struct ring_budget *budget, full = {};
	__u64 now, cost, due, *full_at_ns, used, step;

	if (!limit || !limit->step_bytes)
		return true;
	/* A choice and no arithmetic: the verifier does not remember the bound of a number that was
	 * on the stack. */
	asm volatile("" : "+r"(ring));
	used = ring == RING_BULK ? bpf_ringbuf_query(&bulk_ring, BPF_RB_AVAIL_DATA)
				 : bpf_ringbuf_query(&critical_ring, BPF_RB_AVAIL_DATA);
	if (used + bytes <= limit->spare_bytes)
		return true;
	step = (used + bytes - limit->spare_bytes) / limit->step_bytes;
	if (step >= RING_STEPS)
		step = RING_STEPS - 1;
	now = bpf_ktime_get_boot_ns();
	cost = bytes * limit->ns_per_byte << step;
	budget = bpf_map_lookup_elem(&ring_budgets, &sandbox);
	if (!budget) {
		bpf_map_update_elem(&ring_budgets, &sandbox, &full, BPF_NOEXIST);
		budget = bpf_map_lookup_elem(&ring_budgets, &sandbox);
		if (!budget)
			return true;
	}
	asm volatile("" : "+r"(ring));
	full_at_ns = ring == RING_BULK ? &budget->full_at_ns[RING_BULK]
				       : &budget->full_at_ns[RING_CRITICAL];
	due = *(volatile __u64 *)full_at_ns;
	if (due + cost > now + limit->burst_ns)
		return false;
	if (due < now)
		*(volatile __u64 *)full_at_ns = now + cost;
	else
		add(full_at_ns, cost);
	return true;
}

/* The end of a sandbox is told however much it produced before: there are no more of those than of
 * cgroups. */
static __always_inline bool is_budgeted(__u16 event_kind)
{
	return event_kind != EVENT_CGROUP_CREATED && event_kind != EVENT_CGROUP_REMOVED;
}

/* False after counting that the sandbox has no share of the ring left for it. */
static __always_inline bool count_event(struct sandbox_ref *ref, __u16 event_kind, __u32 ring,
					__u32 bytes)
{
	add(&ref->counters->produced[event_kind], 1);
	if (!is_budgeted(event_kind) || take_budget(ref->owner.sandbox, ring, bytes))
		return true;
	add(&ref->counters->limited[event_kind], 1);
	return false;
}

/*
 * `ring` is critical or bulk. A macro, since a reservation needs a size that is constant at the
 * call. NULL after counting the loss.
 */
#define RESERVE_EVENT(ring_map, ring, ref, event_kind, bytes)                  \
	({                                                                     \
		struct event_header *_header = NULL;                           \
		if (count_event(ref, event_kind, ring, bytes)) {               \
			_header = bpf_ringbuf_reserve(ring_map, bytes, 0);     \
			if (_header)                                           \
				stamp(_header, ref, event_kind, bytes);        \
			else                                                   \
				add(&(ref)->counters->dropped[event_kind], 1); \
		}                                                              \
		(void *)_header;                                               \
	})
#define RESERVE_CRITICAL(ref, event_kind, bytes) \
	RESERVE_EVENT(&critical_ring, RING_CRITICAL, ref, event_kind, bytes)
#define RESERVE_BULK(ref, event_kind, bytes) \
	RESERVE_EVENT(&bulk_ring, RING_BULK, ref, event_kind, bytes)

/*
 * Flag 0 lets the kernel wake the reader only when it had caught up: user space waits a moment
 * after a wake-up before it drains, so a flood costs one wake-up a drain and an idle host none.
 */
static __always_inline void submit_event(void *event)
{
	bpf_ringbuf_submit(event, 0);
}

#endif
