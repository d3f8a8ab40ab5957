// SPDX-License-Identifier: Apache-2.0
// send grpc|http TARGET gzip|none RECORDS: sends this many log records with sandpiper's exporter,
// as fast as the target accepts them. Prints one JSON object with the CPU time of all threads and
// the elapsed time.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "bench/sample_records.h"
#include "userspace/export/log_exporter.h"
#include "userspace/export/transport.h"

namespace {

double CpuSeconds() {
  rusage use;
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: send grpc|http TARGET gzip|none RECORDS\n");
    return 2;
  }
  const bool grpc = strcmp(argv[1], "grpc") == 0;
  const sandpiper::OtlpEndpoint endpoint = {
      .protocol = grpc ? sandpiper::OtlpProtocol::kGrpc : sandpiper::OtlpProtocol::kHttpProtobuf,
      .target = argv[2],
      .gzip = strcmp(argv[3], "gzip") == 0};
  const auto count = static_cast<size_t>(atoll(argv[4]));
  const std::vector<sandpiper::SharedRecord> records = sandpiper::SampleRecords(4096);
  constexpr size_t kQueue = 65'536;
  sandpiper::LogExporter exporter(
      sandpiper::MakeTransport(endpoint, sandpiper::Signal::kLogs).value(),
      sandpiper::SampleResource(),
      {.queue_max = kQueue, .batch_max = 512, .delay = std::chrono::milliseconds(100)}, nullptr,
      [](const std::string& problem) { fprintf(stderr, "%s\n", problem.c_str()); });
  const double cpu = CpuSeconds();
  const auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < count;) {
    const size_t room = kQueue - std::min(kQueue, i - exporter.counts().sent);
    if (room == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      continue;
    }
    for (size_t n = std::min(room, count - i); n > 0; --n)
      exporter.Push(records[i++ % records.size()]);
  }
  exporter.BeginFlush();
  exporter.FinishFlush(std::chrono::steady_clock::now() + std::chrono::seconds(60));
  const double wall =
                   std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(),
               used = CpuSeconds() - cpu;
  const sandpiper::ExportCounts counts = exporter.counts();
  if (counts.sent != count) {
    fprintf(stderr, "send: %llu of %zu arrived: %s\n", static_cast<unsigned long long>(counts.sent),
            count, counts.last_error.c_str());
    return 1;
  }
  printf("{\"records\": %zu, \"cpu_s\": %.4f, \"wall_s\": %.4f}\n", count, used, wall);
  return 0;
}
