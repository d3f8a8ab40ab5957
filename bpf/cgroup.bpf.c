// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Creation and removal of cgroups.
//
// cgroup_mkdir runs before the new directory can be entered. So a cgroup is watched before its
// first process. A child of a watched cgroup gets the owner of its parent. A sandbox candidate is
// watched until user space decides about it. A member ends when its top cgroup is removed
// (cgroup_rmdir). cgroup_release runs when the last socket of the cgroup was closed, too: only then
// is the cgroup unwatched.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/emit.bpf.h"

#define NAME_BYTES 128
#define CONTAINER_ID_DIGITS 64

static const struct member_counters no_counts = {};

/*
 * New candidates that user space got no event for, because a map or the ring was full. When the
 * number grows, user space reads the cgroup file system instead.
 */
__u64 new_cgroups_dropped = 0;

static const __u8 is_hex[256] = {
	['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
	['8'] = 1, ['9'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1,
};

/*
 * True if the name has 64 hexadecimal digits in a row. `run` counts the digits in a row and is at
 * most 128, so bit 6 of it is set from 64 on. There is no branch in the loop, because the verifier
 * would follow each of 2^128 combinations.
 */
static __always_inline bool has_container_id(const char *name)
{
	__u32 run = 0;
	__u32 seen = 0;

	for (int i = 0; i < NAME_BYTES; i++) {
		run = (run + 1) * is_hex[(__u8)name[i]];
		seen |= run;
	}
	return seen & CONTAINER_ID_DIGITS;
}

static __always_inline bool is_sandbox_candidate(struct cgroup *cgroup)
{
	struct name_prefix prefix = { .bits = CGROUP_NAME_PREFIX * 8 };
	const char *kernel_name = BPF_CORE_READ(cgroup, kn, name);
	char name[NAME_BYTES] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), kernel_name);
	if (cfg_discover_containers && has_container_id(name))
		return true;
	__builtin_memcpy(prefix.name, name, CGROUP_NAME_PREFIX);
	return bpf_map_lookup_elem(&cgroup_names, &prefix) != NULL;
}

/*
 * Watches a candidate under a new member. Cgroups are created one at a time, under cgroup_mutex, so
 * that the time is a unique number.
 */
static __always_inline void watch_candidate(struct cgroup *cgroup, __u64 id, const char *path)
{
	struct watched_cgroup watched = { .owner.member = 1ULL << MEMBER_CANDIDATE_BIT |
							  bpf_ktime_get_boot_ns() };
	struct cgroup_event *event;
	struct sandbox_ref ref;
	long n;

	watched.owner.sandbox = watched.owner.member;
	if (bpf_map_update_elem(&members, &watched.owner.member, &no_counts, BPF_NOEXIST) ||
	    !init_ref(&watched.owner, id, &ref)) {
		__sync_fetch_and_add(&new_cgroups_dropped, 1);
		return;
	}
	event = RESERVE_CRITICAL(&ref, EVENT_CGROUP_CREATED, sizeof(*event));
	if (!event || watch_cgroup(id, &watched)) {
		__sync_fetch_and_add(&new_cgroups_dropped, 1);
		bpf_map_delete_elem(&members, &watched.owner.member);
		if (event)
			bpf_ringbuf_discard(event, 0);
		return;
	}
	n = bpf_probe_read_kernel_str(event->path, CGROUP_PATH_BYTES, path);
	event->path_bytes = n > 0 ? n - 1 : 0;
	event->pad0 = 0;
	submit_event(event);
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(handle_cgroup_mkdir, struct cgroup *cgroup, const char *path)
{
	struct cgroup *parent = (struct cgroup *)BPF_CORE_READ(cgroup, self.parent);
	struct member_counters *counters;
	struct watched_cgroup *above;
	__u64 parent_id, id;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0)
		return 0;
	parent_id = BPF_CORE_READ(parent, kn, id);
	id = BPF_CORE_READ(cgroup, kn, id);
	above = bpf_map_lookup_elem(&watched_cgroups, &parent_id);
	if (!above) {
		if (cfg_discover && is_sandbox_candidate(cgroup))
			watch_candidate(cgroup, id, path);
		return 0;
	}
	if (watch_cgroup(id, above)) {
		counters = bpf_map_lookup_elem(&members, &above->owner.member);
		if (counters)
			add(&counters->storage_failed, 1);
	}
	return 0;
}

/* After this, the network namespaces of the member may get another owner. */
static __always_inline void end_member(__u64 member)
{
	struct watch *watch = get_watch();
	__u8 yes = 1;

	bpf_map_update_elem(&ended_members, &member, &yes, BPF_ANY);
	if (watch)
		__sync_fetch_and_add(&watch->netns_changes, 1);
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(handle_cgroup_rmdir, struct cgroup *cgroup)
{
	struct cgroup *parent = (struct cgroup *)BPF_CORE_READ(cgroup, self.parent);
	__u64 parent_id = BPF_CORE_READ(parent, kn, id);
	struct watched_cgroup *above;
	struct event_header *event;
	struct sandbox_ref ref;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0 ||
	    !find_cgroup_owner(BPF_CORE_READ(cgroup, kn, id), &ref))
		return 0;
	above = bpf_map_lookup_elem(&watched_cgroups, &parent_id);
	if (!above || above->owner.member != ref.owner.member)
		end_member(ref.owner.member);
	event = RESERVE_CRITICAL(&ref, EVENT_CGROUP_REMOVED, sizeof(*event));
	if (event)
		submit_event(event);
	return 0;
}

SEC("tp_btf/cgroup_release")
int BPF_PROG(handle_cgroup_release, struct cgroup *cgroup)
{
	__u64 id = BPF_CORE_READ(cgroup, kn, id);

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) == 0 &&
	    !bpf_map_delete_elem(&watched_cgroups, &id))
		count_watched(id, -1);
	return 0;
}
