// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/nft_probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "bpf/nft_bpf.skel.h"
#include "userspace/probe/mechanism.h"
#include "userspace/probe/shared_maps.h"

namespace sandpiper {

struct NftProbe::Rung {
  const char* mechanism;
  // Whether this kernel has the mechanism at all, if that is known. Trying it takes time, because
  // libbpf reads all kernel types.
  const absl::Status NftProbe::*allowed;
  bool needs_nf_tables;
  std::vector<bpf_program* decltype(nft_bpf::progs)::*> programs;
};

void NftProbe::SkeletonDeleter::operator()(nft_bpf* skeleton) const { nft_bpf::destroy(skeleton); }
void NftProbe::LinkDeleter::operator()(bpf_link* link) const { bpf_link__destroy(link); }

NftProbe::NftProbe(bpf_object* object, std::vector<std::string> avoid, const btf* kernel)
    : object_(object),
      avoid_(std::move(avoid)),
      built_in_(btf__find_by_name_kind(kernel, "nf_tables_commit", BTF_KIND_FUNC) > 0),
      function_exits_(CheckFunctionExit(kernel, "netlink_sendmsg")),
      kprobes_(CheckKprobes()) {}

NftProbe::~NftProbe() = default;

bool NftProbe::nf_tables_is_loaded() const {
  return built_in_ || access("/sys/module/nf_tables", F_OK) == 0;
}

std::string NftProbe::Try(const Rung& rung) {
  const auto error = [](const char* what) { return absl::StrCat(what, ": ", strerror(errno)); };
  Skeleton skeleton(nft_bpf::open());
  if (!skeleton)
    return error("open");
  bpf_program* program;
  bpf_object__for_each_program(program, skeleton->obj) bpf_program__set_autoload(program, false);
  for (const auto member : rung.programs)
    bpf_program__set_autoload(skeleton->progs.*member, true);
  skeleton->rodata->cfg_own_tgid = static_cast<__u32>(getpid());
  if (const absl::Status shared = ShareMaps(object_, skeleton->obj); !shared.ok())
    return std::string(shared.message());
  if (const int failed = nft_bpf::load(skeleton.get()); failed) {
    errno = -failed;
    return error("load");
  }
  Links links;
  for (const auto member : rung.programs) {
    bpf_link* link = bpf_program__attach(skeleton->progs.*member);
    if (!link)
      return error("attach");
    links.emplace_back(link);
  }
  links_ = std::move(links);
  skeleton_ = std::move(skeleton);
  return "";
}

std::vector<NftProbe::Rung> NftProbe::Ladder() {
  using P = decltype(nft_bpf::progs);
  return {
      {"fexit",
       &NftProbe::function_exits_,
       true,
       {&P::handle_nft_commit, &P::handle_nft_abort, &P::handle_netlink_ack_exit}},
      {"kprobe",
       &NftProbe::kprobes_,
       true,
       {&P::handle_nft_commit_entry, &P::handle_nft_commit_return, &P::handle_nft_abort_entry,
        &P::handle_netlink_ack_entry}},
      {"fexit of netlink_sendmsg", &NftProbe::function_exits_, false, {&P::handle_netlink_sendmsg}},
      {"tp_btf", nullptr, false, {&P::handle_socket_send}},
  };
}

std::vector<std::string> NftProbe::Mechanisms() {
  std::vector<std::string> out;
  for (const Rung& rung : Ladder())
    out.emplace_back(rung.mechanism);
  return out;
}

void NftProbe::Attach() {
  const bool there = nf_tables_is_loaded();
  waits_ = !there;
  std::string reasons;
  for (const Rung& rung : Ladder()) {
    if (mechanism_ == rung.mechanism)
      break;
    std::string reason;
    if (std::find(avoid_.begin(), avoid_.end(), rung.mechanism) != avoid_.end())
      reason = kAvoided;
    else if (rung.allowed && !(this->*rung.allowed).ok())
      reason = std::string((this->*rung.allowed).message());
    else if (rung.needs_nf_tables && !there)
      reason = "nf_tables is not loaded yet";
    else
      reason = Try(rung);
    if (reason.empty()) {
      mechanism_ = rung.mechanism;
      break;
    }
    AppendReason(rung.mechanism, reason, &reasons);
  }
  reason_ = std::move(reasons);
}

void NftProbe::AppendRuns(std::vector<ProgramRuns>* out) const {
  if (skeleton_)
    sandpiper::AppendRuns("nftables", skeleton_->obj, out);
}

void NftProbe::Detach() { links_.clear(); }

}  // namespace sandpiper
