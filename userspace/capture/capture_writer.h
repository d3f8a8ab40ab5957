// SPDX-License-Identifier: Apache-2.0
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

// Writes the raw records of the ring buffers and the sandboxes that own them to a file, in the
// format of proto/capture.proto. ReplayCapture reads it.
//
// Nothing is redacted or escaped in the file, so only its owner may read it. The pipeline owns the
// writer and calls it from the thread of the event loop. After an error, or at the maximum size,
// the writer warns once and ignores all further calls.
class CaptureWriter {
 public:
  struct Options {
    std::string path;                 // empty: no capture
    uint64_t bytes_max = 1ull << 30;  // maximum size of the file
  };

  // Creates the file, or replaces an existing one. Errors are those of open(2).
  static absl::StatusOr<std::unique_ptr<CaptureWriter>> Create(
      const Options& options, const std::vector<uint16_t>& dns_ports, WarningSink warn);
  ~CaptureWriter();
  CaptureWriter(const CaptureWriter&) = delete;
  CaptureWriter& operator=(const CaptureWriter&) = delete;

  // The start of a sandbox. Write it before the members of the sandbox.
  void WriteSandbox(const SandboxIdentity& sandbox, uint64_t started_ns);
  // From `from_ns` on, the member belongs to the sandbox with this serial.
  void WriteMember(uint64_t member, uint64_t sandbox, uint64_t from_ns,
                   const std::vector<RecordAttribute>& attributes);
  // A record as the ring buffer has it.
  void WriteRecord(std::span<const std::byte> record);
  // Counters of a flow, each time that they are read from the BPF maps. The last entry counts.
  void WriteUdpFlow(const Flow& flow, const FlowTable::UdpCounts& counts);
  void WriteTcpBytes(uint64_t cookie, uint64_t sent, uint64_t received);
  // The end of a sandbox, with its BPF counters since the start.
  void WriteEnd(uint64_t sandbox, uint64_t time_ns, const KernelCounts& counts);

 private:
  CaptureWriter(const Options& options, std::unique_ptr<google::protobuf::io::FileOutputStream> out,
                WarningSink warn);
  void Write(const v1::CaptureEntry& entry);

  const Options options_;
  std::unique_ptr<google::protobuf::io::FileOutputStream> out_;  // null once the capture stopped
  WarningSink warn_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CAPTURE_CAPTURE_WRITER_H_
