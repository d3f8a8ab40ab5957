// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/decode.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "bpf/events.h"
#include "userspace/base/status.h"
#include "userspace/event/event_kind.h"

namespace sandpiper {
namespace {

using Bytes = std::span<const std::byte>;
using Body = decltype(Event::body);

constexpr int kErrnoMax = 4095;  // MAX_ERRNO in include/linux/err.h

// The fixed part of a record, and the bytes after it.
template <typename T>
struct Record {
  T fixed;
  std::string_view tail;
};

template <typename T>
absl::Status Read(Bytes record, Record<T>* out) {
  if (record.size() < sizeof(T))
    return absl::InvalidArgumentError(
        absl::StrCat("record of ", record.size(), " bytes; its kind needs ", sizeof(T)));
  std::memcpy(&out->fixed, record.data(), sizeof(T));
  out->tail = {reinterpret_cast<const char*>(record.data()) + sizeof(T), record.size() - sizeof(T)};
  return absl::OkStatus();
}

ProcessKey ToProcess(const process_key& p) { return {.pid = p.tgid, .start_ns = p.start_ns}; }

Endpoint ToEndpoint(const endpoint& e) {
  Endpoint out;
  std::copy(std::begin(e.address), std::end(e.address), out.address.bytes.begin());
  out.port = e.port;
  return out;
}

// For fields that the BPF programs fill from a socket. Only the lowest bit is used.
Transport ToTransport(__u32 transport) { return static_cast<Transport>(transport & 1); }

std::string ToComm(const char (&comm)[COMM_BYTES]) {
  return std::string(comm, strnlen(comm, COMM_BYTES));
}

// Joins path components to "/a/b/c". The input has the deepest component first, and a NUL after
// each. A memfd has no leading slash.
SharedText JoinPath(std::string_view components, bool truncated) {
  constexpr std::string_view kTruncated = "...";
  if (components.ends_with('\0'))
    components.remove_suffix(1);
  else if (components.empty())
    return truncated ? SharedText(kTruncated) : SharedText("/");
  if (components.starts_with("memfd:") && components.find('\0') == components.npos)
    return SharedText(components);
  const size_t prefix = truncated ? kTruncated.size() : 0;
  return SharedText(prefix + 1 + components.size(), [&](char* text) {
    memcpy(text, kTruncated.data(), prefix);
    // Writes backwards, from the deepest component.
    char* at = text + prefix + 1 + components.size();
    for (std::string_view left = components;;) {
      const size_t bytes = std::min(left.find('\0'), left.size());
      at -= bytes;
      memcpy(at, left.data(), bytes);
      *--at = '/';
      if (bytes == left.size())
        return;
      left.remove_prefix(bytes + 1);
    }
  });
}

std::vector<std::string> SplitArgs(std::string_view area) {
  std::vector<std::string> args;
  args.reserve(static_cast<size_t>(std::count(area.begin(), area.end(), '\0')) + 1);
  while (!area.empty()) {
    const size_t end = std::min(area.find('\0'), area.size());
    args.emplace_back(area.substr(0, end));
    area.remove_prefix(std::min(end + 1, area.size()));
  }
  return args;
}

absl::Status DecodeExec(Bytes record, Body* body) {
  Record<exec_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  const exec_event& e = r.fixed;
  std::string_view text = r.tail;
  if (size_t{e.path_bytes} + e.cwd_bytes + e.script_bytes + e.args_bytes > text.size())
    return absl::InvalidArgumentError("exec record is shorter than its lengths say");
  const auto take = [&text](size_t bytes) {
    const std::string_view taken = text.substr(0, bytes);
    text.remove_prefix(bytes);
    return taken;
  };
  const std::string_view path = take(e.path_bytes);
  const std::string_view cwd = take(e.cwd_bytes);
  const std::string_view script = take(e.script_bytes);
  const std::string_view args = take(e.args_bytes);
  const uint16_t flags = e.header.flags;
  *body = Exec{
      .process = ToProcess(e.process),
      .parent = ToProcess(e.parent),
      .comm = ToComm(e.comm),
      .path = JoinPath(path, flags & EXEC_PATH_TRUNCATED),
      .working_directory = JoinPath(cwd, flags & EXEC_CWD_TRUNCATED),
      .script = SharedText(script.substr(0, script.find('\0'))),
      .args = flags & EXEC_ARGS_UNREADABLE ? std::vector<std::string>() : SplitArgs(args),
      .args_truncated = (flags & EXEC_ARGS_TRUNCATED) != 0,
      .args_unreadable = (flags & EXEC_ARGS_UNREADABLE) != 0,
      .netns = e.netns,
  };
  return absl::OkStatus();
}

absl::Status DecodeFork(Bytes record, bool entered, Body* body) {
  Record<fork_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  *body = Fork{.process = ToProcess(r.fixed.process),
               .parent = ToProcess(r.fixed.parent),
               .comm = ToComm(r.fixed.comm),
               .entered = entered,
               .netns = r.fixed.netns};
  return absl::OkStatus();
}

absl::Status DecodeDns(Bytes record, bool is_query, Body* body) {
  Record<dns_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  const dns_event& e = r.fixed;
  if (e.data_bytes > r.tail.size() || e.transport >= TRANSPORT_COUNT)
    return absl::InvalidArgumentError(
        "dns record is shorter than its length says, or has an unknown transport");
  const Transport transport = static_cast<Transport>(e.transport);
  *body = DnsPayload{
      .cookie = e.cookie,
      .is_query = is_query,
      .transport = transport,
      .process = ToProcess(e.process),
      .thread = e.process.tid,
      .server = ToEndpoint(e.server),
      .redirected = (e.header.flags & DNS_REDIRECTED) != 0,
      .denied = (e.header.flags & DNS_DENIED) != 0,
      .local_server = (e.header.flags & DNS_LOCAL) != 0,
      .is_cut = transport == Transport::kUdp && e.payload_bytes > e.data_bytes,
      .payload_bytes = e.payload_bytes,
      .tcp_seq = e.tcp_seq,
      .tcp_ack = e.tcp_ack,
      .data = std::string(r.tail.substr(0, e.data_bytes)),
  };
  return absl::OkStatus();
}

absl::Status DecodeNft(Bytes record, Body* body) {
  Record<nft_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  if (r.fixed.result > NFT_SENT)
    return absl::InvalidArgumentError("nft record has an unknown result");
  if (r.fixed.error < -kErrnoMax || r.fixed.error > kErrnoMax)
    return absl::InvalidArgumentError(
        absl::StrCat("nft record has the error ", r.fixed.error, ", which is no errno"));
  *body = NftChange{.result = static_cast<NftChange::Result>(r.fixed.result),
                    .error = -r.fixed.error,
                    .netns = r.fixed.netns,
                    .process = ToProcess(r.fixed.process),
                    .thread = r.fixed.process.tid,
                    .comm = ToComm(r.fixed.comm),
                    .actor_member = r.fixed.actor};
  return absl::OkStatus();
}

absl::Status DecodeCgroupCreated(Bytes record, Body* body) {
  Record<cgroup_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  if (r.fixed.path_bytes > CGROUP_PATH_BYTES)
    return absl::InvalidArgumentError("cgroup record has a path that is too long");
  // The kernel keeps one byte for the NUL. A path that fills the others may have been longer.
  const bool is_cut = r.fixed.path_bytes >= CGROUP_PATH_BYTES - 1;
  *body = CgroupCreated{.path = is_cut ? "" : std::string(r.fixed.path, r.fixed.path_bytes)};
  return absl::OkStatus();
}

absl::Status DecodeExit(Bytes record, Body* body) {
  Record<exit_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  *body = Exit{.process = ToProcess(r.fixed.process),
               .status = r.fixed.status,
               .oom_killed = (r.fixed.header.flags & EXIT_OOM) != 0};
  return absl::OkStatus();
}

absl::Status DecodeConnect(Bytes record, Body* body) {
  Record<connect_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  *body = Connect{.cookie = r.fixed.cookie,
                  .transport = ToTransport(r.fixed.transport),
                  .process = ToProcess(r.fixed.process),
                  .comm = ToComm(r.fixed.comm),
                  .is_guest = r.fixed.cookie >> COOKIE_DEVICE_BIT != 0,
                  .peer = ToEndpoint(r.fixed.peer),
                  .netns = r.fixed.netns};
  return absl::OkStatus();
}

absl::Status DecodeConnectResult(Bytes record, Body* body) {
  Record<connect_result_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  *body = ConnectResult{.cookie = r.fixed.cookie,
                        .transport = ToTransport(r.fixed.transport),
                        .peer = ToEndpoint(r.fixed.peer),
                        .established = r.fixed.established != 0,
                        .returned = (r.fixed.header.flags & RESULT_RETURNED) != 0,
                        .error = static_cast<int>(r.fixed.error)};
  return absl::OkStatus();
}

absl::Status DecodeDenied(Bytes record, Body* body) {
  Record<denied_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  *body = Denied{.cookie = r.fixed.cookie,
                 .transport = ToTransport(r.fixed.transport),
                 .process = ToProcess(r.fixed.process),
                 .comm = ToComm(r.fixed.comm),
                 .peer = ToEndpoint(r.fixed.peer)};
  return absl::OkStatus();
}

absl::Status DecodeClose(Bytes record, Body* body) {
  Record<close_event> r;
  RETURN_IF_ERROR(Read(record, &r));
  *body = Close{.cookie = r.fixed.cookie,
                .transport = ToTransport(r.fixed.transport),
                .sent = r.fixed.bytes[DIRECTION_SENT],
                .received = r.fixed.bytes[DIRECTION_RECEIVED],
                .error = static_cast<int>(r.fixed.error)};
  return absl::OkStatus();
}

absl::Status UnknownKind(uint16_t number) {
  return absl::InvalidArgumentError(absl::StrCat("record of unknown kind ", number));
}

absl::Status DecodeBody(uint16_t number, Bytes record, Body* body) {
  if (!IsKind(number))
    return UnknownKind(number);
  const auto kind = static_cast<event_kind>(number);
  switch (kind) {  // no default: the compiler reports a kind without a case
    case EVENT_EXEC:
      return DecodeExec(record, body);
    case EVENT_EXIT:
      return DecodeExit(record, body);
    case EVENT_FORK:
    case EVENT_ENTER:
      return DecodeFork(record, kind == EVENT_ENTER, body);
    case EVENT_CONNECT:
      return DecodeConnect(record, body);
    case EVENT_CONNECT_RESULT:
      return DecodeConnectResult(record, body);
    case EVENT_DENIED:
      return DecodeDenied(record, body);
    case EVENT_CLOSE:
      return DecodeClose(record, body);
    case EVENT_DNS_QUERY:
    case EVENT_DNS_ANSWER:
      return DecodeDns(record, kind == EVENT_DNS_QUERY, body);
    case EVENT_NFT:
      return DecodeNft(record, body);
    case EVENT_NFT_LOADED:
      *body = NftLoaded{};
      return absl::OkStatus();
    case EVENT_CGROUP_CREATED:
      return DecodeCgroupCreated(record, body);
    case EVENT_CGROUP_REMOVED:
      *body = CgroupRemoved{};
      return absl::OkStatus();
    case EVENT_NONE:
    case EVENT_KIND_COUNT:
      break;
  }
  return UnknownKind(number);
}

AttributionBasis ToAttributionBasis(uint16_t flags) {
  if (flags & EVENT_BY_NAMESPACE)
    return AttributionBasis::kNamespace;
  return flags & EVENT_BY_PROCESS ? AttributionBasis::kProcess : AttributionBasis::kCgroup;
}

}  // namespace

absl::Status Decode(Bytes record, Event* event) {
  Record<event_header> r;
  RETURN_IF_ERROR(Read(record, &r));
  const event_header& header = r.fixed;
  if (header.size > record.size())
    return absl::InvalidArgumentError(
        absl::StrCat("record of ", record.size(), " bytes; its header says ", header.size));
  event->time_ns = header.time_ns;
  event->member = header.member;
  event->cgroup_id = header.cgroup_id;
  event->attributed_by = ToAttributionBasis(header.flags);
  event->kind = header.kind;
  return DecodeBody(header.kind, record.first(std::max<size_t>(header.size, sizeof(header))),
                    &event->body);
}

std::optional<RecordOwner> OwnerOf(Bytes record) {
  Record<event_header> r;
  if (!Read(record, &r).ok())
    return std::nullopt;
  return RecordOwner{.member = r.fixed.member, .kind = r.fixed.kind};
}

}  // namespace sandpiper
