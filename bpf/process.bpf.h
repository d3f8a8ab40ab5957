/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Identity and owner of tasks. It uses ids and start times, which a process cannot change, and not
 * its name.
 */
#ifndef SANDPIPER_PROCESS_BPF_H
#define SANDPIPER_PROCESS_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/emit.bpf.h"
#include "bpf/events.h"

/*
 * `task` must be a typed (BTF) pointer: its fields are loaded directly, without a helper call for
 * each.
 */
static __always_inline void fill_process(struct process_key *key, struct task_struct *task)
{
	key->tgid = task->tgid;
	key->tid = task->pid;
	key->start_ns = READ_ONLY(task)->group_leader->start_boottime;
}

static __always_inline __u64 task_cgroup_id(struct task_struct *task)
{
	return READ_ONLY(task)->cgroups->dfl_cgrp->kn->id;
}

/* Inode number of the network namespace; 0 while the task exits. */
static __always_inline __u32 task_netns(struct task_struct *task)
{
	return READ_ONLY(task)->nsproxy->net_ns->ns.inum;
}

/* The owner by cgroup, else by network namespace. */
static __always_inline bool find_process_owner(struct task_struct *task, __u64 cgroup_id,
					       struct sandbox_ref *ref)
{
	return find_cgroup_owner(cgroup_id, ref) ||
	       find_netns_owner(task_netns(task), cgroup_id, ref);
}

/* The current task, for programs that get no task as argument. */
static __always_inline void fill_current_process(struct process_key *key)
{
	struct task_struct *task;

	if (cfg_typed_pointers) {
		fill_process(key, bpf_get_current_task_btf());
		return;
	}
	task = (struct task_struct *)bpf_get_current_task();
	key->tgid = BPF_CORE_READ(task, tgid);
	key->tid = BPF_CORE_READ(task, pid);
	key->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
}

static __always_inline __u32 current_netns(void)
{
	struct task_struct *task;

	if (cfg_typed_pointers)
		return task_netns(bpf_get_current_task_btf());
	task = (struct task_struct *)bpf_get_current_task();
	return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
}

static __always_inline bool find_current_owner(struct sandbox_ref *ref)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();

	return find_cgroup_owner(cgroup_id, ref) ||
	       find_netns_owner(current_netns(), cgroup_id, ref);
}

#endif
