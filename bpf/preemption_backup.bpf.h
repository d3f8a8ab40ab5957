/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Recovers events that the kernel's recursion guard would lose.
 *
 * On newer kernels (7.2, not yet 6.18) a BPF program on a tracepoint can be preempted. If another
 * task hits the same tracepoint on that CPU meanwhile, __bpf_trace_run() takes it for a recursion
 * and skips the program. Each program with events that must not be lost is therefore attached
 * twice: as handle_X and, after it, as backup_X. The backup handles the event only if the primary
 * was skipped. It detects that by a missing entry in `primary_runs`.
 */
#ifndef SANDPIPER_PREEMPTION_BACKUP_BPF_H
#define SANDPIPER_PREEMPTION_BACKUP_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_helpers.h>

#include "bpf/events.h"

/* Set at load: tracepoint programs can be preempted, and the backups are attached. */
const volatile __u8 cfg_preemptible = 0;

struct run_key {
	__u64 subject; /* thread id, or cookie of a socket */
	__u64 kind;    /* enum event_kind */
};

/*
 * Value: the instance that the primary handled, see below. An LRU, because an entry stays if the
 * backup is skipped. Size set at load: one entry without backups.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct run_key);
	__type(value, __u64);
} primary_runs SEC(".maps");

/*
 * Skipped runs of a primary that its backup recovered, by event kind, for watched and unwatched
 * subjects. User space subtracts them from the skipped runs that the kernel counts.
 */
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
 * True in a backup if its primary has run. `subject` is the thread or socket of the event.
 * `instance` differs between events of the same kind and subject. Call it before any code that may
 * behave differently in the two programs. A macro, so that the arguments are not evaluated without
 * backups.
 */
#define PRIMARY_ALREADY_RAN(is_backup, kind, subject, instance) \
	(cfg_preemptible && check_primary_run(is_backup, kind, subject, instance))

#endif
