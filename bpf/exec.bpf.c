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

/* Put together where its length need not be known beforehand. Programs stay on their CPU, and none interrupts itself. */
struct exec_record {
	struct exec_event event;
	char args[ARGS_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_record);
} exec_records SEC(".maps");

/* `last` is the length less one: checked from above alone, it has a bound from both sides that every verifier follows, also beside the call. */
static __always_inline void read_args(struct exec_record *record, unsigned long start, __u32 last)
{
	asm volatile("" : "+r"(last));
	if (last >= ARGS_MAX)
		return;
	if (bpf_probe_read_user(record->args, last + 1, (void *)start))
		record->event.header.flags |= EXEC_ARGS_UNREADABLE;
}

static __always_inline void send_exec(struct sandbox_ref *ref, struct exec_record *record)
{
	__u32 size = record->event.header.size;

	if (size > sizeof(*record) || bpf_ringbuf_output(&critical_ring, record, size, 0))
		add(&ref->counters->dropped[EVENT_EXEC], 1);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(handle_exec, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	struct exec_record *record;
	struct sandbox_ref ref;
	unsigned long start, bytes;
	__u32 zero = 0, args_bytes, size;

	if (!find_process(task, bpf_get_current_cgroup_id(), &ref))
		return 0;
	start = task->mm->arg_start;
	bytes = task->mm->arg_end - start;
	args_bytes = bytes > ARGS_MAX ? ARGS_MAX : bytes;
	size = sizeof(record->event) + args_bytes;
	if (!count_event(&ref, EVENT_EXEC, RING_critical, size))
		return 0;
	record = bpf_map_lookup_elem(&exec_records, &zero);
	if (!record) {
		add(&ref.counters->dropped[EVENT_EXEC], 1);
		return 0;
	}
	stamp(&record->event.header, &ref, EVENT_EXEC, size);
	fill_exec(&record->event, task, binprm, args_bytes, &ref.owner);
	if (bytes > ARGS_MAX)
		record->event.header.flags |= EXEC_ARGS_TRUNCATED;
	read_args(record, start, args_bytes - 1);
	send_exec(&ref, record);
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
