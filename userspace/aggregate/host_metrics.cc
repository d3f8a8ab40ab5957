// SPDX-License-Identifier: Apache-2.0
#include "userspace/aggregate/host_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <utility>

namespace sandpiper {

void HostMetrics::Append(uint64_t start_unix_ns, MetricSnapshot* out) {
  std::ifstream memory(proc_ + "/meminfo");
  int64_t total_kib = 0, available_kib = 0;
  for (std::string line; std::getline(memory, line);) {
    std::istringstream fields(line);
    std::string key;
    int64_t kib = 0;
    fields >> key >> kib;
    if (key == "MemTotal:")
      total_kib = kib;
    else if (key == "MemAvailable:")
      available_kib = kib;
  }
  if (total_kib > 0)
    out->Add(MetricNamed("egress.system.memory.usage_bytes"),
             {.attributes = {},
              .value = (total_kib - available_kib) * 1024,
              .start_unix_ns = start_unix_ns});

  // The columns are: cpu user nice system idle iowait irq softirq steal … Guest time is part of
  // user.
  std::ifstream stat(proc_ + "/stat");
  std::string label;
  std::array<uint64_t, 8> ticks{};
  if (!(stat >> label) || label != "cpu")
    return;
  uint64_t total = 0;
  for (uint64_t& t : ticks) {
    stat >> t;
    total += t;
  }
  const uint64_t busy = total - ticks[3] - ticks[4];
  const bool first = total_ == 0 || total <= total_;
  const double ratio =
      first ? 0.0 : static_cast<double>(busy - busy_) / static_cast<double>(total - total_);
  busy_ = busy;
  total_ = total;
  out->Add(MetricNamed("egress.system.cpu.utilization"),
           {.attributes = {}, .value = ratio, .start_unix_ns = start_unix_ns});
}

void HostMetrics::AppendOwn(uint64_t start_unix_ns, MetricSnapshot* out) const {
  rusage used = {};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  out->Add(MetricNamed("process.cpu.time"), {.attributes = {{"cpu.mode", "user"}},
                                             .value = seconds(used.ru_utime),
                                             .start_unix_ns = start_unix_ns});
  out->Add(MetricNamed("process.cpu.time"), {.attributes = {{"cpu.mode", "system"}},
                                             .value = seconds(used.ru_stime),
                                             .start_unix_ns = start_unix_ns});
  std::ifstream statm(proc_ + "/self/statm");
  int64_t size = 0, resident = 0;
  if (statm >> size >> resident)
    out->Add(MetricNamed("process.memory.usage"), {.attributes = {},
                                                   .value = resident * sysconf(_SC_PAGESIZE),
                                                   .start_unix_ns = start_unix_ns});
}

}  // namespace sandpiper
