/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Counts and emits events. Each event is counted before space in the ring buffer is reserved. So
 * for each member and kind, produced = emitted + dropped + limited holds at every moment.
 */
#ifndef SANDPIPER_EMIT_BPF_H
#define SANDPIPER_EMIT_BPF_H

#include "bpf/owner.bpf.h"

/* Atomic also on per-CPU values, because a softirq may interrupt an update of the same counter. */
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
 * Returns whether the sandbox may write `bytes` to `ring`, and charges them to its budget.
 *
 * While the ring has spare room, everything may be written and nothing is charged. That is the
 * normal case, as long as user space keeps up. Above that, each sandbox has a budget that grows
 * with time. The price of a byte doubles with each step that the ring fills up. So the ring never
 * gets full however slow the reader is, and a sandbox that writes little can still write. Events
 * over the budget are counted as limited.
 *
 * The budget is stored as the time at which it will be full again. Two CPUs that check at the same
 * moment may both use the last of it. That lets one record too many pass and changes no counter.
 *
 * A global function: the verifier checks it once and not at each call.
 */
__noinline int take_budget(__u64 sandbox, __u32 ring, __u32 bytes)
{
	struct ring_limit *limit = bpf_map_lookup_elem(&ring_limits, &ring);
	struct ring_budget *budget, full = {};
	__u64 now, cost, due, *full_at_ns, used, step;

	if (!limit || !limit->step_bytes)
		return true;
	/*
	 * Keeps clang from turning the choice into pointer arithmetic. The verifier loses the
	 * bounds of a number that was spilled to the stack.
	 */
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

/*
 * Creation and removal of cgroups are reported whatever the sandbox wrote before. There are no more
 * such events than cgroups.
 */
static __always_inline bool is_budgeted(__u16 event_kind)
{
	return event_kind != EVENT_CGROUP_CREATED && event_kind != EVENT_CGROUP_REMOVED;
}

/*
 * Counts an event as produced. Returns false, and counts it as limited, if it is over the budget.
 */
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
 * Counts an event, reserves its record and fills the header. Evaluates to NULL, and counts the
 * loss, if that fails. Macros, because bpf_ringbuf_reserve() needs a size that is constant at the
 * call.
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
 * Flag 0: the kernel wakes the reader only if it had read everything before. User space waits a
 * moment after a wake-up before it drains the ring. So a flood costs one wake-up for each drain,
 * and an idle host none.
 */
static __always_inline void submit_event(void *event)
{
	bpf_ringbuf_submit(event, 0);
}

#endif
