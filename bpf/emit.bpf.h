/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Count first, then reserve: produced = in the ring + dropped, per sandbox and kind, whatever happens after. */
#ifndef SANDPIPER_EMIT_BPF_H
#define SANDPIPER_EMIT_BPF_H

#include <bpf/bpf_core_read.h>

#include "bpf/maps.bpf.h"

/* From Linux 6.2 on. */
extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym __weak;

/*
 * The same pointer for reading what it points to, and what that points to. Of one that the verifier trusts, each load of a further pointer
 * has it search the kernel's types by name, several times a millisecond: most of the time that loading the programs takes.
 */
#define to_read(pointer)                                                                                                          \
	(cfg_casts ? (typeof(pointer))bpf_rdonly_cast(pointer, bpf_core_type_id_kernel(typeof(*(pointer)))) : (pointer))

struct sandbox_ref {
	struct owner owner;
	__u64 cgroup_id;
	struct member_counters *counters;
	struct watched_cgroup *cgroup; /* NULL where the owner was found by other means */
	__u64 flags;		       /* of each event */
};

static __always_inline struct watch *get_watch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&watches, &zero);
}

/* False: nobody watches the cgroup or network namespace, which is all that an event of it costs. */
static __always_inline bool may_be_watched(__u64 id)
{
	struct watch *watch = get_watch();

	return watch && watch->counts[watch_slot(id)];
}

/* For each entry of watched_cgroups and watched_netns: before it is there, and after it was there. */
static __always_inline void count_watched(__u64 id, __u32 n)
{
	struct watch *watch = get_watch();

	if (watch)
		__sync_fetch_and_add(&watch->counts[watch_slot(id)], n);
}

static __always_inline long watch_cgroup(__u64 id, const struct watched_cgroup *cgroup)
{
	long error;

	count_watched(id, 1);
	error = bpf_map_update_elem(&watched_cgroups, &id, cgroup, BPF_NOEXIST);
	if (error)
		count_watched(id, -1);
	return error;
}

/* False when the member has ended. */
static __always_inline bool find_owner(const struct owner *owner, __u64 cgroup_id, struct sandbox_ref *ref)
{
	ref->owner = *owner;
	ref->cgroup_id = cgroup_id;
	ref->cgroup = NULL;
	ref->flags = 0;
	ref->counters = bpf_map_lookup_elem(&members, &ref->owner.member);
	return ref->counters != NULL;
}

static __always_inline bool find_sandbox(__u64 cgroup_id, struct sandbox_ref *ref)
{
	struct watched_cgroup *cgroup;

	if (!may_be_watched(cgroup_id))
		return false;
	cgroup = bpf_map_lookup_elem(&watched_cgroups, &cgroup_id);
	if (!cgroup || !find_owner(&cgroup->owner, cgroup_id, ref))
		return false;
	ref->cgroup = cgroup;
	return true;
}

static __always_inline bool is_gone(const struct owner *owner)
{
	__u64 member = owner->member;

	return bpf_map_lookup_elem(&gone_members, &member) != NULL;
}

/* Who came into a sandbox's network namespace without its cgroup, as nsenter does. */
static __always_inline bool find_by_namespace(__u32 netns, __u64 cgroup_id, struct sandbox_ref *ref)
{
	struct netns_owner *lives;

	if (!netns || netns == cfg_shared_netns[0] || netns == cfg_shared_netns[1] || !may_be_watched(netns))
		return false;
	lives = bpf_map_lookup_elem(&watched_netns, &netns);
	if (!lives || !lives->lends || is_gone(&lives->owner) || !find_owner(&lives->owner, cgroup_id, ref))
		return false;
	ref->flags = EVENT_BY_NAMESPACE;
	return true;
}

/* Per-CPU values still need the atomic: a softirq may interrupt the same counter. */
static __always_inline void add(__u64 *counter, __u64 n)
{
	__sync_fetch_and_add(counter, n);
}

static __always_inline void stamp(struct event_header *h, const struct sandbox_ref *ref, __u16 kind, __u32 size)
{
	h->kind = kind;
	h->flags = ref->flags;
	h->size = size;
	h->time_ns = bpf_ktime_get_boot_ns();
	h->member = ref->owner.member;
	h->cgroup_id = ref->cgroup_id;
}

