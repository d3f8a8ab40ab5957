// SPDX-License-Identifier: Apache-2.0
// Writes down what the kernel side tells, with whose it is, so that it can be worked off again:
// proto/capture.proto. Texts are raw and nothing is hidden in it: the file is for its owner alone.
#ifndef SANDPIPER_USERSPACE_CAPTURE_CAPTURE_WRITER_H_
#define SANDPIPER_USERSPACE_CAPTURE_CAPTURE_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "capture.pb.h"
#include "userspace/aggregate/log_record.h"
#include "userspace/aggregate/sandbox_metrics.h"
#include "userspace/base/diagnostics.h"
#include "userspace/correlate/flow_table.h"
#include "userspace/sandbox/sandbox_identity.h"

namespace google::protobuf::io {
class FileOutputStream;
}

namespace sandpiper {

// Of proto/capture.proto and of the records of bpf/events.h in it. Raised with each change of
// either that an older reader would misread.
constexpr uint32_t kCaptureFormat = 2;

class CaptureWriter {
 public:
  struct Options {
    std::string path;                 // empty: no capture
    uint64_t bytes_max = 1ull << 30;  // where it ends, with a word about it
  };

  // Makes the file anew.
  static absl::StatusOr<std::unique_ptr<CaptureWriter>> Create(
      const Options& options, const std::vector<uint16_t>& dns_ports, WarningSink warn);
  ~CaptureWriter();
  CaptureWriter(const CaptureWriter&) = delete;
  CaptureWriter& operator=(const CaptureWriter&) = delete;

  void WriteSandbox(const SandboxIdentity& sandbox, uint64_t started_ns);
  void WriteMember(uint64_t member, uint64_t sandbox, uint64_t from_ns,
                   const std::vector<Attribute>& attributes);
  void WriteRecord(std::span<const std::byte> record);
  void WriteUdpFlow(const Flow& flow, const FlowTable::UdpCounts& counts);
  void WriteTcpBytes(uint64_t cookie, uint64_t sent, uint64_t received);
  void WriteEnd(uint64_t sandbox, uint64_t time_ns, const KernelCounts& counts);

 private:
  CaptureWriter(const Options& options, std::unique_ptr<google::protobuf::io::FileOutputStream> out,
                WarningSink warn);
  void Write(const v1::CaptureEntry& entry);

  const Options options_;
  std::unique_ptr<google::protobuf::io::FileOutputStream> out_;  // null once it has ended
  WarningSink warn_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CAPTURE_CAPTURE_WRITER_H_
