// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/record_builder.h"

#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/text.h"

namespace sandpiper {
namespace {

// Room for the attributes of nearly every record besides the identity, so that the vector does not
// grow.
constexpr size_t kAttributes = 20;

SharedText BaseName(const SharedText& path) { return path.Tail(path.view().rfind('/') + 1); }

}  // namespace

std::string RecordBuilder::Clean(std::string_view raw) {
  if (IsPlain(raw))
    return std::string(raw);
  std::string escaped = Escape(raw);
  escaped_texts_ += escaped != raw;
  return escaped;
}

void RecordBuilder::AddText(LogRecord* record, AttributeKey<AttributeType::kText> key,
                            const SharedText& raw) {
  if (!raw.empty())
    record->Add(key, raw.is_plain() ? raw : SharedText(Clean(raw.view())));
}

RecordBuilder::RecordBuilder(std::vector<Attribute> identity) : identity_(std::move(identity)) {
  for (const Attribute& attribute : identity_)
    common_.emplace_back(attribute);
}

Origin RecordBuilder::AddOrigin(std::vector<RecordAttribute> attributes) {
  origins_.push_back(std::move(attributes));
  return kByProcess + static_cast<Origin>(origins_.size());
}

void RecordBuilder::AddOrigin(LogRecord* record, Origin origin) const {
  if (origin == kByNamespace || origin == kByProcess)
    record->Add("sandbox.attribution",
                origin == kByNamespace ? SharedText("namespace") : SharedText("process"));
  else if (origin > kByProcess && origin - kByProcess <= origins_.size())
    record->attributes.insert(record->attributes.end(), origins_[origin - kByProcess - 1].begin(),
                              origins_[origin - kByProcess - 1].end());
}

void RecordBuilder::AddProcess(LogRecord* record, const ProcessKey& key, const std::string& comm,
                               const Process* process) {
  if (key.pid != 0)
    record->Add("process.pid", int64_t{key.pid});
  if (process && process->parent.pid != 0)
    record->Add("process.parent_pid", int64_t{process->parent.pid});
  if (process)
    AddText(record, "process.executable.path", process->path);
  AddText(record, "process.executable.name",
          process && !process->path.empty() ? BaseName(process->path) : SharedText(comm));
}

std::string RecordBuilder::BeginBody(std::string_view what) {
  constexpr size_t kBytes = 63;  // nearly every body fits, and does not grow
  std::string out;
  out.reserve(kBytes);
  out += what;
  return out;
}

void RecordBuilder::AddServer(const Endpoint& server, LogRecord* record) {
  record->Add("server.address", server.address.ToString());
  record->Add("server.port", int64_t{server.port});
}

LogRecord RecordBuilder::Begin(EventName event, Severity severity, std::string body,
                               uint64_t time_ns, int64_t unix_offset) {
  LogRecord record = {.time_unix_ns = time_ns + static_cast<uint64_t>(unix_offset),
                      .observed_unix_ns = BootNow() + static_cast<uint64_t>(unix_offset),
                      .severity = severity,
                      .event = event.text(),
                      .body = std::move(body),
                      .attributes = {}};
  record.attributes.reserve(kAttributes + common_.size());
  record.Add("opensandbox.event", record.event);
  record.attributes.insert(record.attributes.end(), common_.begin(), common_.end());
  return record;
}

}  // namespace sandpiper
