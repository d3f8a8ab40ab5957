// SPDX-License-Identifier: Apache-2.0
// log_sender URL SPOOL [options]: exports numbered records with sandpiper's exporter, which writes
// every record to disk before it sends it. It prints "started", then the number of acknowledged
// records each time it grows, and at the end "sent N rejected N".
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <limits>
#include <string>
#include <thread>

#include "userspace/base/clock.h"
#include "userspace/export/log_exporter.h"

using sandpiper::LogExporter;

namespace {

constexpr uint64_t kMinute = 60 * sandpiper::kSecond;

struct Options {
  std::string url;
  std::string spool;
  uint64_t first = 0;
  uint64_t count = 1'000'000;
  uint64_t old_each = 0;
  uint64_t old_minutes = 0;
  uint64_t over_minutes = 0;
  bool hold = false;
};

// How long before now the record of this index happened, in nanoseconds.
uint64_t Age(const Options& options, uint64_t index) {
  if (options.old_each > 0 && (options.first + index) % options.old_each == 0)
    return options.old_minutes * kMinute;
  return options.over_minutes * kMinute / options.count * (options.count - index);
}

void PrintProgress(const LogExporter& exporter) {
  static uint64_t printed = 0;
  if (const uint64_t sent = exporter.counts().sent; sent != printed) {
    printed = sent;
    printf("%llu\n", static_cast<unsigned long long>(sent));
    fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("sandpiper's exporter of log records");
  app.add_option("url", options.url)->required();
  app.add_option("spool", options.spool)->required();
  app.add_option("--first", options.first, "the first number");
  app.add_option("--count", options.count, "the number of records; 0 sends only the spool");
  app.add_option("--old-each", options.old_each,
                 "every number that this divides happened --old-minutes ago");
  app.add_option("--old-minutes", options.old_minutes);
  app.add_option("--over-minutes", options.over_minutes,
                 "the records happened one after the other, in this many minutes until now");
  app.add_flag("--hold", options.hold, "runs until stdin ends");
  CLI11_PARSE(app, argc, argv);

  auto spool = std::make_unique<sandpiper::Spool>(sandpiper::Spool::Options{.path = options.spool});
  if (const absl::Status status = spool->Open(); !status.ok()) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  LogExporter exporter(
      sandpiper::MakeHttpTransport({.target = options.url}, sandpiper::Signal::kLogs).value(),
      {{"service.name", "killed"}},
      {.queue_max = 1'000'000,
       .batch_max = 100,
       .delay = std::chrono::milliseconds(1),
       .write_first = true},
      std::move(spool),
      [](const std::string& problem) { fprintf(stderr, "%s\n", problem.c_str()); });
  puts("started");
  fflush(stdout);
  for (uint64_t i = 0; i < options.count; ++i) {
    const uint64_t now = sandpiper::ReadClock(CLOCK_REALTIME);
    exporter.Push(std::make_shared<const sandpiper::LogRecord>(
        sandpiper::LogRecord{.time_unix_ns = now - Age(options, i),
                             .observed_unix_ns = now,
                             .event = "number",
                             .body = std::to_string(options.first + i),
                             .attributes = {{"sandbox_id", "s"}}}));
    if (i % 20 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    PrintProgress(exporter);
  }
  if (options.hold)
    std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  exporter.BeginFlush();
  exporter.FinishFlush(std::chrono::steady_clock::now() + std::chrono::seconds(60));
  const sandpiper::ExportCounts counts = exporter.counts();
  printf("sent %llu rejected %llu\n", static_cast<unsigned long long>(counts.sent),
         static_cast<unsigned long long>(counts.dropped_refused));
  return counts.dropped() == counts.dropped_refused && exporter.stored()->bytes == 0 ? 0 : 1;
}
