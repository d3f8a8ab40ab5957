// SPDX-License-Identifier: Apache-2.0
// Measures aggregation: time, and memory as malloc counts it.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <string>

#include "bpf/events.h"
#include "userspace/aggregate/ledger.h"
#include "userspace/aggregate/metric_reader.h"
#include "userspace/base/clock.h"
#include "userspace/sandbox/sandbox_identity.h"
#include "userspace/session/sandbox_session.h"

namespace sandpiper {
namespace {

double HeapBytes() { return static_cast<double>(mallinfo2().uordblks); }

Flow FlowTo(uint64_t i) {
  const uint8_t octets[4] = {10, static_cast<uint8_t>(i >> 16), static_cast<uint8_t>(i >> 8),
                             static_cast<uint8_t>(i)};
  return {.cookie = i, .peer = {Address::FromIpv4(octets), 443}, .started_ns = 1};
}

// Adds an attempt to a new destination.
void LedgerNewDestination(benchmark::State& state) {
  const auto count = static_cast<uint64_t>(state.range(0));
  for ([[maybe_unused]] auto _ : state) {
    const double before = HeapBytes();
    Ledger ledger(count);
    for (uint64_t i = 0; i < count; ++i)
      ledger.OnAttempt(FlowTo(i));
    state.counters["bytes_per_destination"] = (HeapBytes() - before) / static_cast<double>(count);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(LedgerNewDestination)->Arg(1'000)->Arg(10'000)->Arg(1'000'000);

// Adds a destination over the limit, which is summed up and estimated.
void LedgerBeyond(benchmark::State& state) {
  Ledger ledger(1'000);
  uint64_t i = 0;
  for ([[maybe_unused]] auto _ : state)
    ledger.OnAttempt(FlowTo(++i));
}
BENCHMARK(LedgerBeyond);

void HistogramRecord(benchmark::State& state) {
  Histogram histogram(state.range(0) ? HistogramKind::kExponential : HistogramKind::kExplicit,
                      DurationBounds());
  double value = 0.0001;
  for ([[maybe_unused]] auto _ : state) {
    histogram.Record(value);
    value = value < 10 ? value * 1.01 : 0.0001;
  }
}
BENCHMARK(HistogramRecord)->Arg(0)->Arg(1)->ArgName("exponential");

// Collects all series of this many sandboxes, each with every kind of event.
void CollectMetrics(benchmark::State& state) {
  const auto count = static_cast<uint64_t>(state.range(0));
  std::vector<std::unique_ptr<SandboxSession>> sandboxes;
  KernelCounts counts;
  counts.produced.fill(10);
  counts.exits = {5, 1, 1, 0};
  for (uint64_t i = 0; i < count; ++i) {
    const SandboxIdentity identity = {
        .serial = i, .id = "sandbox-" + std::to_string(i), .runtime = "containerd"};
    sandboxes.push_back(std::make_unique<SandboxSession>(
        identity, SessionOptions{}, [](const Flow&) { return FlowTable::UdpCounts{}; },
        [](const LogRecord&) {}, 0));
    sandboxes.back()->OnCounters(counts);
    for (uint64_t c = 0; c < 3; ++c) {
      const Flow flow = FlowTo(c);
      sandboxes.back()->OnEvent({.time_ns = c + 1,
                                 .kind = EVENT_CONNECT,
                                 .body = Connect{.cookie = c, .peer = flow.peer}});
      sandboxes.back()->OnEvent(
          {.time_ns = c + 2,
           .kind = EVENT_CONNECT_RESULT,
           .body = ConnectResult{.cookie = c, .established = c > 0, .error = c > 0 ? 0 : 111}});
    }
  }
  MetricReader reader({});
  size_t points = 0, all = 0;
  uint64_t now = kSecond;
  for ([[maybe_unused]] auto _ : state) {
    reader.Begin(now += kSecond);
    all = 0;
    for (uint64_t i = 0; i < count; ++i) {
      MetricSnapshot one;
      sandboxes[i]->AppendMetrics(5, ResourceUse{}, &one);
      all += one.points();
      reader.Add(i, std::move(one));
    }
    points = reader.Finish().points();
  }
  state.counters["series_of_a_sandbox"] = static_cast<double>(all) / static_cast<double>(count);
  state.counters["points_told"] = static_cast<double>(points);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(CollectMetrics)->Arg(10)->Arg(1'000)->Arg(10'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace sandpiper

BENCHMARK_MAIN();
