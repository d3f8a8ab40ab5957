// SPDX-License-Identifier: Apache-2.0
// The parts that the log records of one sandbox have in common: its identity, the container or pod,
// and the process. RecordMaker makes the records of each event with it.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_RECORD_BUILDER_H_
#define SANDPIPER_USERSPACE_AGGREGATE_RECORD_BUILDER_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "userspace/aggregate/log_record.h"
#include "userspace/correlate/process_table.h"

namespace sandpiper {

// Origins of events with an owner that was not found by the cgroup. They are the same in each
// sandbox; AddOrigin() returns the others.
inline constexpr Origin kByNamespace = 1, kByProcess = 2;

class RecordBuilder {
 public:
  // `identity`: sandbox_id and the attributes that the user configured. Every record has them.
  explicit RecordBuilder(std::vector<Attribute> identity);

  // Adds a part of the sandbox, such as a container. Every record with the returned origin has
  // `attributes`.
  Origin AddOrigin(std::vector<RecordAttribute> attributes);
  const std::vector<Attribute>& identity() const { return identity_; }

  // The number of texts that had to be escaped so far.
  uint64_t escaped_texts() const { return escaped_texts_; }

  static double Milliseconds(uint64_t ns) { return static_cast<double>(ns) / 1e6; }
  // A body that begins with `what` and has room for the name of a destination.
  static std::string BeginBody(std::string_view what);
  // Adds the DNS server of a lookup.
  static void AddServer(const Endpoint& server, LogRecord* record);

 protected:
  // A record with the attributes of every record.
  LogRecord Begin(EventName event, Severity severity, std::string body, uint64_t time_ns,
                  int64_t unix_offset);

  // Escapes text that the sandbox chose, and counts it if that changes it.
  std::string Clean(std::string_view raw);
  // Adds text that the sandbox chose, unless it is empty.
  void AddText(LogRecord* record, AttributeKey<AttributeType::kText> key, const SharedText& raw);
  // Adds the attributes of the part of the sandbox.
  void AddOrigin(LogRecord* record, Origin origin) const;
  // Adds the process that caused an event. Its ids come from the event, and its path from its exec.
  void AddProcess(LogRecord* record, const ProcessKey& key, const std::string& comm,
                  const Process* process);

 private:
  std::vector<Attribute> identity_;
  std::vector<RecordAttribute> common_;  // identity_, as attributes of records
  // The attributes of each part. The origin of the first one is kByProcess + 1.
  std::vector<std::vector<RecordAttribute>> origins_;
  uint64_t escaped_texts_ = 0;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_RECORD_BUILDER_H_
