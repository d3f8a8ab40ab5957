// SPDX-License-Identifier: Apache-2.0
#include "userspace/capture/replay.h"

#include <fcntl.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/util/delimited_message_util.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "capture.pb.h"
#include "userspace/base/fd.h"
#include "userspace/base/status.h"
#include "userspace/capture/capture_writer.h"
#include "userspace/event/decode.h"

namespace sandpiper {
namespace {

using UdpCounts = std::map<std::pair<uint64_t, Endpoint>, FlowTable::UdpCounts>;

// All of a capture, sorted out.
struct Capture {
  v1::CaptureHeader header;
  std::vector<v1::CapturedSandbox> sandboxes;  // by birth
  std::map<uint64_t, std::vector<v1::CapturedMember>> members;
  std::vector<Event> events;  // by time
  UdpCounts udp;
  absl::flat_hash_map<uint64_t, v1::CapturedTcpBytes> tcp;
  std::map<uint64_t, v1::CapturedEnd> ends;  // by sandbox
  ReplaySummary summary;
};

template <size_t N>
void Fill(const google::protobuf::RepeatedField<uint64_t>& from, std::array<uint64_t, N>* to) {
  std::copy_n(from.begin(), std::min<size_t>(N, static_cast<size_t>(from.size())), to->begin());
}

void Fill(const google::protobuf::RepeatedField<uint64_t>& from,
          KernelCounts::ByTransportAndNetwork* to) {
  for (int i = 0; i < std::min(from.size(), 4); ++i)
    (*to)[static_cast<size_t>(i) / 2][static_cast<size_t>(i) % 2] = from[i];
}

KernelCounts ToCounts(const v1::CapturedCounts& in) {
  KernelCounts out;
  Fill(in.produced(), &out.produced);
  Fill(in.dropped(), &out.dropped);
  Fill(in.limited(), &out.limited);
  Fill(in.attempts(), &out.attempts);
  Fill(in.attempts_dropped(), &out.attempts_dropped);
  out.sent = in.sent();
  out.received = in.received();
  out.storage_failed = in.storage_failed();
  Fill(in.denied(), &out.denied);
  Fill(in.exits(), &out.exits);
  return out;
}

void Add(v1::CaptureEntry* entry, Capture* out) {
  switch (entry->content_case()) {
    case v1::CaptureEntry::kSandbox:
      out->sandboxes.push_back(std::move(*entry->mutable_sandbox()));
      return;
    case v1::CaptureEntry::kMember:
      out->members[entry->member().member()].push_back(std::move(*entry->mutable_member()));
      return;
    case v1::CaptureEntry::kRecord: {
      ++out->summary.records;
      const std::string& bytes = entry->record();
      if (Event event; Decode(std::as_bytes(std::span(bytes.data(), bytes.size())), &event).ok())
        out->events.push_back(std::move(event));
      else
        ++out->summary.undecodable;
      return;
    }
    case v1::CaptureEntry::kUdpFlow: {
      const v1::CapturedUdpFlow& flow = entry->udp_flow();
      Endpoint peer = {.port = static_cast<uint16_t>(flow.port())};
      std::copy_n(flow.address().begin(),
                  std::min(flow.address().size(), peer.address.bytes.size()),
                  peer.address.bytes.begin());
      out->udp[{flow.cookie(), peer}] = {
          .sent = flow.sent(), .received = flow.received(), .denied = flow.denied()};
      return;
    }
    case v1::CaptureEntry::kTcpBytes:
      out->tcp[entry->tcp_bytes().cookie()] = entry->tcp_bytes();
      return;
    case v1::CaptureEntry::kEnd:
      out->ends[entry->end().sandbox()] = std::move(*entry->mutable_end());
      return;
    case v1::CaptureEntry::kHeader:
    case v1::CaptureEntry::CONTENT_NOT_SET:  // of a later version
      return;
  }
}

absl::StatusOr<Capture> ReadCapture(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return ErrnoStatus(errno, absl::StrCat("opening the capture ", path));
  google::protobuf::io::FileInputStream in(fd);
  in.SetCloseOnDelete(true);
  Capture out;
  v1::CaptureEntry entry;
  bool clean_end = false;
  const auto next = [&] {
    return google::protobuf::util::ParseDelimitedFromZeroCopyStream(&entry, &in, &clean_end);
  };
  if (!next() || !entry.has_header())
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no capture: sandpiper run --capture FILE makes one"));
  out.header = entry.header();
  if (out.header.version() != kCaptureFormat)
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": a capture of format ", out.header.version(), ", made by sandpiper ",
                     out.header.sandpiper_version(), "; this one reads format ", kCaptureFormat));
  while (next())
    Add(&entry, &out);
  if (!clean_end)
    out.summary.cut = absl::StrCat(path, " is cut short at byte ", in.ByteCount());
  std::stable_sort(out.sandboxes.begin(), out.sandboxes.end(),
                   [](const auto& a, const auto& b) { return a.started_ns() < b.started_ns(); });
  std::stable_sort(out.events.begin(), out.events.end(),
                   [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; });
  out.summary.sandboxes = out.sandboxes.size();
  return out;
}

