// SPDX-License-Identifier: Apache-2.0
// A log record, as its JSON line has it, for people who look at a terminal.
#ifndef SANDPIPER_USERSPACE_COMMAND_RECORD_TEXT_H_
#define SANDPIPER_USERSPACE_COMMAND_RECORD_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/command/commands.h"

namespace sandpiper {

struct RecordText {
  std::string time;     // of day, UTC, in milliseconds
  std::string level;    // info, warn
  std::string sandbox;  // sandbox_id
  std::string event;    // opensandbox.event
  std::string what;     // destination, program, rules
  std::string result;   // what became of it; empty where nothing does
  std::string process;  // "curl[123]"; empty where there is none

  // Of a table, in the order above, without the level.
  std::vector<std::string> Cells() const;
  // One line, without the level, which a colour shows where `color` is set.
  std::string Compact(bool color) const;
};

// InvalidArgument for what is no record.
absl::StatusOr<RecordText> ReadRecord(const std::string& json);

// For a stream of records: columns are as wide as what they usually hold.
std::string TableTitles();
// As it is where it is no record that this version knows.
std::string RecordLine(const std::string& json, RecordFormat format, bool color);
bool WantsColor(ColorMode mode);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_RECORD_TEXT_H_
