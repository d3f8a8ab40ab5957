/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/*
 * Builds the record of an exec. The record is assembled in a per-CPU buffer, because its length is
 * not known when it is started. Paths are built from dentries.
 */
#ifndef SANDPIPER_EXEC_RECORD_BPF_H
#define SANDPIPER_EXEC_RECORD_BPF_H

#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/events.h"

/*
 * Components of a path within one mount, and again above it including crossings of mounts. Deeper
 * paths are rare, and each step costs instructions of the verifier.
 */
#define PATH_STEPS 24

/*
 * Both paths (512 + 255 bytes each at most) and the script path start below this offset. A power of
 * two, because append_at() uses it as a mask.
 */
#define TEXT_STARTS 2048
#define TEXT_BYTES (TEXT_STARTS + ARGS_MAX)

/* Position of a walk towards the root of the process, and that root. */
struct walk {
	struct dentry *dentry, *mount_root, *root_dentry;
	struct vfsmount *within, *root_mount;
};

/*
 * `used` and `above_mount` are in memory on purpose. The verifier does not track values in map
 * memory. So all states before a path component look the same to it and are pruned.
 */
struct exec_record {
	struct exec_event event;
	char text[TEXT_BYTES];
	volatile __u32 used; /* bytes of text */
	volatile struct walk above_mount;
};

/*
 * One buffer for handle_exec and one for backup_exec. Migration is off while a program runs, and a
 * program does not interrupt itself.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct exec_record);
} exec_records SEC(".maps");

/*
 * Where the next text starts. The mask never changes the value; it is a bound that every verifier
 * understands.
 */
static __always_inline char *append_at(struct exec_record *record)
{
	__u64 at = record->used;

	asm volatile("%0 &= %1" : "+r"(at) : "i"(TEXT_STARTS - 1));
	return record->text + at;
}

/* Returns the bytes written, with the NUL; 0 if `name` cannot be read. */
static __always_inline __u32 append_name(struct exec_record *record, const void *name)
{
	long n = bpf_probe_read_kernel_str(append_at(record), PATH_COMPONENT, name);

	if (n < 0)
		return 0;
	record->used += n;
	return n;
}

/*
 * Appends the path components above the mount point. `begin` is the path's offset in
 * `record->text`, and `slot` the record in exec_records. Uses BPF_CORE_READ: the verifier has no
 * type for a struct mount that is reached by pointer arithmetic. A global function: the verifier
 * checks it once and not for each path to the call.
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
				/*
				 * The topmost mount is reached: the path is outside of the root of
				 * the process, or the file has no mount point, as one of
				 * memfd_create(2). Such a file has only a name.
				 */
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
 * Appends the components of `path` up to the root of the process, deepest first, each with its NUL.
 * So the path is the one that the process itself sees. bpf_d_path() is not allowed on this
 * tracepoint. Both pointers must be typed. Returns false if the path was cut.
 */
static __always_inline bool append_path(struct exec_record *record, __u32 slot, struct path *path,
					struct path *root)
{
	struct dentry *dentry = path->dentry;
	struct dentry *root_dentry = root->dentry;
	struct dentry *parent;
	struct dentry *mount_root;
	struct vfsmount *within = path->mnt;
	struct vfsmount *root_mount = root->mnt;
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

/*
 * Arguments may be unreadable, as when their page was not loaded. The comparison of `last` proves
 * both bounds of the length to the verifier, as in last_index() of packet.bpf.h.
 */
static __always_inline void append_args(struct exec_record *record, unsigned long start,
					unsigned long end)
{
	__u32 bytes = end - start > ARGS_MAX ? ARGS_MAX : end - start;
	__u32 last = bytes - 1;

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
