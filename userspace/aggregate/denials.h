// SPDX-License-Identifier: Apache-2.0
// Denials of one sandbox in the current window. A flood of denials of one destination becomes two
// records: one at once, and one with the count at the end of the window.
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
  // The address that was not reached. A DNS server that denies was reached: there is none then.
  std::optional<Address> peer;
  std::optional<Endpoint> server;         // of a denied lookup
  std::optional<NameSource> name_source;  // of the name of a denied connection
  std::optional<uint16_t> question_type;
  ProcessKey process;
  std::string comm;
  uint64_t time_ns = 0;
};

Denial DenialOf(const Flow& flow, uint64_t time_ns);
Denial DenialOf(const Lookup& lookup, DenialLayer layer);

class Denials {
 public:
  // Over `capacity` destinations in one window, further ones are counted together.
  explicit Denials(size_t capacity) : capacity_(capacity) {}

  // Adds `count` denials. True if they are the first of their destination and layer in the window:
  // the caller then emits a record of one denial now.
  bool Add(const Denial& denial, uint64_t count);

  struct WindowEntry {
    std::optional<DestinationKey> destination;  // none: all destinations over the capacity
    DenialLayer layer;
    Transport transport;
    uint64_t count;
    std::optional<Address> peer;            // of the last denial
    std::optional<Endpoint> server;         // of the last denial
    std::optional<NameSource> name_source;  // of the last denial
  };
  // Ends the window. Returns the denials that Add() did not ask to emit, so that the sum over all
  // records is exact.
  std::vector<WindowEntry> CloseWindow();

 private:
  struct Entry {
    uint64_t count = 0;  // not emitted yet
    std::optional<Address> peer;
    std::optional<Endpoint> server;
    std::optional<NameSource> name_source;
  };

  size_t capacity_;
  std::map<std::pair<DestinationKey, DenialLayer>, Entry> counts_;
  std::map<std::pair<Transport, DenialLayer>, uint64_t> overflow_;  // over the capacity
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_AGGREGATE_DENIALS_H_
