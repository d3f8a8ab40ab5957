// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COLLECTOR_MEMBER_ADDER_H_
#define SANDPIPER_USERSPACE_COLLECTOR_MEMBER_ADDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "userspace/attribution/cgroup_hierarchy.h"
#include "userspace/attribution/member_table.h"
#include "userspace/attribution/network_namespaces.h"
#include "userspace/base/diagnostics.h"
#include "userspace/collector/sandbox_directory.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/sandbox/link_watch.h"
#include "userspace/sandbox/member_resolver.h"

namespace sandpiper {

// Adds cgroups and devices to sandboxes, and moves them from one sandbox to another.
//
// Owned by Pipeline. All calls are made by the thread of the event loop.
class MemberAdder {
 public:
  // All outlive this object.
  struct Targets {
    KernelTables* tables;
    MemberTable* members;
    SandboxDirectory* sandboxes;
    NetworkNamespaces* namespaces;
  };
  MemberAdder(const Targets& targets, CgroupHierarchy cgroups, WarningSink warn)
      : targets_(targets), cgroups_(std::move(cgroups)), warn_(std::move(warn)) {}

  // Adds a cgroup, all cgroups below it, and the processes in them. `serial`: of the new member.
  absl::Status AddCgroup(uint64_t serial, SandboxSession* sandbox, const std::string& path,
                         Role role);

  // Adds a device. The calling thread must be in its network namespace. On an error the member is
  // marked as removed.
  absl::Status AddDevice(uint64_t serial, SandboxSession* sandbox, const LinkChange& link);

  struct Added {
    SandboxSession* sandbox = nullptr;  // null: the member was part of this sandbox already
    uint64_t former = 0;                // serial of the sandbox that it left; 0: none
    std::string path;                   // empty if the cgroup does not exist any more
  };
  // Adds a cgroup that was attributed to a sandbox, without its processes. It leaves its former
  // sandbox. A failure is reported as a warning.
  Added AddAttributed(const Decision& decision);

  // Adds the processes that are in the member's cgroup already.
  void AddProcesses(uint64_t serial, SandboxSession* sandbox);

 private:
  // Gives the former sandbox the member's last counters. Returns a member that counts from now on.
  Member LeaveSandbox(uint64_t serial, Member* member);

  const Targets targets_;
  const CgroupHierarchy cgroups_;
  const WarningSink warn_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_MEMBER_ADDER_H_
