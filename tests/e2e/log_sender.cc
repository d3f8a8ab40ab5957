// log_sender URL SPOOL FIRST [COUNT [EACH MINUTES]]: exports records numbered from FIRST on, with every one on disk before it is sent,
// until it is killed, or COUNT of them (0: only what is on disk). Each EACH-th has a time so many minutes ago. Writes how many have
// arrived, each time there is news; at the end "sent N refused N".
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "userspace/base/clock.h"
#include "userspace/export/log_exporter.h"

using sandpiper::LogExporter;

int main(int argc, char** argv) {
  if (argc < 4)
    return 2;
  auto spool = std::make_unique<sandpiper::Spool>(sandpiper::Spool::Options{.path = argv[2], .durable = true});
  if (const absl::Status status = spool->Open(); !status.ok()) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  sandpiper::OtlpEndpoint endpoint = {.target = argv[1]};
  const bool bounded = argc > 4;
  const long first = atol(argv[3]), count = bounded ? atol(argv[4]) : 1'000'000, each = argc > 6 ? atol(argv[5]) : 0;
  LogExporter exporter(sandpiper::MakeHttpTransport(endpoint, sandpiper::Signal::kLogs), {{"service.name", std::string("killed")}},
                       {.queue_max = 1'000'000, .batch_max = 100, .delay = std::chrono::milliseconds(1), .write_first = true},
                       std::move(spool), [](const std::string& problem) { fprintf(stderr, "%s\n", problem.c_str()); });
  const uint64_t age = argc > 6 ? static_cast<uint64_t>(atol(argv[6])) * 60 * sandpiper::kSecond : 0;
  printf("began\n");
  fflush(stdout);
  uint64_t sent = 0;
  for (long i = first; i < first + count; ++i) {
    const uint64_t now = sandpiper::ReadClock(CLOCK_REALTIME);
    const bool old = each > 0 && i % each == 0;
    exporter.Push({.time_unix_ns = old ? now - age : now,
                   .observed_unix_ns = now,
                   .event = "number",
                   .body = std::to_string(i),
                   .attributes = {{"sandbox_id", std::string("s")}}});
    if (i % 20 == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (const uint64_t now_sent = exporter.counts().sent; now_sent != sent) {
      sent = now_sent;
      printf("%llu\n", static_cast<unsigned long long>(sent));
      fflush(stdout);
    }
  }
  exporter.BeginFlush();
  exporter.FinishFlush(std::chrono::steady_clock::now() + std::chrono::seconds(60));
  const sandpiper::ExportCounts counts = exporter.counts();
  printf("sent %llu refused %llu\n", static_cast<unsigned long long>(counts.sent), static_cast<unsigned long long>(counts.dropped_refused));
  return counts.dropped() == counts.dropped_refused && exporter.stored()->bytes == 0 ? 0 : 1;
}
