// SPDX-License-Identifier: Apache-2.0
// The probes and their mechanisms. A ladder lists the mechanisms of one probe, best first; each one
// is a rung. The first rung that this kernel allows is used.
#ifndef SANDPIPER_USERSPACE_PROBE_LADDER_H_
#define SANDPIPER_USERSPACE_PROBE_LADDER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "userspace/probe/mechanism.h"
#include "userspace/probe/probe_options.h"
#include "userspace/probe/probe_status.h"

struct bpf_program;
struct sandpiper_bpf;

namespace sandpiper {

// The kernel type that exists if packet drops have a reason.
inline constexpr char kDropReasons[] = "skb_drop_reason";

// The mechanism that recognizes a netfilter drop by the address of the code that frees the packet.
// `--avoid` also accepts its name of earlier releases.
inline constexpr char kCallSite[] = "tp_btf (call site)";
inline constexpr char kCallSiteFormerName[] = "tp_btf by place";

// The mechanisms of one probe. Without a required probe sandpiper does not start; without an
// optional one it reports less.
struct Ladder {
  struct Rung {
    Hook hook;
    std::vector<bpf_program*> programs;  // of the skeleton
    const char* needs_enum = nullptr;    // a kernel type that the programs need
    const char* name = nullptr;          // if the name of the hook is not unique in the ladder
    absl::Status unavailable = absl::OkStatus();

    const char* Mechanism() const { return name ? name : Name(hook); }
  };
  const char* probe;
  bool required;
  std::vector<Rung> rungs;
};

// All ladders of the skeleton, in the order of attachment. `hook_code` is the status of looking up
// nf_hook_slow(), which the call-site mechanism needs.
std::vector<Ladder> Ladders(const sandpiper_bpf& skeleton, const absl::Status& hook_code);

// The options with the current names of the mechanisms to avoid.
ProbeOptions WithCurrentNames(const ProbeOptions& given);

// Whether the user excluded this mechanism.
bool IsAvoided(const ProbeOptions& options, const std::string& probe, const std::string& mechanism);

// Chooses the best mechanism that can be used. Only its programs will be loaded. `kernel` is the
// kernel's BTF.
ProbeState ChooseMechanism(const ProbeOptions& options, const Ladder& ladder, const btf* kernel);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_LADDER_H_
