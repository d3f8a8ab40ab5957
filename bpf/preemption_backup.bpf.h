/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Programs on tracepoints may be preempted on newer kernels: on 7.2, not yet on 6.18. The kernel
 * leaves out a run of one that another task is in the middle of on that CPU (__bpf_trace_run(),
 * which takes it for a recursion). So there is each of those that matter twice, one behind the
 * other, and the second does what the first was kept from: where that one ran, it left a mark.
 */
#ifndef SANDPIPER_PREEMPTION_BACKUP_BPF_H
#define SANDPIPER_PREEMPTION_BACKUP_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#include "bpf/events.h"

/* There are second programs. */
const volatile __u8 cfg_preemptible = 0;

struct run_key {
	__u64 subject; /* thread id, cookie of a socket */
	__u64 kind;    /* of event */
};

/* LRU: a mark stays where the second was kept from running. Set at load: one entry where there is
 * no second one. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct run_key);
	__type(value, __u64);
} primary_runs SEC(".maps");

/* Runs of the first that were left out and that the second noticed, by kind, whoever it was: what
 * the kernel counts beyond is lost. */
__u64 recovered_runs[EVENT_KIND_COUNT] = {};

static __always_inline bool check_primary_run(bool is_backup, __u32 kind, __u64 subject,
					      __u64 instance)
{
	struct run_key key = { .subject = subject, .kind = kind };
	__u64 *primary;
	bool has_run;

	if (!is_backup) {
		bpf_map_update_elem(&primary_runs, &key, &instance, BPF_ANY);
		return false;
	}
	primary = bpf_map_lookup_elem(&primary_runs, &key);
	has_run = primary && *primary == instance;
	if (primary)
		bpf_map_delete_elem(&primary_runs, &key);
	if (!has_run)
		__sync_fetch_and_add(&recovered_runs[kind], 1);
	return has_run;
}

/*
 * True for a second program that has nothing to do. `which` of this kind: what no other has under
 * the same `whose`. To be asked before all that may differ between the two. A macro: where there is
 * no second program, none of it is worked out.
 */
#define PRIMARY_ALREADY_RAN(is_backup, kind, subject, instance) \
	(cfg_preemptible && check_primary_run(is_backup, kind, subject, instance))

#endif
