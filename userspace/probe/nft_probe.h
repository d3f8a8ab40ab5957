// SPDX-License-Identifier: Apache-2.0
// The probe on nftables, apart from the others: what it attaches to may be a module that is loaded
// while we run.
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
  // Shares the maps of `object`, which stays the caller's and must outlive it. `avoid`: mechanisms
  // to leave out. `kernel`: its BTF.
  NftProbe(bpf_object* object, std::vector<std::string> avoid, const btf* kernel);
  ~NftProbe();
  NftProbe(const NftProbe&) = delete;
  NftProbe& operator=(const NftProbe&) = delete;

  // All there are, best first.
  static std::vector<std::string> Mechanisms();

  // Takes the best mechanism that the kernel has by now; what was in use stays until the better one
  // is.
  void Attach();
  void Detach();

  // nf_tables is loaded, or part of the kernel. Asking does not load it.
  bool nf_tables_is_loaded() const;
  // A better one may come with the module.
  bool waits_for_nf_tables() const { return waits_; }

  void AppendRuns(std::vector<ProgramRuns>* out) const;

  // Empty: none, and then only user space's own notifications tell of changes.
  const std::string& mechanism() const { return mechanism_; }
  // Why the better ones are not in use.
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
  // Empty, or why not.
  std::string Try(const Rung& rung);

  bpf_object* object_;
  std::vector<std::string> avoid_;
  const bool built_in_;                          // nf_tables is part of the kernel, not a module
  const absl::Status function_exits_, kprobes_;  // whether this kernel has them
  Skeleton skeleton_;
  Links links_;
  std::string mechanism_, reason_;
  bool waits_ = false;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_NFT_PROBE_H_
