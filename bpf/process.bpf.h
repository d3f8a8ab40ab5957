/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* Identity of tasks, and paths out of dentries: what a program says of itself can be rewritten, these cannot. */
#ifndef SANDPIPER_PROCESS_BPF_H
#define SANDPIPER_PROCESS_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/emit.bpf.h"
#include "bpf/events.h"

/* Components and crossings of mounts: deeper paths are rare, and each step costs the verifier. */
#define PATH_STEPS 24

/*
 * `task` as the verifier knows it: what its fields hold is loaded, as the kernel itself would, without a call of a helper for each.
 */
static __always_inline void fill_process(struct process_key *key, struct task_struct *task)
{
	key->tgid = task->tgid;
	key->tid = task->pid;
	key->start_ns = task->group_leader->start_boottime;
}

static __always_inline __u64 task_cgroup_id(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

/* The inode number of its network namespace, 0 when it is on its way out. */
static __always_inline __u32 task_netns(struct task_struct *task)
{
	return task->nsproxy->net_ns->ns.inum;
}

/* By its cgroup; where nobody watches that, by its network namespace. */
static __always_inline bool find_process(struct task_struct *task, __u64 cgroup_id, struct sandbox_ref *ref)
{
	return find_sandbox(cgroup_id, ref) || find_by_namespace(task_netns(task), cgroup_id, ref);
}

/* Who runs now, for programs that are given no task. */
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

static __always_inline bool find_current(struct sandbox_ref *ref)
{
	__u64 cgroup_id = bpf_get_current_cgroup_id();

	return find_sandbox(cgroup_id, ref) || find_by_namespace(current_netns(), cgroup_id, ref);
}

/*
 * Writes the components of `path`, deepest first, each with its NUL, up to the root of the process: what the process itself would see,
 * and not d_path, which is allowed in few kinds of programs only. False where there was more. The number of bytes written is counted in
 * `used`, which lies in the record: the verifier does not follow what stands there, so that all ways to a step look the same to it.
 */
static __always_inline bool read_path(char *out, volatile __u16 *used, struct path *path, struct path *root)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry), *root_dentry = BPF_CORE_READ(root, dentry), *mount_root;
	struct vfsmount *vfsmount = BPF_CORE_READ(path, mnt), *root_mount = BPF_CORE_READ(root, mnt);

	*used = 0;
	mount_root = BPF_CORE_READ(vfsmount, mnt_root);
	for (int i = 0; i < PATH_STEPS; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		const unsigned char *name = BPF_CORE_READ(dentry, d_name.name);
		__u64 at;
		long n;

		if (dentry == root_dentry && vfsmount == root_mount)
			return true;
		if (dentry == mount_root || dentry == parent) {
			struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt), *up = BPF_CORE_READ(mount, mnt_parent);

			if (up == mount || dentry != mount_root) {
				/* The top: outside of the root, or an unmounted thing as memfd, whose name is all there is. */
				if (!*used) {
					n = bpf_probe_read_kernel_str(out, PATH_COMPONENT, name);
					*used = n > 0 ? n : 0;
				}
				return true;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			vfsmount = (void *)up + bpf_core_field_offset(struct mount, mnt);
			mount_root = BPF_CORE_READ(vfsmount, mnt_root);
			continue;
		}
		if (*used >= PATH_STARTS)
			return false;
		/* Changes nothing, and is a bound that every verifier knows. */
		at = *used;
		asm volatile("%0 &= %1" : "+r"(at) : "i"(PATH_STARTS - 1));
		n = bpf_probe_read_kernel_str(out + at, PATH_COMPONENT, name);
		if (n < 0)
			return false;
		*used = at + n;
		dentry = parent;
	}
	return false;
}

#endif
