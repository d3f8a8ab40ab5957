// SPDX-License-Identifier: Apache-2.0
// Decodes a record of the ring buffer (bpf/events.h) with arbitrary bytes.
#include "tests/fuzz/fuzz.h"
#include "userspace/event/decode.h"
#include "userspace/event/event_kind.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto record = std::as_bytes(std::span(data, size));
  sandpiper::Event event;
  const absl::Status status = sandpiper::Decode(record, &event);
  const auto owner = sandpiper::OwnerOf(record);
  if (status.ok()) {
    sandpiper::testing::Require(owner.has_value(), "a decoded record has an owner");
    sandpiper::testing::Require(owner->kind == event.kind && owner->member == event.member,
                                "Decode and OwnerOf agree on kind and member");
    sandpiper::KindName(event.kind);
  }
  return 0;
}
