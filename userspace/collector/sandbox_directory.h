// SPDX-License-Identifier: Apache-2.0
#ifndef SANDPIPER_USERSPACE_COLLECTOR_SANDBOX_DIRECTORY_H_
#define SANDPIPER_USERSPACE_COLLECTOR_SANDBOX_DIRECTORY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "userspace/attribution/member_table.h"
#include "userspace/base/schedule.h"
#include "userspace/capture/capture_writer.h"
#include "userspace/probe/kernel_tables.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {

// The runtime of sandboxes that are devices; others have the name of their container runtime.
inline constexpr char kDeviceRuntime[] = "device";

// All running sandboxes: creates their sessions, finds them, and calls each when it is due.
//
// Owned by Pipeline. All calls are made by the thread of the event loop.
class SandboxDirectory {
 public:
  // The pointers outlive this object.
  SandboxDirectory(const KernelTables* tables, const MemberTable* members,
                   const SessionOptions& options, RecordSink sink)
      : tables_(tables), members_(members), options_(options), sink_(std::move(sink)) {}

  // Writes the life of all sandboxes to the capture too. Call it before the first one is created.
  void StartCapture(std::unique_ptr<CaptureWriter> capture) { capture_ = std::move(capture); }
  // Null if there is no capture.
  CaptureWriter* capture() { return capture_.get(); }

  // Returns the sandbox with this id, or creates it. If no cgroup of it exists any more, that
  // sandbox is about to end, and a new one with the same id is created.
  SandboxSession* FindOrCreate(const std::string& id, const std::string& runtime,
                               uint64_t created_ns);
  // Null if it ended. Called for each event.
  SandboxSession* Find(uint64_t serial) const {
    const auto it = by_serial_.find(serial);
    return it == by_serial_.end() ? nullptr : it->second;
  }
  // Returns a number that no sandbox had or will have.
  uint64_t NextSerial() { return next_serial_++; }
  // Adds a member to the session. `attributes` are added to all records of the member.
  std::array<Origin, 3> AddMember(uint64_t member, std::vector<RecordAttribute> attributes,
                                  SandboxSession* session);

  // Call after anything that may have changed when the session is due.
  void Reschedule(const SandboxSession& session) {
    due_.Set(session.sandbox().serial, session.NextDeadline());
  }
  // Calls the sessions that are due.
  void Poll(uint64_t now_ns);
  uint64_t NextDeadline() const { return due_.NextDeadline(); }

  // Gives all sessions the current counters of the kernel.
  void ReadCounters();
  // Gives all sessions the current bytes of their connections.
  void ReadBytes(uint64_t now_ns);
  // Ends the reporting window of all sessions, with current counters and bytes.
  void CloseWindow(uint64_t now_ns);

  // Ends the session. Its counters and bytes must be current.
  void Shutdown(SandboxSession* session, uint64_t now_ns);
  void Remove(uint64_t serial);

  void SetLogLevel(Severity level);

  const SessionOptions& options() const { return options_; }
  const std::map<uint64_t, std::unique_ptr<SandboxSession>>& all() const { return sessions_; }
  // The number of connections and attempts that have not ended.
  size_t open_connections() const;

 private:
  FlowTable::UdpCounts ReadUdp(const Flow& flow) const;

  const KernelTables* tables_;
  const MemberTable* members_;
  SessionOptions options_;
  RecordSink sink_;
  std::map<uint64_t, std::unique_ptr<SandboxSession>> sessions_;  // by serial
  absl::flat_hash_map<uint64_t, SandboxSession*> by_serial_;      // the same sessions, for Find
  std::map<std::string, uint64_t> by_id_;                         // the newest serial of each id
  Schedule due_;                                                  // by serial
  uint64_t next_serial_ = 1;
  std::unique_ptr<CaptureWriter> capture_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COLLECTOR_SANDBOX_DIRECTORY_H_