class Player {
 public:
  Player(Capture capture, const ReplayOptions& options, RecordSink sink)
      : capture_(std::move(capture)), options_(options), sink_(std::move(sink)) {
    options_.session.recorded_unix_offset = capture_.header.unix_offset_ns();
    options_.session.dns_ports = {capture_.header.dns_ports().begin(),
                                  capture_.header.dns_ports().end()};
  }

  ReplaySummary Play() {
    for (const Event& event : capture_.events) {
      Advance(event.time_ns);
      Deliver(event);
    }
    Advance(std::numeric_limits<uint64_t>::max());
    return capture_.summary;
  }

 private:
  struct Playing {
    std::unique_ptr<SandboxSession> session;
    std::map<uint64_t, std::array<Origin, 3>> origins;  // by member
    uint64_t last_ns = 0;
    KernelCounts seen;  // stands for the kernel's counts where the capture does not have them
  };

  // Births, windows and ends up to then, in their order.
  void Advance(uint64_t until_ns) {
    while (true) {
      const uint64_t born = born_ < capture_.sandboxes.size()
                                ? capture_.sandboxes[born_].started_ns()
                                : std::numeric_limits<uint64_t>::max();
      const uint64_t window =
          playing_.empty() ? std::numeric_limits<uint64_t>::max() : next_window_ns_;
      const auto ending = NextEnd();
      const uint64_t end =
          ending == playing_.end() ? std::numeric_limits<uint64_t>::max() : EndOf(*ending);
      if (born <= std::min({window, end, until_ns}) && born_ < capture_.sandboxes.size())
        Begin(capture_.sandboxes[born_++]);
      else if (end <= std::min(window, until_ns) && ending != playing_.end())
        End(ending, end);
      else if (window <= until_ns && until_ns != std::numeric_limits<uint64_t>::max())
        CloseWindow(window, std::min({born, end, until_ns}));
      else if (until_ns == std::numeric_limits<uint64_t>::max() && !playing_.empty())
        End(ending, end == until_ns ? ending->second.last_ns
                                    : end);  // the last windows close with their sandboxes
      else
        return;
    }
  }

  using Map = std::map<uint64_t, Playing>;

  uint64_t EndOf(const Map::value_type& playing) const {
    const auto end = capture_.ends.find(playing.first);
    return end == capture_.ends.end() ? std::numeric_limits<uint64_t>::max()
                                      : end->second.time_ns();
  }
  Map::iterator NextEnd() {
    return std::min_element(playing_.begin(), playing_.end(),
                            [&](const auto& a, const auto& b) { return EndOf(a) < EndOf(b); });
  }

