/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Finds the owner of an event: by its cgroup, else by its network namespace. */
#ifndef SANDPIPER_OWNER_BPF_H
#define SANDPIPER_OWNER_BPF_H

#include "bpf/maps.bpf.h"

struct sandbox_ref {
	struct owner owner;
	__u64 cgroup_id;
	struct member_counters *counters;
	struct watched_cgroup *cgroup; /* NULL if the owner was not found by a watched cgroup */
	__u64 flags;		       /* EVENT_BY_…, copied to each event */
};

static __always_inline struct watch *get_watch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&watches, &zero);
}

/*
 * The fast path: one array lookup. False if no watched cgroup or network namespace has this id, or
 * one with the same slot.
 */
static __always_inline bool may_be_watched(__u64 id)
{
	struct watch *watch = get_watch();

	return watch && watch->counts[watch_slot(id)];
}

/*
 * Keeps watch.counts in step with watched_cgroups and watched_netns. Call with 1 before an entry is
 * added and with -1 after it was removed. Then a count is never too low.
 */
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

/* Fills `ref` for a known owner. False if the member was removed. */
static __always_inline bool init_ref(const struct owner *owner, __u64 cgroup_id,
				     struct sandbox_ref *ref)
{
	ref->owner = *owner;
	ref->cgroup_id = cgroup_id;
	ref->cgroup = NULL;
	ref->flags = 0;
	ref->counters = bpf_map_lookup_elem(&members, &ref->owner.member);
	return ref->counters != NULL;
}

static __always_inline bool find_cgroup_owner(__u64 cgroup_id, struct sandbox_ref *ref)
{
	struct watched_cgroup *cgroup;

	if (!may_be_watched(cgroup_id))
		return false;
	cgroup = bpf_map_lookup_elem(&watched_cgroups, &cgroup_id);
	if (!cgroup || !init_ref(&cgroup->owner, cgroup_id, ref))
		return false;
	ref->cgroup = cgroup;
	return true;
}

static __always_inline bool has_ended(const struct owner *owner)
{
	__u64 member = owner->member;

	return bpf_map_lookup_elem(&ended_members, &member) != NULL;
}

/*
 * The owner by network namespace: for processes that entered the namespace of a sandbox but not its
 * cgroup, as nsenter(1) does.
 */
static __always_inline bool find_netns_owner(__u32 netns, __u64 cgroup_id, struct sandbox_ref *ref)
{
	struct netns_owner *resident;

	if (!netns || netns == cfg_shared_netns[0] || netns == cfg_shared_netns[1] ||
	    !may_be_watched(netns))
		return false;
	resident = bpf_map_lookup_elem(&watched_netns, &netns);
	if (!resident || !resident->claims_unwatched || has_ended(&resident->owner) ||
	    !init_ref(&resident->owner, cgroup_id, ref))
		return false;
	ref->flags = EVENT_BY_NAMESPACE;
	return true;
}

static __always_inline void note_netns(__u32 netns, const struct owner *owner)
{
	struct netns_owner entry = { .owner = *owner };
	struct netns_owner *before = bpf_map_lookup_elem(&watched_netns, &netns);

	if (before) {
		if (has_ended(&before->owner))
			bpf_map_update_elem(&watched_netns, &netns, &entry, BPF_EXIST);
		return;
	}
	count_watched(netns, 1);
	if (bpf_map_update_elem(&watched_netns, &netns, &entry, BPF_NOEXIST))
		count_watched(netns, -1);
}

/*
 * Records that the network namespace belongs to the owner of `ref`, unless it has an owner already.
 * watched_cgroup.noted_netns spares the map lookup for all but the first process of a cgroup.
 */
static __always_inline void enter_netns(__u32 netns, const struct sandbox_ref *ref)
{
	struct watched_cgroup *cgroup = ref->cgroup;
	struct watch *watch = get_watch();
	__u64 noted;

	if (!netns || !watch)
		return;
	noted = (__u64)watch->netns_changes << 32 | netns;
	if (cgroup && cgroup->noted_netns == noted)
		return;
	note_netns(netns, &ref->owner);
	if (cgroup)
		cgroup->noted_netns = noted;
}

#endif
