// SPDX-License-Identifier: Apache-2.0
#include "userspace/capture/capture_writer.h"

#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/util/delimited_message_util.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/private_file.h"
#include "userspace/base/status.h"
#include "userspace/base/version.h"
#include "userspace/capture/capture_format.h"

namespace sandpiper {
namespace {

template <typename Array>
void Fill(const Array& from, google::protobuf::RepeatedField<uint64_t>* to) {
  to->Assign(from.begin(), from.end());
}

void Fill(const KernelCounts::ByTransportAndNetwork& from,
          google::protobuf::RepeatedField<uint64_t>* to) {
  for (const auto& by_network : from)
    to->Add(by_network.begin(), by_network.end());
}

}  // namespace

CaptureWriter::CaptureWriter(const Options& options,
                             std::unique_ptr<google::protobuf::io::FileOutputStream> out,
                             WarningSink warn)
    : options_(options), out_(std::move(out)), warn_(std::move(warn)) {
  out_->SetCloseOnDelete(true);
}

CaptureWriter::~CaptureWriter() = default;

absl::StatusOr<std::unique_ptr<CaptureWriter>> CaptureWriter::Create(
    const Options& options, const std::vector<uint16_t>& dns_ports, WarningSink warn) {
  ASSIGN_OR_RETURN(UniqueFd file, CreatePrivateFile(options.path, "the capture"));
  std::unique_ptr<CaptureWriter> writer(new CaptureWriter(
      options, std::make_unique<google::protobuf::io::FileOutputStream>(file.release(), 1 << 18),
      std::move(warn)));
  v1::CaptureEntry entry;
  v1::CaptureHeader* const header = entry.mutable_header();
  header->set_version(kCaptureFormat);
  header->set_sandpiper_version(kVersion);
  header->set_unix_offset_ns(UnixOffset());
  header->mutable_dns_ports()->Assign(dns_ports.begin(), dns_ports.end());
  writer->Write(entry);
  return writer;
}

void CaptureWriter::Write(const v1::CaptureEntry& entry) {
  if (!out_)
    return;
  std::string problem;
  if (static_cast<uint64_t>(out_->ByteCount()) + entry.ByteSizeLong() > options_.bytes_max)
    problem = absl::StrCat("it reached its maximum of ", options_.bytes_max, " bytes");
  else if (!google::protobuf::util::SerializeDelimitedToZeroCopyStream(entry, out_.get()))
    problem = strerror(out_->GetErrno());
  else
    return;
  out_.reset();
  warn_(absl::StrCat("capture ", options_.path, " stopped: ", problem));
}

void CaptureWriter::WriteSandbox(const SandboxIdentity& sandbox, uint64_t started_ns) {
  v1::CaptureEntry entry;
  v1::CapturedSandbox* const out = entry.mutable_sandbox();
  out->set_serial(sandbox.serial);
  out->set_id(sandbox.id);
  out->set_runtime(sandbox.runtime);
  out->set_started_ns(started_ns);
  Write(entry);
}

void CaptureWriter::WriteMember(uint64_t member, uint64_t sandbox, uint64_t from_ns,
                                const std::vector<RecordAttribute>& attributes) {
  v1::CaptureEntry entry;
  v1::CapturedMember* const out = entry.mutable_member();
  out->set_member(member);
  out->set_sandbox(sandbox);
  out->set_from_ns(from_ns);
  for (const RecordAttribute& attribute : attributes)
    (*out->mutable_attributes())[std::string(attribute.key.view())] =
        std::string(std::get<SharedText>(attribute.value).view());
  Write(entry);
}

void CaptureWriter::WriteRecord(std::span<const std::byte> record) {
  v1::CaptureEntry entry;
  entry.set_record(record.data(), record.size());
  Write(entry);
}

void CaptureWriter::WriteUdpFlow(const Flow& flow, const FlowTable::UdpCounts& counts) {
  v1::CaptureEntry entry;
  v1::CapturedUdpFlow* const out = entry.mutable_udp_flow();
  out->set_cookie(flow.cookie);
  out->set_address(flow.peer.address.bytes.data(), flow.peer.address.bytes.size());
  out->set_port(flow.peer.port);
  out->set_sent(counts.sent);
  out->set_received(counts.received);
  out->set_denied(counts.denied);
  Write(entry);
}

void CaptureWriter::WriteTcpBytes(uint64_t cookie, uint64_t sent, uint64_t received) {
  v1::CaptureEntry entry;
  v1::CapturedTcpBytes* const out = entry.mutable_tcp_bytes();
  out->set_cookie(cookie);
  out->set_sent(sent);
  out->set_received(received);
  Write(entry);
}

void CaptureWriter::WriteEnd(uint64_t sandbox, uint64_t time_ns, const KernelCounts& counts) {
  v1::CaptureEntry entry;
  v1::CapturedEnd* const out = entry.mutable_end();
  out->set_sandbox(sandbox);
  out->set_time_ns(time_ns);
  v1::CapturedCounts* const out_counts = out->mutable_counts();
  Fill(counts.produced, out_counts->mutable_produced());
  Fill(counts.dropped, out_counts->mutable_dropped());
  Fill(counts.limited, out_counts->mutable_limited());
  Fill(counts.attempts, out_counts->mutable_attempts());
  Fill(counts.attempts_dropped, out_counts->mutable_attempts_dropped());
  out_counts->set_sent(counts.sent);
  out_counts->set_received(counts.received);
  out_counts->set_storage_failed(counts.storage_failed);
  Fill(counts.denied, out_counts->mutable_denied());
  Fill(counts.exits, out_counts->mutable_exits());
  Write(entry);
}

}  // namespace sandpiper