static __always_inline void note_netns(__u32 netns, const struct owner *owner)
{
	struct netns_owner lives = { .owner = *owner }, *before = bpf_map_lookup_elem(&watched_netns, &netns);

	if (before) {
		if (is_gone(&before->owner))
			bpf_map_update_elem(&watched_netns, &netns, &lives, BPF_EXIST);
		return;
	}
	count_watched(netns, 1);
	if (bpf_map_update_elem(&watched_netns, &netns, &lives, BPF_NOEXIST))
		count_watched(netns, -1);
}

/* The sandbox lives in this network namespace, unless another one does that came before. */
static __always_inline void enter_netns(__u32 netns, const struct sandbox_ref *ref)
{
	struct watched_cgroup *cgroup = ref->cgroup;
	struct watch *watch = get_watch();
	__u64 noted;

	if (!netns || !watch)
		return;
	noted = (__u64)watch->netns_changes << 32 | netns;
	if (cgroup && cgroup->noted == noted)
		return;
	note_netns(netns, &ref->owner);
	if (cgroup)
		cgroup->noted = noted;
}

/*
 * Who may write into a ring: everybody while it has room to spare, which it has as long as user space keeps up. Then each sandbox has a
 * budget that grows with time, and a byte costs twice as much with each step that the ring fills up: so that it does not, however slow the
 * reader is, and who writes little pays what it costs. What a sandbox cannot pay is counted and not told, and its neighbours find room.
 * The budget is kept as the time at which it would be whole again.
 * CPUs that look at the same moment may each take the last of it, which lets a record too many through and changes no count. Not static:
 * the verifier looks at such a function once, and not at each call again.
 */
__noinline int may_write(__u64 sandbox, __u32 ring, __u32 bytes)
{
	struct ring_limit *limit = bpf_map_lookup_elem(&ring_limits, &ring);
	struct ring_budget *budget, whole = {};
	__u64 now, cost, due, *whole_ns, used, step;

	if (!limit || !limit->step_bytes)
		return true;
	/* A choice and no arithmetic: the verifier does not remember the bound of a number that was on the stack. */
	asm volatile("" : "+r"(ring));
	used = ring == RING_bulk ? bpf_ringbuf_query(&bulk_ring, BPF_RB_AVAIL_DATA) : bpf_ringbuf_query(&critical_ring, BPF_RB_AVAIL_DATA);
	if (used + bytes <= limit->spare_bytes)
		return true;
	step = (used + bytes - limit->spare_bytes) / limit->step_bytes;
	if (step >= RING_STEPS)
		step = RING_STEPS - 1;
	now = bpf_ktime_get_boot_ns();
	cost = bytes * limit->ns_per_byte << step;
	budget = bpf_map_lookup_elem(&ring_budgets, &sandbox);
	if (!budget) {
		bpf_map_update_elem(&ring_budgets, &sandbox, &whole, BPF_NOEXIST);
		budget = bpf_map_lookup_elem(&ring_budgets, &sandbox);
		if (!budget)
			return true;
	}
	asm volatile("" : "+r"(ring));
	whole_ns = ring == RING_bulk ? &budget->whole_ns[RING_bulk] : &budget->whole_ns[RING_critical];
	due = *(volatile __u64 *)whole_ns;
	if (due + cost > now + limit->burst_ns)
		return false;
	if (due < now)
		*(volatile __u64 *)whole_ns = now + cost;
	else
		add(whole_ns, cost);
	return true;
}

/* The end of a sandbox is told however much it produced before: there are no more of those than of cgroups. */
#define has_budget(event_kind) ((event_kind) != EVENT_CGROUP_MADE && (event_kind) != EVENT_CGROUP_GONE)

/* False after counting that the sandbox has no share of the ring left for it. */
static __always_inline bool count_event(struct sandbox_ref *ref, __u16 event_kind, __u32 ring, __u32 bytes)
{
	add(&ref->counters->produced[event_kind], 1);
	if (!has_budget(event_kind) || may_write(ref->owner.sandbox, ring, bytes))
		return true;
	add(&ref->counters->limited[event_kind], 1);
	return false;
}

/*
 * `ring` is critical or bulk. A macro, since a reservation needs a size that is constant at the call. NULL after counting the loss.
 */
#define reserve_event(ring, ref, event_kind, bytes)                             \
	({                                                                      \
		struct event_header *_header = NULL;                            \
		if (count_event(ref, event_kind, RING_##ring, bytes)) {         \
			_header = bpf_ringbuf_reserve(&ring##_ring, bytes, 0);  \
			if (_header)                                            \
				stamp(_header, ref, event_kind, bytes);         \
			else                                                    \
				add(&(ref)->counters->dropped[event_kind], 1);  \
		}                                                               \
		(void *)_header;                                                \
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
