// SPDX-License-Identifier: Apache-2.0
#include "userspace/probe/program_runs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace sandpiper {

void AppendRuns(const char* probe, const bpf_program* program, std::vector<ProgramRuns>* out) {
  const int fd = bpf_program__fd(program);
  bpf_prog_info info = {};
  __u32 size = sizeof(info);
  if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
    return;
  out->push_back({.probe = probe,
                  .program = bpf_program__name(program),
                  .time_ns = info.run_time_ns,
                  .count = info.run_cnt,
                  .missed = info.recursion_misses});
}

void AppendRuns(const char* probe, const bpf_object* object, std::vector<ProgramRuns>* out) {
  const bpf_program* program = nullptr;
  while ((program = bpf_object__next_program(object, const_cast<bpf_program*>(program))) != nullptr)
    AppendRuns(probe, program, out);
}

void SubtractRecoveredRuns(const std::vector<std::pair<std::string, uint64_t>>& recovered_runs,
                           std::vector<ProgramRuns>* programs) {
  for (ProgramRuns& program : *programs) {
    for (const auto& [name, count] : recovered_runs) {
      if (program.program == "handle_" + name)
        program.missed -= std::min(program.missed, count);
      else if (program.program == "backup_" + name)
        program.missed = 0;
    }
  }
}

std::string MissedText(const std::string& program, uint64_t missed) {
  return absl::StrCat("the kernel skipped ", missed, " runs of ", program,
                      " (recursion guard); their events are lost");
}

std::vector<std::string> NewlyMissed(const std::vector<ProgramRuns>& programs,
                                     std::map<std::string, uint64_t>* reported) {
  // A program may be loaded once for each device.
  std::map<std::string, uint64_t> missed;
  for (const ProgramRuns& program : programs)
    missed[program.program] += program.missed;
  std::vector<std::string> out;
  for (const auto& [program, count] : missed) {
    if (uint64_t& before = (*reported)[program]; count > before) {
      out.push_back(MissedText(program, count - before));
      before = count;
    }
  }
  return out;
}

}  // namespace sandpiper
