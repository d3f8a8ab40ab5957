// SPDX-License-Identifier: Apache-2.0
// sandpiper replay: shows the records of a capture.
#include "userspace/capture/replay.h"

#include <cstdio>
#include <memory>
#include <string>

#include "userspace/base/clock.h"
#include "userspace/collector/outputs.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/record_text.h"
#include "userspace/export/ndjson.h"

namespace sandpiper {
namespace {

// Records are exported as by a collector. Metrics are not, because they would be in the past.
absl::StatusOr<std::unique_ptr<Outputs>> StartOutputs(Config config, bool otlp, FILE* ndjson) {
  config.otel.metrics = {};
  if (!otlp)
    config.otel.logs = {};
  config.recent_records = 0;
  config.spool.path.clear();
  return Outputs::Start(
      config, ndjson,
      [](const std::string& problem) { fprintf(stderr, "sandpiper: %s\n", problem.c_str()); },
      [](uint64_t, MetricReader*) {});
}

}  // namespace

int RunReplay(const Config& config, const ReplayCommandOptions& options) {
  PrintWarnings(config);
  auto outputs =
      StartOutputs(config, options.otlp, options.format == RecordFormat::kJson ? stdout : nullptr);
  if (!outputs.ok())
    return Fail(outputs.status(), kExitFailure);
  const bool color = WantsColor(options.color);
  if (options.format == RecordFormat::kTable)
    printf("%s\n", TableTitles().c_str());
  if (options.format != RecordFormat::kJson)
    (*outputs)->SetWatcher([&](const LogRecord& record) {
      printf("%s\n", RecordLine(ToJson(record), options.format, color).c_str());
    });
  const ReplayOptions replay = {.session = {.dns_timeout_ns = Nanoseconds(config.dns_timeout),
                                            .dns_ports = {},
                                            .extra_attributes = config.extra_attributes,
                                            .log_level = config.log_level,
                                            .destinations_max = config.destinations_max,
                                            .histograms = config.otel.histograms,
                                            .recorded_unix_offset = {}},
                                .window_ns = Nanoseconds(config.window)};
  const auto summary = ReplayCapture(
      options.file, replay, [&](LogRecord record) { (*outputs)->OnRecord(std::move(record)); });
  if (!summary.ok())
    return Fail(summary.status(), kExitFailure);
  const bool written = fflush(stdout) == 0;
  (*outputs)->Shutdown(BootNow(), config.flush_timeout);
  const auto number = [](uint64_t n) { return static_cast<unsigned long long>(n); };
  fprintf(stderr,
          "sandpiper: replayed %llu events of %llu sandboxes; %llu cannot be read, %llu belong to "
          "no sandbox\n",
          number(summary->records), number(summary->sandboxes), number(summary->undecodable),
          number(summary->unattributed));
  if (!summary->truncation.empty())
    fprintf(stderr, "sandpiper: %s; only the events before that were replayed\n",
            summary->truncation.c_str());
  for (const std::string& problem : (*outputs)->Problems())
    fprintf(stderr, "sandpiper: %s\n", problem.c_str());
  return written && summary->truncation.empty() ? 0 : kExitFailure;
}

}  // namespace sandpiper
