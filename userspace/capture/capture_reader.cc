// SPDX-License-Identifier: Apache-2.0
#include "userspace/capture/capture_reader.h"

#include <fcntl.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <google/protobuf/util/delimited_message_util.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/capture/capture_format.h"
#include "userspace/event/decode.h"

namespace sandpiper {
namespace {

template <size_t N>
void Fill(const google::protobuf::RepeatedField<uint64_t>& from, std::array<uint64_t, N>* to) {
  std::copy_n(from.begin(), std::min<size_t>(N, static_cast<size_t>(from.size())), to->begin());
}

void Fill(const google::protobuf::RepeatedField<uint64_t>& from,
          KernelCounts::ByTransportAndNetwork* to) {
  for (int i = 0; i < std::min(from.size(), 4); ++i)
    (*to)[static_cast<size_t>(i) / 2][static_cast<size_t>(i) % 2] = from[i];
}

void AddRecord(const std::string& bytes, Capture* out) {
  ++out->records;
  Event event;
  if (Decode(std::as_bytes(std::span(bytes.data(), bytes.size())), &event).ok())
    out->events.push_back(std::move(event));
  else
    ++out->undecodable;
}

void AddUdpFlow(const v1::CapturedUdpFlow& flow, Capture* out) {
  Endpoint peer = {.port = static_cast<uint16_t>(flow.port())};
  std::copy_n(flow.address().begin(), std::min(flow.address().size(), peer.address.bytes.size()),
              peer.address.bytes.begin());
  out->udp_counts[{flow.cookie(), peer}] = {
      .sent = flow.sent(), .received = flow.received(), .denied = flow.denied()};
}

void Add(v1::CaptureEntry* entry, Capture* out) {
  switch (entry->content_case()) {
    case v1::CaptureEntry::kSandbox:
      out->sandboxes.push_back(std::move(*entry->mutable_sandbox()));
      return;
    case v1::CaptureEntry::kMember:
      out->members[entry->member().member()].push_back(std::move(*entry->mutable_member()));
      return;
    case v1::CaptureEntry::kRecord:
      AddRecord(entry->record(), out);
      return;
    case v1::CaptureEntry::kUdpFlow:
      AddUdpFlow(entry->udp_flow(), out);
      return;
    case v1::CaptureEntry::kTcpBytes:
      out->tcp_bytes[entry->tcp_bytes().cookie()] = entry->tcp_bytes();
      return;
    case v1::CaptureEntry::kEnd:
      out->ends[entry->end().sandbox()] = std::move(*entry->mutable_end());
      return;
    case v1::CaptureEntry::kHeader:
    case v1::CaptureEntry::CONTENT_NOT_SET:  // an entry of a later version
      return;
  }
}

void Sort(Capture* capture) {
  std::stable_sort(capture->sandboxes.begin(), capture->sandboxes.end(),
                   [](const auto& a, const auto& b) { return a.started_ns() < b.started_ns(); });
  std::stable_sort(capture->events.begin(), capture->events.end(),
                   [](const Event& a, const Event& b) { return a.time_ns < b.time_ns; });
}

}  // namespace

KernelCounts ToKernelCounts(const v1::CapturedCounts& captured) {
  KernelCounts out;
  Fill(captured.produced(), &out.produced);
  Fill(captured.dropped(), &out.dropped);
  Fill(captured.limited(), &out.limited);
  Fill(captured.attempts(), &out.attempts);
  Fill(captured.attempts_dropped(), &out.attempts_dropped);
  out.sent = captured.sent();
  out.received = captured.received();
  out.storage_failed = captured.storage_failed();
  Fill(captured.denied(), &out.denied);
  Fill(captured.exits(), &out.exits);
  return out;
}

absl::StatusOr<Capture> ReadCapture(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return ErrnoStatus(errno, absl::StrCat("opening the capture ", path));
  google::protobuf::io::FileInputStream in(fd);
  in.SetCloseOnDelete(true);
  Capture out;
  v1::CaptureEntry entry;
  bool ends_between_entries = false;
  const auto read_next = [&] {
    return google::protobuf::util::ParseDelimitedFromZeroCopyStream(&entry, &in,
                                                                    &ends_between_entries);
  };
  if (!read_next() || !entry.has_header())
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is not a capture; \"sandpiper run --capture FILE\" writes one"));
  out.header = entry.header();
  if (out.header.version() != kCaptureFormat)
    return absl::InvalidArgumentError(absl::StrCat(
        path, " has capture format ", out.header.version(), ", written by sandpiper ",
        out.header.sandpiper_version(), "; this version reads format ", kCaptureFormat));
  while (read_next())
    Add(&entry, &out);
  if (!ends_between_entries)
    out.truncation = absl::StrCat(path, " is truncated at byte ", in.ByteCount());
  Sort(&out);
  return out;
}

}  // namespace sandpiper
