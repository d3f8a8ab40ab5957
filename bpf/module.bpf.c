// SPDX-License-Identifier: GPL-2.0 OR Apache-2.0
// Reports that nf_tables was loaded, which happens when rules are first used. User space attaches
// nft.bpf.c to it then.
#include "bpf/kernel.bpf.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/maps.bpf.h"

SEC("tp_btf/module_load")
int BPF_PROG(handle_module_load, struct module *module)
{
	static const char wanted[] = "nf_tables";
	char name[sizeof(wanted)] = {};
	struct event_header *event;

	bpf_probe_read_kernel(name, sizeof(name), &module->name);
	for (int i = 0; i < (int)sizeof(wanted); i++) {
		if (name[i] != wanted[i])
			return 0;
	}
	event = bpf_ringbuf_reserve(&critical_ring, sizeof(*event), 0);
	if (!event)
		return 0;
	event->kind = EVENT_NFT_LOADED;
	event->flags = 0;
	event->size = sizeof(*event);
	event->time_ns = bpf_ktime_get_boot_ns();
	event->member = 0;
	event->cgroup_id = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}
