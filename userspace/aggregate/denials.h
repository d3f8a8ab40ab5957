// SPDX-License-Identifier: Apache-2.0
// What a sandbox was refused, so that a flood of it becomes one record at once and one with the
// count at the window's end.
#ifndef SANDPIPER_USERSPACE_AGGREGATE_DENIALS_H_
#define SANDPIPER_USERSPACE_AGGREGATE_DENIALS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "userspace/aggregate/ledger.h"
#include "userspace/correlate/denial.h"

namespace sandpiper {

struct Denial {
  Origin origin = 0;
  DestinationKey destination;
  DenialLayer layer = DenialLayer::kNone;
  std::optional<Address> peer;  // who was not reached; DNS: the server
  std::optional<uint16_t> question_type;
  ProcessKey process;
  std::string comm;
  uint64_t time_ns = 0;
};

Denial DenialOf(const Flow& flow, uint64_t time_ns);
Denial DenialOf(const Lookup& lookup, DenialLayer layer);

class Denials {
 public:
  // Past `capacity` destinations in one window, the others are counted together.
  explicit Denials(size_t capacity) : capacity_(capacity) {}

  // `count` more. True if this is the first of its destination and layer in the window: one of them
  // is to be told now.
  bool Add(const Denial& denial, uint64_t count);

  struct WindowEntry {
    std::optional<DestinationKey> destination;  // none: those beyond the capacity
    DenialLayer layer;
    Transport transport;
    uint64_t count;
  };
  // Those that were not told at once. The sum over all records is exact.
  std::vector<WindowEntry> CloseWindow();

 private:
  size_t capacity_;
  std::map<std::pair<DestinationKey, DenialLayer>, uint64_t> untold_;
  std::map<std::pair<Transport, DenialLayer>, uint64_t> beyond_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_DENIALS_H_
