// SPDX-License-Identifier: Apache-2.0
// The probes, and the mechanisms of each.
#ifndef SANDPIPER_USERSPACE_PROBE_LADDER_H_
#define SANDPIPER_USERSPACE_PROBE_LADDER_H_

#include <vector>

#include "absl/status/status.h"
#include "userspace/probe/mechanism.h"

struct bpf_program;
struct sandpiper_bpf;

namespace sandpiper {

// A type of the kernel that is there where drops carry reasons.
inline constexpr char kDropReasons[] = "skb_drop_reason";

// The mechanism that recognizes a netfilter drop by the address of the code that frees the packet.
// `--avoid` also accepts its name of earlier releases.
inline constexpr char kCallSite[] = "tp_btf (call site)";
inline constexpr char kCallSiteFormerName[] = "tp_btf by place";

// The mechanisms of a probe, best first. Without a required probe there is no main job to do.
struct Ladder {
  struct Rung {
    Hook hook;
    std::vector<bpf_program*> programs;  // of the skeleton
    const char* needs_enum = nullptr;    // a type without which the programs have nothing to go by
    const char* name = nullptr;  // where the hook's alone does not tell it from another rung
    absl::Status unavailable = absl::OkStatus();

    const char* Mechanism() const { return name ? name : Name(hook); }
  };
  const char* probe;
  bool required;
  std::vector<Rung> rungs;
};

// All of the skeleton's, in the order in which they are attached. `hook_code`: whether it is known
// where netfilter's code lies, by which the place of a drop is told.
std::vector<Ladder> Ladders(const sandpiper_bpf& skeleton, const absl::Status& hook_code);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_LADDER_H_
