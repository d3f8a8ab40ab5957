// SPDX-License-Identifier: Apache-2.0
// Formats a record for a terminal, from its JSON line.
#ifndef SANDPIPER_USERSPACE_COMMAND_RECORD_TEXT_H_
#define SANDPIPER_USERSPACE_COMMAND_RECORD_TEXT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/command/commands.h"

namespace sandpiper {

struct RecordText {
  std::string time;     // of day, in UTC, with milliseconds
  std::string level;    // info, warn
  std::string sandbox;  // sandbox_id
  std::string event;    // opensandbox.event
  std::string detail;   // a destination, a command line or rules
  std::string result;   // the outcome; empty if the event has none
  std::string process;  // "curl[123]"; empty if no process is known

  // The cells of a table row, in the order above, without the level.
  std::vector<std::string> Cells() const;
  // One line without the level. With `color`, the color of the event shows it.
  std::string Compact(bool color) const;
};

// Parses the JSON line of a record. InvalidArgument if it is not one.
absl::StatusOr<RecordText> ReadRecord(const std::string& json);

// The line of titles. Columns have fixed widths, because a stream of records has no widest cell.
std::string TableTitles();
// Formats one line. Returns `json` unchanged if this version cannot read it.
std::string RecordLine(const std::string& json, RecordFormat format, bool color);
// Whether to color the output of this process.
bool WantsColor(ColorMode mode);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_RECORD_TEXT_H_
