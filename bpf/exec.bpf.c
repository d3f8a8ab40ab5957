// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Processes: exec, exit, fork, and moves between cgroups.
//
// Raw tracepoints with BTF. Every way to start a program passes sched_process_exec after the kernel
// has copied path and arguments. Nothing that the program changes later changes the record.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/exec_record.bpf.h"
#include "bpf/process.bpf.h"
#include "bpf/preemption_backup.bpf.h"

static __always_inline void fill_exec(struct exec_record *record, __u32 slot,
				      struct task_struct *task, struct linux_binprm *binprm,
				      const struct sandbox_ref *ref)
{
	struct exec_event *event = &record->event;
	struct fs_struct *fs = READ_ONLY(task)->fs;
	struct path *root = __builtin_preserve_access_index(&fs->root);
	struct mm_struct *mm = READ_ONLY(task)->mm;
	struct file *exe = mm->exe_file;
	const char *filename = binprm->filename;

	fill_process(&event->process, task);
	fill_process(&event->parent, READ_ONLY(task)->real_parent);
	bpf_get_current_comm(event->comm, COMM_BYTES);
	event->pad0 = 0;
	event->netns = task_netns(task);
	enter_netns(event->netns, ref);
	record->used = 0;
	if (!append_path(record, slot, __builtin_preserve_access_index(&exe->f_path), root))
		event->header.flags |= EXEC_PATH_TRUNCATED;
	event->path_bytes = record->used;
	if (!append_path(record, slot, __builtin_preserve_access_index(&fs->pwd), root))
		event->header.flags |= EXEC_CWD_TRUNCATED;
	event->cwd_bytes = record->used - event->path_bytes;
	/* load_script() replaces interp and keeps filename, which is the path of the script. */
	event->script_bytes = 0;
	if (filename != binprm->interp) {
		event->script_bytes = append_name(record, filename);
		event->header.flags |= EXEC_SCRIPT;
	}
	append_args(record, mm->arg_start, mm->arg_end);
}

