// SPDX-License-Identifier: Apache-2.0
// How the probes are loaded.
#ifndef SANDPIPER_USERSPACE_PROBE_PROBE_OPTIONS_H_
#define SANDPIPER_USERSPACE_PROBE_PROBE_OPTIONS_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace sandpiper {

struct ProbeOptions {
  // Powers of two, at least a page.
  uint32_t critical_ring_bytes = 2 << 20;
  uint32_t bulk_ring_bytes = 4 << 20;
  // Entries of each of the kernel's tables of flows, whose memory is taken at once; they are all
  // sandboxes' together.
  uint32_t flows_max = 32'768;
  // No sandbox may fill a ring so that the others find no room. Off, one that is alone has all of
  // it.
  bool limit_sandboxes = true;
  bool program_statistics =
      false;  // have the kernel keep times and counts; costs each run two readings of the clock
  // At most four.
  std::vector<uint16_t> dns_ports = {53};
  bool devices = false;  // WatchDevice will be called
  // Cgroups that are made from now on are watched and told of, if their name holds a container id,
  // or begins with one of these.
  bool discover_containers = false;
  std::vector<std::string> discover_prefixes;
  // {probe, mechanism}: left out although the kernel may have it.
  std::vector<std::pair<std::string, std::string>> avoid;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_PROBE_OPTIONS_H_
