// SPDX-License-Identifier: Apache-2.0
// The probe on nftables. It is separate from the others, because nf_tables may be a module that is
// loaded later. Probes owns it. The first Attach() runs in a thread of its own while the other
// programs are loaded. Later ones run in the thread of the event loop.
#ifndef SANDPIPER_USERSPACE_PROBE_NFT_PROBE_H_
#define SANDPIPER_USERSPACE_PROBE_NFT_PROBE_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "userspace/probe/program_runs.h"

struct bpf_link;
struct bpf_object;
struct btf;
struct nft_bpf;

namespace sandpiper {

class NftProbe {
 public:
  // Uses the maps of `object`, which the caller owns and which must outlive this object. `avoid`
  // excludes mechanisms. `kernel` is the kernel's BTF.
  NftProbe(bpf_object* object, std::vector<std::string> avoid, const btf* kernel);
  ~NftProbe();
  NftProbe(const NftProbe&) = delete;
  NftProbe& operator=(const NftProbe&) = delete;

  // All mechanisms, best first.
  static std::vector<std::string> Mechanisms();

  // Changes to the best mechanism that works now. The one in use stays attached until the better
  // one is.
  void Attach();
  void Detach();

  // True if nf_tables is loaded or built into the kernel. Does not load it.
  bool nf_tables_is_loaded() const;
  // True if loading the module may make a better mechanism available.
  bool waits_for_nf_tables() const { return waits_; }

  void AppendRuns(std::vector<ProgramRuns>* out) const;

  // Empty if none works. Changes are then known only from netlink notifications.
  const std::string& mechanism() const { return mechanism_; }
  // Why better mechanisms are not in use.
  const std::string& reason() const { return reason_; }

 private:
  struct Rung;
  struct SkeletonDeleter {
    void operator()(nft_bpf* skeleton) const;
  };
  struct LinkDeleter {
    void operator()(bpf_link* link) const;
  };
  using Skeleton = std::unique_ptr<nft_bpf, SkeletonDeleter>;
  using Links = std::vector<std::unique_ptr<bpf_link, LinkDeleter>>;

  static std::vector<Rung> Ladder();
  // Returns an empty string, or the reason why the rung cannot be used.
  std::string Try(const Rung& rung);

  bpf_object* object_;
  std::vector<std::string> avoid_;
  const bool built_in_;                          // nf_tables is built in and no module
  const absl::Status function_exits_, kprobes_;  // whether this kernel has them
  Skeleton skeleton_;
  Links links_;
  std::string mechanism_, reason_;
  bool waits_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_NFT_PROBE_H_