static __always_inline int on_exec(struct task_struct *task, struct linux_binprm *binprm,
				   bool is_backup)
{
	struct exec_record *record;
	struct sandbox_ref ref;
	__u32 slot = is_backup, size;

	if (PRIMARY_ALREADY_RAN(is_backup, EVENT_EXEC, task->pid, task->self_exec_id) ||
	    !find_process_owner(task, bpf_get_current_cgroup_id(), &ref))
		return 0;
	record = bpf_map_lookup_elem(&exec_records, &slot);
	if (!record) {
		if (count_event(&ref, EVENT_EXEC, RING_CRITICAL, sizeof(record->event)))
			add(&ref.counters->dropped[EVENT_EXEC], 1);
		return 0;
	}
	stamp(&record->event.header, &ref, EVENT_EXEC, 0);
	fill_exec(record, slot, task, binprm, &ref);
	size = sizeof(record->event) + record->used;
	record->event.header.size = size;
	if (!count_event(&ref, EVENT_EXEC, RING_CRITICAL, size))
		return 0;
	if (size > sizeof(record->event) + TEXT_BYTES ||
	    bpf_ringbuf_output(&critical_ring, record, size, 0))
		add(&ref.counters->dropped[EVENT_EXEC], 1);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(handle_exec, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	return on_exec(task, binprm, false);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(backup_exec, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	return on_exec(task, binprm, true);
}

static __always_inline __u32 exit_outcome(__u32 status, bool oom)
{
	if (oom)
		return EXITED_OOM;
	if (status & 0x7f) /* WTERMSIG() */
		return EXITED_SIGNAL;
	return status ? EXITED_FAILURE : EXITED_SUCCESS;
}

/* The tracepoint runs for each thread. The process ends with its last thread. */
static __always_inline int on_exit(struct task_struct *task, bool is_backup)
{
	struct signal_struct *signal = READ_ONLY(task)->signal;
	struct process_key process = {}, group;
	struct exit_event *event;
	struct sandbox_ref ref;
	__u8 one = 1;
	__u32 status;
	bool oom;

	if (PRIMARY_ALREADY_RAN(is_backup, EVENT_EXIT, task->pid, task->start_boottime) ||
	    signal->live.counter != 0 ||
	    !find_process_owner(task, bpf_get_current_cgroup_id(), &ref))
		return 0;
	fill_process(&process, task);
	group = process;
	group.tid = 0;
	/*
	 * More than one thread may see live == 0 here. The first one adds the entry and reports. A
	 * thread that comes when the others are gone already (nr_threads is 1) only looks.
	 */
	if (signal->nr_threads > 1
		    ? bpf_map_update_elem(&reported_exits, &group, &one, BPF_NOEXIST) != 0
		    : bpf_map_lookup_elem(&reported_exits, &group) != NULL)
		return 0;
	/*
	 * As wait_task_zombie(): the exit code of the group if it was set, else that of its leader.
	 */
	status = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code
						   : READ_ONLY(task)->group_leader->exit_code;
	oom = (status & 0x7f) && signal->oom_mm;
	add(&ref.counters->exits[exit_outcome(status, oom)], 1);
	event = RESERVE_CRITICAL(&ref, EVENT_EXIT, sizeof(*event));
	if (!event)
		return 0;
	event->process = process;
	event->status = status;
	event->header.flags |= oom ? EXIT_OOM : 0;
	event->pad0 = 0;
	submit_event(event);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(handle_exit, struct task_struct *task)
{
	return on_exit(task, false);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(backup_exit, struct task_struct *task)
{
	return on_exit(task, true);
}

static __always_inline int emit_process(struct sandbox_ref *ref, __u16 kind,
					struct task_struct *task)
{
	struct fork_event *event = kind == EVENT_FORK
					   ? RESERVE_CRITICAL(ref, EVENT_FORK, sizeof(*event))
					   : RESERVE_CRITICAL(ref, EVENT_ENTER, sizeof(*event));

	if (!event)
		return 0;
	fill_process(&event->process, task);
	fill_process(&event->parent, READ_ONLY(task)->real_parent);
	/* A new process has the name of its parent, which is the current task. */
	if (kind == EVENT_FORK)
		bpf_get_current_comm(event->comm, COMM_BYTES);
	else
		BPF_CORE_READ_INTO(&event->comm, task, comm);
	event->netns = task_netns(task);
	event->pad0 = 0;
	enter_netns(event->netns, ref);
	submit_event(event);
	return 0;
}

/* The cgroup of the child and not of the caller, because clone3(2) may choose another one. */
static __always_inline int on_fork(struct task_struct *child, bool is_backup)
{
	struct sandbox_ref ref;

	if (child->pid != child->tgid ||
	    PRIMARY_ALREADY_RAN(is_backup, EVENT_FORK, child->pid, child->start_boottime) ||
	    !find_process_owner(child, task_cgroup_id(child), &ref))
		return 0;
	return emit_process(&ref, EVENT_FORK, child);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(handle_fork, struct task_struct *parent, struct task_struct *child)
{
	return on_fork(child, false);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(backup_fork, struct task_struct *parent, struct task_struct *child)
{
	return on_fork(child, true);
}

/*
 * The kernel holds cgroup_mutex, so no other change of the hierarchy comes between the move and the
 * event.
 */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(handle_attach_task, struct cgroup *to, const char *path, struct task_struct *task)
{
	struct sandbox_ref ref;

	/* Ids are unique within one hierarchy only. Hierarchy 0 is cgroup v2. */
	if (READ_ONLY(to)->root->hierarchy_id != 0 ||
	    !find_cgroup_owner(READ_ONLY(to)->kn->id, &ref))
		return 0;
	return emit_process(&ref, EVENT_ENTER, task);
}
