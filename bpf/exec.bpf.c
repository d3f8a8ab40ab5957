// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// What ran: exec, exit, fork. Raw tracepoints with BTF: every way to start a program passes sched_process_exec after the kernel has
// copied path and arguments, so that nothing a program rewrites afterwards changes what is recorded.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/process.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

static __always_inline void fill_exec(struct exec_event *event, struct task_struct *task, struct linux_binprm *binprm, __u32 args_bytes,
				      const struct owner *owner)
{
	struct fs_struct *fs = task->fs;
	struct path *root = __builtin_preserve_access_index(&fs->root);
	struct file *exe = task->mm->exe_file;
	const char *filename = binprm->filename;
	long n;

	fill_process(&event->process, task);
	fill_process(&event->parent, task->real_parent);
	bpf_get_current_comm(event->comm, COMM_BYTES);
	event->pad0 = 0;
	event->netns = task_netns(task);
	enter_netns(event->netns, owner);
	event->args_bytes = args_bytes;
	if (!read_path(event->path, &event->path_bytes, __builtin_preserve_access_index(&exe->f_path), root))
		event->header.flags |= EXEC_PATH_TRUNCATED;
	if (!read_path(event->cwd, &event->cwd_bytes, __builtin_preserve_access_index(&fs->pwd), root))
		event->header.flags |= EXEC_CWD_TRUNCATED;
	/* load_script() replaces interp and keeps filename, which names the script. */
	event->script_bytes = 0;
	if (filename != binprm->interp) {
		n = bpf_probe_read_kernel_str(event->script, SCRIPT_BYTES, filename);
		event->script_bytes = n > 0 ? n - 1 : 0;
		event->header.flags |= EXEC_SCRIPT;
	}
}

/* The bound stands beside the read: older verifiers lose what was known of a number that was away on the stack. */
static __always_inline void read_args(struct exec_event *event, unsigned long start, __u32 bytes, __u32 room)
{
	asm volatile("" : "+r"(bytes));
	if (bytes > room)
		return;
	if (bpf_probe_read_user(event->args, bytes, (void *)start))
		event->header.flags |= EXEC_ARGS_UNREADABLE;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(handle_exec, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	struct exec_event *event;
	struct sandbox_ref ref;
	unsigned long start, bytes;

	if (!find_process(task, bpf_get_current_cgroup_id(), &ref))
		return 0;
	start = task->mm->arg_start;
	bytes = task->mm->arg_end - start;
	if (bytes <= ARGS_SMALL) {
		event = reserve_event(critical, &ref, EVENT_EXEC, sizeof(*event) + ARGS_SMALL);
		if (!event)
			return 0;
		fill_exec(event, task, binprm, bytes, &ref.owner);
		read_args(event, start, bytes, ARGS_SMALL);
		submit_event(event);
		return 0;
	}
	event = reserve_event(critical, &ref, EVENT_EXEC, sizeof(*event) + ARGS_MAX);
	if (!event)
		return 0;
	fill_exec(event, task, binprm, bytes > ARGS_MAX ? ARGS_MAX : bytes, &ref.owner);
	if (bytes > ARGS_MAX) {
		event->header.flags |= EXEC_ARGS_TRUNCATED;
		bytes = ARGS_MAX;
	}
	read_args(event, start, bytes, ARGS_MAX);
	submit_event(event);
	return 0;
}

static __always_inline __u32 how_it_ended(__u32 status, bool oom)
{
	if (oom)
		return EXITED_OOM;
	if (status & 0x7f) /* WTERMSIG */
		return EXITED_SIGNAL;
	return status ? EXITED_FAILURE : EXITED_SUCCESS;
}

/* Fires for each thread; the process ends with the last one. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(handle_exit, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct process_key process = {}, once;
	struct exit_event *event;
	struct sandbox_ref ref;
	__u8 one = 1;
	__u32 status;
	bool oom;

	if (signal->live.counter != 0 || !find_process(task, bpf_get_current_cgroup_id(), &ref))
		return 0;
	fill_process(&process, task);
	once = process;
	once.tid = 0;
	/* The last thread may come here when the one that reported is gone already: then it is alone, and must look all the same. */
	if (signal->nr_threads > 1 ? bpf_map_update_elem(&reported_exits, &once, &one, BPF_NOEXIST) != 0
				   : bpf_map_lookup_elem(&reported_exits, &once) != NULL)
		return 0;
	/* wait_task_zombie(): the group's code where one was set, else the leader's own. */
	status = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : task->group_leader->exit_code;
	oom = (status & 0x7f) && signal->oom_mm;
	add(&ref.counters->exits[how_it_ended(status, oom)], 1);
	event = reserve_event(critical, &ref, EVENT_EXIT, sizeof(*event));
	if (!event)
		return 0;
	event->process = process;
	event->status = status;
	event->header.flags |= oom ? EXIT_OOM : 0;
	event->pad0 = 0;
	submit_event(event);
	return 0;
}

static __always_inline int emit_process(struct sandbox_ref *ref, __u16 kind, struct task_struct *task)
{
	struct fork_event *event = kind == EVENT_FORK ? reserve_event(critical, ref, EVENT_FORK, sizeof(*event))
						      : reserve_event(critical, ref, EVENT_ENTER, sizeof(*event));

	if (!event)
		return 0;
	fill_process(&event->process, task);
	fill_process(&event->parent, task->real_parent);
	/* A child has its parent's, which calls. */
	if (kind == EVENT_FORK)
		bpf_get_current_comm(event->comm, COMM_BYTES);
	else
		BPF_CORE_READ_INTO(&event->comm, task, comm);
	event->netns = task_netns(task);
	event->pad0 = 0;
	enter_netns(event->netns, &ref->owner);
	submit_event(event);
	return 0;
}

/* The child's cgroup, not the caller's: clone3 may place it elsewhere. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(handle_fork, struct task_struct *parent, struct task_struct *child)
{
	struct sandbox_ref ref;

	if (child->pid != child->tgid)
		return 0;
	if (!find_process(child, task_cgroup_id(child), &ref))
		return 0;
	return emit_process(&ref, EVENT_FORK, child);
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(handle_attach_task, struct cgroup *to, const char *path, struct task_struct *task)
{
	struct sandbox_ref ref;

	/* Ids are unique within one hierarchy only; 0 is cgroup v2. */
	if (to->root->hierarchy_id != 0 || !find_sandbox(to->kn->id, &ref))
		return 0;
	return emit_process(&ref, EVENT_ENTER, task);
}
