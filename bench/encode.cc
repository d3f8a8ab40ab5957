// SPDX-License-Identifier: Apache-2.0
// encode [ROUNDS]: encodes a batch of log records as an OTLP request, ROUNDS times. It measures
// EncodeLogs, the classes that protoc generates on an arena, and a copy of the finished bytes as
// the minimum. Prints one JSON object with CPU nanoseconds a record. Each encoder is a function of
// its own, so that callgrind can count it.
#include <google/protobuf/arena.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/sample_records.h"
#include "tests/unit/generated_logs.h"
#include "userspace/export/otlp_logs.h"

namespace sandpiper {

constexpr size_t kBatch = 512;  // the default of the exporter

std::vector<Attribute> resource;
std::vector<SharedRecord> records;

[[gnu::noinline]] std::string ByOurs() { return EncodeLogs(records, resource); }

[[gnu::noinline]] std::string ByGenerated() {
  google::protobuf::Arena arena;
  auto* request = google::protobuf::Arena::CreateMessage<OtlpLogs>(&arena);
  FillLogs(records, resource, request);
  return request->SerializeAsString();
}

[[gnu::noinline]] std::string ByCopy(const std::string& bytes) { return bytes; }

double CpuSeconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

template <typename Encode>
double Measure(int rounds, const Encode& encode) {
  const double begin = CpuSeconds();
  size_t bytes = 0;
  for (int i = 0; i < rounds; ++i)
    bytes += encode().size();
  if (bytes == 0)
    abort();
  return (CpuSeconds() - begin) * 1e9 / (static_cast<double>(rounds) * kBatch);
}

}  // namespace sandpiper

int main(int argc, char** argv) {
  using namespace sandpiper;
  const int rounds = argc > 1 ? atoi(argv[1]) : 200;
  resource = SampleResource();
  records = SampleRecords(kBatch);
  const std::string bytes = ByOurs();
  if (bytes != ByGenerated()) {
    fprintf(stderr, "encode: the two do not write the same\n");
    return 1;
  }
  // The encoders take turns, so that other load of the machine affects all of them.
  double ours = 0, generated = 0, copy = 0;
  constexpr int kTurns = 5;
  for (int turn = 0; turn < kTurns; ++turn) {
    ours += Measure(rounds, ByOurs) / kTurns;
    generated += Measure(rounds, ByGenerated) / kTurns;
    copy += Measure(rounds, [&] { return ByCopy(bytes); }) / kTurns;
  }
  printf(
      "{\"batch\": %zu, \"runs\": %d, \"bytes\": %.1f, \"ns\": {\"ours\": %.1f, \"generated\": "
      "%.1f, \"copy\": %.1f}}\n",
      kBatch, rounds * kTurns + 1, static_cast<double>(bytes.size()) / kBatch, ours, generated,
      copy);
  return 0;
}
