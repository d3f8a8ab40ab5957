// SPDX-License-Identifier: Apache-2.0
#include "userspace/capture/replay.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "userspace/base/status.h"
#include "userspace/capture/capture_reader.h"

namespace sandpiper {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

// Starts and stops one session per sandbox at the times of the capture, and feeds it the events of
// its sandbox.
class CapturePlayer {
 public:
  CapturePlayer(Capture capture, const ReplayOptions& options, RecordSink sink)
      : capture_(std::move(capture)), options_(options), sink_(std::move(sink)) {
    options_.session.recorded_unix_offset = capture_.header.unix_offset_ns();
    options_.session.dns_ports = {capture_.header.dns_ports().begin(),
                                  capture_.header.dns_ports().end()};
  }

  ReplaySummary Play() {
    for (const Event& event : capture_.events) {
      AdvanceTo(event.time_ns);
      Deliver(event);
    }
    AdvanceTo(kNever);
    return {.records = capture_.records,
            .undecodable = capture_.undecodable,
            .unattributed = unattributed_,
            .sandboxes = capture_.sandboxes.size(),
            .truncation = capture_.truncation};
  }

 private:
  struct Player {
    std::unique_ptr<SandboxSession> session;
    std::map<uint64_t, std::array<Origin, 3>> origins;  // by member
    uint64_t last_event_ns = 0;
    KernelCounts delivered;  // in place of the BPF counters if the capture has none
  };
  using Players = std::map<uint64_t, Player>;  // by the serial of the sandbox

  void AdvanceTo(uint64_t until_ns) {
    while (DoNext(until_ns)) {
    }
  }

  // Of all starts, ends and windows that are due up to `until_ns`, does the earliest one. False if
  // none is due. At kNever all remaining sandboxes end; their last windows close with them.
  bool DoNext(uint64_t until_ns) {
    const bool has_start = next_start_ < capture_.sandboxes.size();
    const uint64_t start = has_start ? capture_.sandboxes[next_start_].started_ns() : kNever;
    const uint64_t window = players_.empty() ? kNever : next_window_ns_;
    const auto ending = NextEnding();
    const bool has_ending = ending != players_.end();
    const uint64_t end = has_ending ? EndOf(*ending) : kNever;
    if (has_start && start <= std::min({window, end, until_ns})) {
      Start(capture_.sandboxes[next_start_++]);
      return true;
    }
    if (has_ending && end <= std::min(window, until_ns)) {
      Stop(ending, end);
      return true;
    }
    if (until_ns == kNever && has_ending) {
      const uint64_t last_event_ns = ending->second.last_event_ns;
      Stop(ending, end == kNever ? last_event_ns : end);
      return true;
    }
    if (until_ns != kNever && window <= until_ns) {
      CloseWindow(window, std::min({start, end, until_ns}));
      return true;
    }
    return false;
  }

  uint64_t EndOf(const Players::value_type& player) const {
    const auto end = capture_.ends.find(player.first);
    return end == capture_.ends.end() ? kNever : end->second.time_ns();
  }

  Players::iterator NextEnding() {
    return std::min_element(players_.begin(), players_.end(),
                            [&](const auto& a, const auto& b) { return EndOf(a) < EndOf(b); });
  }

  void Start(const v1::CapturedSandbox& sandbox) {
    const FlowTable::UdpReader read_udp = [this](const Flow& flow) {
      const auto found = capture_.udp_counts.find({flow.cookie, flow.peer});
      return found == capture_.udp_counts.end() ? FlowTable::UdpCounts{} : found->second;
    };
    if (players_.empty())
      next_window_ns_ = sandbox.started_ns() + options_.window_ns;
    Player& player = players_[sandbox.serial()];
    player.last_event_ns = sandbox.started_ns();
    player.session = std::make_unique<SandboxSession>(
        SandboxIdentity{
            .serial = sandbox.serial(), .id = sandbox.id(), .runtime = sandbox.runtime()},
        options_.session, read_udp, sink_, sandbox.started_ns());
  }

  // Skips the following windows up to `next_ns`, in which nothing happens.
  void CloseWindow(uint64_t now_ns, uint64_t next_ns) {
    for (auto& [serial, player] : players_)
      player.session->CloseWindow(now_ns);
    const uint64_t windows = std::max<uint64_t>(1, (next_ns - now_ns) / options_.window_ns);
    next_window_ns_ = now_ns + options_.window_ns * windows;
  }

  void Stop(Players::iterator ending, uint64_t now_ns) {
    SandboxSession& session = *ending->second.session;
    const auto end = capture_.ends.find(ending->first);
    session.OnCounters(end == capture_.ends.end() ? ending->second.delivered
                                                  : ToKernelCounts(end->second.counts()));
    session.flows().RefreshTcp([this](uint64_t cookie) -> std::optional<FlowTable::TcpCounts> {
      const auto bytes = capture_.tcp_bytes.find(cookie);
      if (bytes == capture_.tcp_bytes.end())
        return std::nullopt;
      return FlowTable::TcpCounts{.sent = bytes->second.sent(),
                                  .received = bytes->second.received()};
    });
    session.Stop(now_ns);
    players_.erase(ending);
  }

  // The member's last entry up to this time. An earlier event belongs to its first entry. Null for
  // an unknown member.
  const v1::CapturedMember* MemberAt(uint64_t member, uint64_t time_ns) const {
    const auto found = capture_.members.find(member);
    if (found == capture_.members.end())
      return nullptr;
    const v1::CapturedMember* out = &found->second.front();
    for (const v1::CapturedMember& entry : found->second) {
      if (entry.from_ns() <= time_ns)
        out = &entry;
    }
    return out;
  }

  static Origin OriginOf(const v1::CapturedMember& member, AttributionBasis basis, Player* player) {
    const auto [found, is_new] = player->origins.try_emplace(member.member());
    if (is_new) {
      std::vector<RecordAttribute> attributes;
      for (const auto& [key, value] : member.attributes())
        attributes.emplace_back(Attribute(SharedText(key), value));
      found->second = player->session->AddMember(std::move(attributes));
    }
    return found->second[static_cast<size_t>(basis)];
  }

  void Deliver(const Event& event) {
    const v1::CapturedMember* const member = MemberAt(event.member, event.time_ns);
    const auto found = member ? players_.find(member->sandbox()) : players_.end();
    if (found == players_.end()) {
      ++unattributed_;
      return;
    }
    Player& player = found->second;
    Event attributed = event;
    std::visit(
        [&](auto& body) {
          if constexpr (requires { body.origin; })
            body.origin = OriginOf(*member, event.attributed_by, &player);
        },
        attributed.body);
    if (player.session->NextDeadline() <= event.time_ns)
      player.session->ExpireDue(event.time_ns);
    player.session->OnEvent(attributed);
    ++player.delivered.produced[event.kind];
    player.last_event_ns = event.time_ns;
  }

  Capture capture_;
  ReplayOptions options_;
  const RecordSink sink_;
  Players players_;
  size_t next_start_ = 0;  // index of the next sandbox to start
  uint64_t next_window_ns_ = kNever;
  uint64_t unattributed_ = 0;
};

}  // namespace

absl::StatusOr<ReplaySummary> ReplayCapture(const std::string& path, const ReplayOptions& options,
                                            const RecordSink& sink) {
  ASSIGN_OR_RETURN(Capture capture, ReadCapture(path));
  return CapturePlayer(std::move(capture), options, sink).Play();
}

}  // namespace sandpiper
