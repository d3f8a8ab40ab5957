// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Keeps watched_cgroups complete below each watched cgroup. cgroup_mkdir runs before the new directory can be entered, so that a child
// cgroup is known before its first process; cgroup_release runs when the last socket of the cgroup is gone too.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/maps.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(handle_cgroup_mkdir, struct cgroup *cgroup)
{
	struct cgroup *parent = (struct cgroup *)BPF_CORE_READ(cgroup, self.parent);
	__u64 parent_id, id, *tag, serial;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) != 0)
		return 0;
	parent_id = BPF_CORE_READ(parent, kn, id);
	tag = bpf_map_lookup_elem(&watched_cgroups, &parent_id);
	if (!tag)
		return 0;
	id = BPF_CORE_READ(cgroup, kn, id);
	if (bpf_map_update_elem(&watched_cgroups, &id, tag, BPF_NOEXIST)) {
		struct sandbox_counters *counters;

		serial = serial_of(*tag);
		counters = bpf_map_lookup_elem(&sandboxes, &serial);
		if (counters)
			__sync_fetch_and_add(&counters->storage_failed, 1);
	}
	return 0;
}

SEC("tp_btf/cgroup_release")
int BPF_PROG(handle_cgroup_release, struct cgroup *cgroup)
{
	__u64 id = BPF_CORE_READ(cgroup, kn, id);

	if (BPF_CORE_READ(cgroup, root, hierarchy_id) == 0)
		bpf_map_delete_elem(&watched_cgroups, &id);
	return 0;
}
