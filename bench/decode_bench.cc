// SPDX-License-Identifier: Apache-2.0
// Measures user space for each record: decoding, parsing, joining query and answer to a lookup.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "bpf/events.h"
#include "tests/unit/dns_wire.h"
#include "userspace/correlate/dns_lookups.h"
#include "userspace/event/decode.h"
#include "userspace/event/dns_message.h"

namespace sandpiper {
namespace {

template <typename T>
std::vector<std::byte> Forge(T fixed, const std::string& tail) {
  fixed.header.size = static_cast<uint32_t>(sizeof(T) + tail.size());
  std::vector<std::byte> out(fixed.header.size);
  std::memcpy(out.data(), &fixed, sizeof(T));
  std::memcpy(out.data() + sizeof(T), tail.data(), tail.size());
  return out;
}

void DecodeConnect(benchmark::State& state) {
  connect_event event = {};
  event.header.kind = EVENT_CONNECT;
  const auto record = Forge(event, "");
  for ([[maybe_unused]] auto _ : state) {
    Event event;
    benchmark::DoNotOptimize(Decode(record, &event));
    benchmark::DoNotOptimize(event);
  }
}
BENCHMARK(DecodeConnect);

void ParseAnswerOfTwo(benchmark::State& state) {
  const std::string wire =
      testing::Answer(1, "www.example.test", {testing::ARecord(1), testing::ARecord(2)});
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(ParseDns(wire, DnsCapture::kComplete));
}
BENCHMARK(ParseAnswerOfTwo);

// The minimum for the benchmark above: a copy of the same bytes.
void CopyAnswerOfTwo(benchmark::State& state) {
  const std::string wire =
      testing::Answer(1, "www.example.test", {testing::ARecord(1), testing::ARecord(2)});
  for ([[maybe_unused]] auto _ : state) {
    std::string copy = wire;
    benchmark::DoNotOptimize(copy.data());
  }
}
BENCHMARK(CopyAnswerOfTwo);

void JoinQueryAndAnswer(benchmark::State& state) {
  DnsLookups lookups({.timeout_ns = 5'000'000'000});
  const std::string query = testing::Query(1, "www.example.test"),
                    answer = testing::Answer(1, "www.example.test", {testing::ARecord(1)});
  uint64_t now = 1;
  for ([[maybe_unused]] auto _ : state) {
    lookups.OnPayload(
        {.cookie = 1, .is_query = true, .process = {1, 1}, .thread = 1, .data = query}, now++);
    const DnsChanges changes =
        lookups.OnPayload({.cookie = 1, .is_query = false, .data = answer}, now++);
    benchmark::DoNotOptimize(changes.finished.size());
  }
}
BENCHMARK(JoinQueryAndAnswer);

}  // namespace
}  // namespace sandpiper

BENCHMARK_MAIN();
