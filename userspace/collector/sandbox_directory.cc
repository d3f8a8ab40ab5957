// SPDX-License-Identifier: Apache-2.0
#include "userspace/collector/sandbox_directory.h"

#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "userspace/base/clock.h"

namespace sandpiper {

SandboxSession* SandboxDirectory::FindOrCreate(const std::string& id, const std::string& runtime,
                                               uint64_t created_ns) {
  if (const auto known = by_id_.find(id);
      known != by_id_.end() && members_->HasExisting(known->second))
    return sessions_.at(known->second).get();
  const SandboxIdentity identity = {.serial = NextSerial(), .id = id, .runtime = runtime};
  if (capture_)
    capture_->WriteSandbox(identity, created_ns);
  by_id_[id] = identity.serial;
  std::unique_ptr<SandboxSession>& session = sessions_[identity.serial];
  session = std::make_unique<SandboxSession>(
      identity, options_, [this](const Flow& flow) { return ReadUdp(flow); }, sink_, created_ns);
  by_serial_[identity.serial] = session.get();
  return session.get();
}

FlowTable::UdpCounts SandboxDirectory::ReadUdp(const Flow& flow) const {
  const UdpFlowCounts counts = tables_->ReadUdpFlow(flow.cookie, flow.peer);
  const FlowTable::UdpCounts out = {
      .sent = counts.bytes.sent, .received = counts.bytes.received, .denied = counts.denied};
  if (capture_)
    capture_->WriteUdpFlow(flow, out);
  return out;
}

std::array<Origin, 3> SandboxDirectory::AddMember(uint64_t member,
                                                  std::vector<RecordAttribute> attributes,
                                                  SandboxSession* session) {
  if (capture_)
    capture_->WriteMember(member, session->sandbox().serial, BootNow(), attributes);
  return session->AddMember(std::move(attributes));
}

void SandboxDirectory::Poll(uint64_t now_ns) {
  for (const uint64_t serial : due_.PopDue(now_ns)) {
    SandboxSession& session = *by_serial_.at(serial);
    session.ExpireDue(now_ns);
    Reschedule(session);
  }
}

void SandboxDirectory::ReadCounters() {
  const std::map<uint64_t, KernelCounts> counts = members_->CountsBySandbox();
  for (const auto& [serial, session] : sessions_) {
    const auto known = counts.find(serial);
    session->OnCounters(known == counts.end() ? KernelCounts{} : known->second);
  }
}

void SandboxDirectory::ReadBytes(uint64_t now_ns) {
  absl::flat_hash_set<uint64_t> open;
  absl::flat_hash_map<uint64_t, FlowTable::TcpCounts> bytes;
  for (const SocketBytes& socket : tables_->ReadSockets()) {
    open.insert(socket.cookie);
    bytes[socket.cookie] = {.sent = socket.bytes.sent, .received = socket.bytes.received};
    if (capture_)
      capture_->WriteTcpBytes(socket.cookie, socket.bytes.sent, socket.bytes.received);
  }
  const FlowTable::TcpReader read = [&](uint64_t cookie) {
    const auto socket = bytes.find(cookie);
    return socket == bytes.end() ? std::nullopt : std::optional(socket->second);
  };
  for (const auto& [serial, session] : sessions_) {
    session->flows().RefreshTcp(read);
    if (tables_->sees_all_sockets())
      session->OnLivingSockets(open, now_ns);
  }
}

void SandboxDirectory::CloseWindow(uint64_t now_ns) {
  ReadCounters();
  ReadBytes(now_ns);
  for (const auto& [serial, session] : sessions_) {
    session->CloseWindow(now_ns);
    Reschedule(*session);
  }
}

void SandboxDirectory::Shutdown(SandboxSession* session, uint64_t now_ns) {
  session->Stop(now_ns);
  if (capture_)
    capture_->WriteEnd(session->sandbox().serial, now_ns, session->counters());
}

void SandboxDirectory::Remove(uint64_t serial) {
  const auto session = sessions_.find(serial);
  if (session == sessions_.end())
    return;
  if (const auto newest = by_id_.find(session->second->sandbox().id);
      newest != by_id_.end() && newest->second == serial)
    by_id_.erase(newest);
  due_.Remove(serial);
  by_serial_.erase(serial);
  sessions_.erase(session);
}

void SandboxDirectory::SetLogLevel(Severity level) {
  options_.log_level = level;
  for (const auto& [serial, session] : sessions_)
    session->set_log_level(level);
}

size_t SandboxDirectory::open_connections() const {
  size_t open = 0;
  for (const auto& [serial, session] : sessions_)
    open += session->flows().size();
  return open;
}

}  // namespace sandpiper