  void Begin(const v1::CapturedSandbox& sandbox) {
    const FlowTable::UdpReader read_udp = [this](const Flow& flow) {
      const auto found = capture_.udp.find({flow.cookie, flow.peer});
      return found == capture_.udp.end() ? FlowTable::UdpCounts{} : found->second;
    };
    if (playing_.empty())
      next_window_ns_ = sandbox.started_ns() + options_.window_ns;
    Playing& playing = playing_[sandbox.serial()];
    playing.last_ns = sandbox.started_ns();
    playing.session = std::make_unique<SandboxSession>(
        SandboxIdentity{
            .serial = sandbox.serial(), .id = sandbox.id(), .runtime = sandbox.runtime()},
        options_.session, read_udp, sink_, sandbox.started_ns());
  }

  // Windows in which nothing happens, up to `next_ns`, have nothing to tell.
  void CloseWindow(uint64_t now_ns, uint64_t next_ns) {
    for (auto& [serial, playing] : playing_)
      playing.session->CloseWindow(now_ns);
    next_window_ns_ = now_ns + options_.window_ns *
                                   std::max<uint64_t>(1, (next_ns - now_ns) / options_.window_ns);
  }

  void End(Map::iterator ending, uint64_t now_ns) {
    SandboxSession& session = *ending->second.session;
    const auto end = capture_.ends.find(ending->first);
    session.OnCounters(end == capture_.ends.end() ? ending->second.seen
                                                  : ToCounts(end->second.counts()));
    session.flows().RefreshTcp([this](uint64_t cookie) -> std::optional<FlowTable::TcpCounts> {
      const auto bytes = capture_.tcp.find(cookie);
      if (bytes == capture_.tcp.end())
        return std::nullopt;
      return FlowTable::TcpCounts{.sent = bytes->second.sent(),
                                  .received = bytes->second.received()};
    });
    session.Stop(now_ns);
    playing_.erase(ending);
  }

  // The last word on the member up to then, or the first.
  const v1::CapturedMember* MemberAt(uint64_t member, uint64_t time_ns) const {
    const auto found = capture_.members.find(member);
    if (found == capture_.members.end())
      return nullptr;
    const v1::CapturedMember* out = &found->second.front();
    for (const v1::CapturedMember& word : found->second) {
      if (word.from_ns() <= time_ns)
        out = &word;
    }
    return out;
  }

  static Origin OriginOf(const v1::CapturedMember& member, AttributionBasis by, Playing* playing) {
    const auto [found, fresh] = playing->origins.try_emplace(member.member());
    if (fresh) {
      std::vector<Attribute> attributes;
      for (const auto& [key, value] : member.attributes())
        attributes.push_back({SharedText(key), value});
      found->second = playing->session->AddMember(std::move(attributes));
    }
    return found->second[static_cast<size_t>(by)];
  }

  void Deliver(const Event& event) {
    const v1::CapturedMember* const member = MemberAt(event.member, event.time_ns);
    const auto found = member ? playing_.find(member->sandbox()) : playing_.end();
    if (found == playing_.end()) {
      ++capture_.summary.unattributed;
      return;
    }
    Playing& playing = found->second;
    Event placed = event;
    std::visit(
        [&](auto& what) {
          if constexpr (requires { what.origin; })
            what.origin = OriginOf(*member, event.attributed_by, &playing);
        },
        placed.body);
    if (playing.session->NextDeadline() <= event.time_ns)
      playing.session->ExpireDue(event.time_ns);
    playing.session->OnEvent(placed);
    ++playing.seen.produced[event.kind];
    playing.last_ns = event.time_ns;
  }

  Capture capture_;
  ReplayOptions options_;
  const RecordSink sink_;
  Map playing_;
  size_t born_ = 0;
  uint64_t next_window_ns_ = std::numeric_limits<uint64_t>::max();
};

}  // namespace

absl::StatusOr<ReplaySummary> ReplayCapture(const std::string& path, const ReplayOptions& options,
                                            const RecordSink& sink) {
  ASSIGN_OR_RETURN(Capture capture, ReadCapture(path));
  return Player(std::move(capture), options, sink).Play();
}

}  // namespace sandpiper
