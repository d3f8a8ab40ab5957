/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* The record of an exec, put together where its length need not be known beforehand, and paths out
 * of dentries. */
#ifndef SANDPIPER_EXEC_RECORD_BPF_H
#define SANDPIPER_EXEC_RECORD_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/events.h"

/* Components within a mount; and beyond it, with the crossings of mounts. Deeper paths are rare,
 * and each step costs the verifier. */
#define PATH_STEPS 24

/* Two paths and a script end below it: where texts start. A power of two, for append_at. */
#define TEXT_STARTS 2048
#define TEXT_BYTES (TEXT_STARTS + ARGS_MAX)

/* Where a walk towards the root has come to, and where it ends. */
struct walk {
	struct dentry *dentry, *mount_root, *root_dentry;
	struct vfsmount *within, *root_mount;
};

/*
 * `used` and `beyond` lie in memory on purpose: the verifier does not follow what stands there, nor
 * of what type a pointer was, so that all ways to a step of a path look the same to it.
 */
struct exec_record {
	struct exec_event event;
	char text[TEXT_BYTES];
	volatile __u32 used; /* bytes of text */
	volatile struct walk above_mount;
};

/* One for each program on exec: programs stay on their CPU, and none interrupts itself. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct exec_record);
} exec_records SEC(".maps");

/* Where the next text starts. The mask changes nothing, and is a bound that every verifier knows.
 */
static __always_inline char *append_at(struct exec_record *record)
{
	__u64 at = record->used;

	asm volatile("%0 &= %1" : "+r"(at) : "i"(TEXT_STARTS - 1));
	return record->text + at;
}

/* Bytes written, the NUL among them; 0 where it cannot be read. */
static __always_inline __u32 append_name(struct exec_record *record, const void *name)
{
	long n = bpf_probe_read_kernel_str(append_at(record), PATH_COMPONENT, name);

	if (n < 0)
		return 0;
	record->used += n;
	return n;
}

/*
 * From beyond of the record `slot` on; `begin`: where the path begins. Fields are read and not
 * loaded: of what a mount is part of, the verifier knows no type. Not static, so that the verifier
 * looks at it once, and not for each way that leads to it.
 */
__noinline int append_above_mount(__u32 slot, __u32 begin)
{
	struct exec_record *record = bpf_map_lookup_elem(&exec_records, &slot);
	const struct dentry *dentry, *mount_root, *root_dentry, *parent;
	const struct vfsmount *within, *root_mount;
	const struct mount *mount, *up;

	if (!record)
		return false;
	dentry = record->above_mount.dentry;
	mount_root = record->above_mount.mount_root;
	root_dentry = record->above_mount.root_dentry;
	within = record->above_mount.within;
	root_mount = record->above_mount.root_mount;
	for (int i = 0; i < PATH_STEPS; i++) {
		if (dentry == root_dentry && within == root_mount)
			return true;
		parent = BPF_CORE_READ(dentry, d_parent);
		if (dentry == mount_root || dentry == parent) {
			mount = (void *)within - bpf_core_field_offset(struct mount, mnt);
			up = BPF_CORE_READ(mount, mnt_parent);
			if (up == mount || dentry != mount_root) {
				/* The top: outside of the root, or an unmounted thing as memfd,
				 * whose name is all there is. */
				if (record->used == begin)
					append_name(record, BPF_CORE_READ(dentry, d_name.name));
				return true;
			}
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			within = (void *)up + bpf_core_field_offset(struct mount, mnt);
			mount_root = BPF_CORE_READ(within, mnt_root);
			continue;
		}
		if (record->used - begin >= PATH_STARTS ||
		    !append_name(record, BPF_CORE_READ(dentry, d_name.name)))
			return false;
		dentry = parent;
	}
	return false;
}

/*
 * Appends the components of `path`, deepest first, each with its NUL, up to the root of the
 * process: what the process itself would see, and not d_path, which is allowed in few kinds of
 * programs only. Both as the verifier knows them. False where there was more.
 */
static __always_inline bool append_path(struct exec_record *record, __u32 slot, struct path *path,
					struct path *root)
{
	struct dentry *dentry = path->dentry, *root_dentry = root->dentry, *parent, *mount_root;
	struct vfsmount *within = path->mnt, *root_mount = root->mnt;
	__u32 begin = record->used;

	mount_root = within->mnt_root;
	for (int i = 0; i < PATH_STEPS && dentry != mount_root; i++) {
		parent = dentry->d_parent;
		if (dentry == parent || (dentry == root_dentry && within == root_mount))
			break;
		if (record->used - begin >= PATH_STARTS ||
		    !append_name(record, dentry->d_name.name))
			return false;
		dentry = parent;
	}
	if (dentry == root_dentry && within == root_mount)
		return true;
	record->above_mount.dentry = dentry;
	record->above_mount.mount_root = mount_root;
	record->above_mount.root_dentry = root_dentry;
	record->above_mount.within = within;
	record->above_mount.root_mount = root_mount;
	return append_above_mount(slot, begin);
}

/* A process may have arguments that cannot be read. Checked from above alone, `last` has a bound
 * from both sides that every verifier follows. */
static __always_inline void append_args(struct exec_record *record, unsigned long start,
					unsigned long end)
{
	__u32 bytes = end - start > ARGS_MAX ? ARGS_MAX : end - start, last = bytes - 1;

	record->event.args_bytes = bytes;
	if (end - start > ARGS_MAX)
		record->event.header.flags |= EXEC_ARGS_TRUNCATED;
	asm volatile("" : "+r"(last));
	if (last >= ARGS_MAX)
		return;
	if (bpf_probe_read_user(append_at(record), last + 1, (void *)start))
		record->event.header.flags |= EXEC_ARGS_UNREADABLE;
	record->used += bytes;
}

#endif
