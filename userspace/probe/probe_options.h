// SPDX-License-Identifier: Apache-2.0
// Settings of the probes. The configuration fills them.
#ifndef SANDPIPER_USERSPACE_PROBE_PROBE_OPTIONS_H_
#define SANDPIPER_USERSPACE_PROBE_PROBE_OPTIONS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace sandpiper {

struct ProbeOptions {
  // Sizes of the ring buffers: powers of two, at least a page.
  uint32_t critical_ring_bytes = 2 << 20;
  uint32_t bulk_ring_bytes = 4 << 20;
  // Entries of each map of flows. All sandboxes share them. The kernel allocates them at load.
  uint32_t flows_max = 32'768;
  // Limits the share of one sandbox in a ring buffer, so that it cannot crowd out the others
  // (struct ring_limit).
  bool limit_sandboxes = true;
  bool program_statistics =
      // Lets the kernel measure the run time of programs. That reads the clock twice for each run.
      false;
  // Ports of DNS servers, one to four.
  std::vector<uint16_t> dns_ports = {53};
  bool devices = false;  // reserve the map of device flows: WatchDevice will be called
  // Watch and report new cgroups if their name has a container id, or begins with one of these
  // prefixes.
  bool discover_containers = false;
  std::vector<std::string> discover_prefixes;
  // {probe, mechanism}: not used even if the kernel allows it.
  std::vector<std::pair<std::string, std::string>> avoid;
};

// InvalidArgument if `avoid` has a probe or a mechanism that does not exist. The message lists all
// mechanisms. Needs no privileges and does not inspect the host.
absl::Status CheckAvoided(const ProbeOptions& options);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_PROBE_OPTIONS_H_
