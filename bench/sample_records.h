// SPDX-License-Identifier: Apache-2.0
// Sample records of a busy sandbox, for the benchmarks of encoding and sending. Of ten records, six
// are lookups, two execs, one is an exit and one a connection to an address without a lookup.
#ifndef SANDPIPER_BENCH_SAMPLE_RECORDS_H_
#define SANDPIPER_BENCH_SAMPLE_RECORDS_H_

#include <memory>
#include <string>
#include <vector>

#include "userspace/aggregate/records.h"

namespace sandpiper {

inline std::vector<Attribute> SampleResource() {
  return {{"service.name", "sandpiper"},
          {"service.version", "0.1.0"},
          {"service.instance.id", "8f1c2a7be5d94a0c9b0d3e6f7a8b9c0d"},
          {"host.name", "node-17.example"}};
}

inline std::vector<SharedRecord> SampleRecords(size_t count) {
  constexpr uint64_t kStart = 1'000'000'000'000;
  constexpr int64_t kUnixOffset = 1'790'000'000'000'000'000;
  RecordMaker maker({{"sandbox_id", "0f9d2c7e4b6a41d8"}, {"sandbox.runtime", "containerd"}});
  const Origin origin = maker.AddOrigin({{"container.id", std::string(64, 'c')},
                                         {"k8s.pod.name", "agent-7f9c5d6b8-x2x9q"},
                                         {"k8s.namespace.name", "sandboxes"}});
  std::vector<SharedRecord> out;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t now = kStart + i * 1'000'000;
    const Process process = {
        .origin = origin,
        .key = {.pid = static_cast<uint32_t>(1000 + i % 5000), .start_ns = kStart},
        .parent = {.pid = 999, .start_ns = kStart},
        .comm = "python3",
        .path = "/usr/bin/python3.11",
        .working_directory = "/workspace/project",
        .args = {"python3", "-m", "pip", "install", "--no-cache-dir",
                 "package-" + std::to_string(i)},
        .exec_ns = now,
        .exited_ns = now + 1'000'000};
    LogRecord record;
    if (i % 10 < 6) {
      Lookup lookup = {.origin = origin,
                       .name = "host-" + std::to_string(i) + ".example.com",
                       .type = 1,
                       .process = process.key,
                       .asked_ns = now,
                       .ended_ns = now + 1'500'000,
                       .outcome = DnsOutcome::kOk,
                       .rcode = 0};
      lookup.server = {.address = Address::FromIpv4({10, 96, 0, 10}), .port = 53};
      for (uint8_t a = 1; a <= 2; ++a)
        lookup.addresses.push_back(
            {.address = Address::FromIpv4({203, 0, 113, a}), .ttl_seconds = 60});
      record = maker.Lookup(lookup, &process, kUnixOffset);
    } else if (i % 10 < 8) {
      record = maker.Exec(process, {"/bin/sh", "/usr/bin/tini"}, kUnixOffset);
    } else if (i % 10 == 8) {
      record = maker.Exit(process, kUnixOffset);
    } else {
      const Flow flow = {.origin = origin,
                         .process = process.key,
                         .comm = "python3",
                         .peer = {.address = Address::FromIpv4({198, 51, 100, 7}), .port = 443},
                         .started_ns = now};
      record = maker.Outbound(flow, &process, kUnixOffset);
    }
    out.push_back(std::make_shared<const LogRecord>(std::move(record)));
  }
  return out;
}

}  // namespace sandpiper

#endif  // SANDPIPER_BENCH_SAMPLE_RECORDS_H_
