// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_message.h"

#include <algorithm>
#include <utility>

#include "userspace/base/status.h"
#include "userspace/event/dns_wire.h"

namespace sandpiper {
namespace {

constexpr size_t kHeaderBytes = 12;
// Of a class in mDNS: QU in a question, cache-flush in a record (RFC 6762 18.12, 18.13).
constexpr uint16_t kMulticastFlag = 0x8000;
// Questions of one mDNS message that are read. Real ones have a few.
constexpr size_t kQuestionsMax = 32;
// Services of one answer that are read. Real answers have a few, and the work that an answer causes
// is their number times that of the additional records.
constexpr size_t kServicesMax = 64;
constexpr uint16_t kIpv4Hint = 4;  // RFC 9460 14.3.2
constexpr uint16_t kIpv6Hint = 6;

Address AddressAt(std::string_view wire, size_t at, size_t length) {
  if (length == 4) {
    uint8_t octets[4];
    std::copy_n(wire.begin() + static_cast<ptrdiff_t>(at), 4, octets);
    return Address::FromIpv4(octets);
  }
  Address address;
  std::copy_n(wire.begin() + static_cast<ptrdiff_t>(at), 16, address.bytes.begin());
  return address;
}

struct RecordHeader {
  SharedText owner;
  uint16_t type = 0;
  uint16_t dns_class = 0;
  uint32_t ttl = 0;
  size_t data = 0;  // position of the data
  size_t end = 0;   // position after the data
};

// Reads one message from front to back.
class Reader {
 public:
  Reader(std::string_view wire, DnsProtocol protocol)
      : wire_(wire), is_multicast_(protocol == DnsProtocol::kMulticast) {}

  absl::StatusOr<DnsMessage> Read(DnsCapture capture);

 private:
  absl::Status ReadQuestions();
  // Reads the answer section. A record that is not complete is no error if the message was cut.
  absl::Status ReadAnswers(int count, bool is_cut);
  // Reads the sections after the answers, up to the first error. True if there was none.
  bool ReadRest(int authorities, int additionals);

  absl::StatusOr<RecordHeader> ReadHeader();
  absl::Status ReadAnswer();
  absl::Status ReadAuthority();
  absl::Status ReadAdditional();
  absl::Status AddAddress(const RecordHeader& record, std::vector<DnsAddress>* addresses);
  absl::Status AddAlias(const RecordHeader& record);
  // Adds nothing if the data is malformed: to a resolver it is opaque.
  void AddService(const RecordHeader& record);
  // The hints of an SVCB record, whose parameters begin at `at`. Empty if one is malformed.
  std::vector<Address> ReadHints(size_t at, size_t end) const;

  std::string_view wire_;
  bool is_multicast_;
  size_t at_ = kHeaderBytes;
  DnsMessage message_;
};

absl::StatusOr<DnsMessage> Reader::Read(DnsCapture capture) {
  if (wire_.size() < kHeaderBytes)
    return OutOfBytes(0);
  message_.id = Read16(wire_, 0);
  const uint16_t flags = Read16(wire_, 2);
  message_.is_response = flags & 0x8000;
  message_.opcode = flags >> 11 & 0x0f;
  message_.truncated = flags & 0x0200;
  message_.rcode = flags & 0x000f;
  message_.question_count = Read16(wire_, 4);
  RETURN_IF_ERROR(ReadQuestions());
  const bool is_cut = capture == DnsCapture::kCut || message_.truncated;
  RETURN_IF_ERROR(ReadAnswers(Read16(wire_, 6), is_cut));
  if (message_.bytes == at_)
    message_.is_complete = ReadRest(Read16(wire_, 8), Read16(wire_, 10));
  return std::move(message_);
}

absl::Status Reader::ReadQuestions() {
  const size_t kept = is_multicast_ ? kQuestionsMax : 1;
  for (int i = 0; i < message_.question_count; ++i) {
    DnsQuestion question;
    ASSIGN_OR_RETURN(question.name, ReadName(wire_, &at_));
    if (at_ + 4 > wire_.size())
      return OutOfBytes(at_);
    question.type = Read16(wire_, at_);
    question.dns_class = Read16(wire_, at_ + 2);
    if (is_multicast_)
      question.dns_class &= static_cast<uint16_t>(~kMulticastFlag);
    at_ += 4;
    if (message_.questions.size() < kept)
      message_.questions.push_back(std::move(question));
  }
  message_.bytes = at_;
  return absl::OkStatus();
}

absl::Status Reader::ReadAnswers(int count, bool is_cut) {
  for (int i = 0; i < count; ++i) {
    const absl::Status status = ReadAnswer();
    if (absl::IsOutOfRange(status) && is_cut) {
      at_ = wire_.size();  // nothing can be read after it
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(status);
    message_.bytes = at_;
  }
  return absl::OkStatus();
}

bool Reader::ReadRest(int authorities, int additionals) {
  for (int i = 0; i < authorities + additionals; ++i) {
    if (!(i < authorities ? ReadAuthority() : ReadAdditional()).ok())
      return false;
    message_.bytes = at_;
  }
  return true;
}

absl::StatusOr<RecordHeader> Reader::ReadHeader() {
  RecordHeader record;
  // Nearly all servers write the owner as a pointer to the question, so that case shares its text.
  if (at_ + 2 <= wire_.size() && Read16(wire_, at_) == (0xc000 | kHeaderBytes) &&
      !message_.questions.empty()) {
    record.owner = message_.questions[0].name;
    at_ += 2;
  } else {
    ASSIGN_OR_RETURN(record.owner, ReadName(wire_, &at_));
  }
  if (at_ + 10 > wire_.size())
    return OutOfBytes(at_);
  record.type = Read16(wire_, at_);
  record.dns_class = Read16(wire_, at_ + 2);
  record.ttl = Read32(wire_, at_ + 4);
  record.data = at_ + 10;
  record.end = record.data + Read16(wire_, at_ + 8);
  if (record.end > wire_.size())
    return OutOfBytes(record.data);
  at_ = record.end;
  if (is_multicast_ && record.type != kDnsTypeOpt)
    record.dns_class &= static_cast<uint16_t>(~kMulticastFlag);
  return record;
}

absl::Status Reader::ReadAnswer() {
  ASSIGN_OR_RETURN(const RecordHeader record, ReadHeader());
  if (is_multicast_)
    message_.answered.push_back({record.owner, record.type, record.dns_class});
  if (record.dns_class != kDnsClassIn)
    return absl::OkStatus();
  if (record.type == kDnsTypeA || record.type == kDnsTypeAaaa)
    return AddAddress(record, &message_.addresses);
  if (record.type == kDnsTypeCname)
    return AddAlias(record);
  AddService(record);
  return absl::OkStatus();
}

absl::Status Reader::ReadAuthority() {
  ASSIGN_OR_RETURN(const RecordHeader record, ReadHeader());
  // The records that an UPDATE adds to the zone (RFC 2136 2.5.1) have the zone's class.
  const bool is_address = record.type == kDnsTypeA || record.type == kDnsTypeAaaa;
  if (message_.opcode == kDnsOpcodeUpdate && is_address && record.dns_class == kDnsClassIn)
    return AddAddress(record, &message_.addresses);
  return absl::OkStatus();
}

absl::Status Reader::ReadAdditional() {
  ASSIGN_OR_RETURN(const RecordHeader record, ReadHeader());
  if (record.type == kDnsTypeOpt) {
    message_.has_edns = true;
    message_.rcode = static_cast<uint16_t>(record.ttl >> 24 << 4 | (message_.rcode & 0x0f));
  }
  const bool is_address = record.type == kDnsTypeA || record.type == kDnsTypeAaaa;
  return is_address && record.dns_class == kDnsClassIn ? AddAddress(record, &message_.additional)
                                                       : absl::OkStatus();
}

absl::Status Reader::AddAddress(const RecordHeader& record, std::vector<DnsAddress>* addresses) {
  const size_t length = record.end - record.data;
  if (record.type == kDnsTypeA && length != 4)
    return Malformed("an A record that is not 4 bytes long", record.data);
  if (record.type == kDnsTypeAaaa && length != 16)
    return Malformed("an AAAA record that is not 16 bytes long", record.data);
  addresses->push_back({.owner = record.owner,
                        .address = AddressAt(wire_, record.data, length),
                        .ttl_seconds = record.ttl,
                        .type = record.type});
  return absl::OkStatus();
}

absl::Status Reader::AddAlias(const RecordHeader& record) {
  size_t at = record.data;
  absl::StatusOr<SharedText> target = ReadName(wire_.substr(0, record.end), &at);
  // All bytes of the record were captured, so a name that exceeds them is malformed and not cut.
  if (absl::IsOutOfRange(target.status()) || (target.ok() && at != record.end))
    return Malformed("a CNAME that does not fill its record", record.data);
  RETURN_IF_ERROR(target.status());
  message_.aliases.push_back({record.owner, *std::move(target)});
  return absl::OkStatus();
}

void Reader::AddService(const RecordHeader& record) {
  size_t fixed_bytes = 0;  // in front of the name
  if (record.type == kDnsTypeSrv)
    fixed_bytes = 6;
  else if (record.type == kDnsTypeMx || record.type == kDnsTypeSvcb || record.type == kDnsTypeHttps)
    fixed_bytes = 2;
  else
    return;
  if (message_.services.size() >= kServicesMax)
    return;
  size_t at = record.data + fixed_bytes;
  absl::StatusOr<SharedText> target = ReadName(wire_.substr(0, record.end), &at);
  if (!target.ok())
    return;
  // A record of priority 0 is an alias, and its parameters are ignored (RFC 9460 2.4.2).
  const bool has_parameters = (record.type == kDnsTypeSvcb || record.type == kDnsTypeHttps) &&
                              Read16(wire_, record.data) != 0;
  message_.services.push_back(
      {.owner = record.owner,
       .type = record.type,
       .target = *std::move(target),
       .hints = has_parameters ? ReadHints(at, record.end) : std::vector<Address>(),
       .ttl_seconds = record.ttl});
}

std::vector<Address> Reader::ReadHints(size_t at, size_t end) const {
  std::vector<Address> hints;
  int previous = -1;
  while (at < end) {
    if (at + 4 > end)
      return {};
    const uint16_t key = Read16(wire_, at);
    const size_t value = at + 4;
    const size_t value_end = value + Read16(wire_, at + 2);
    if (value_end > end || key <= previous)  // keys are in strictly increasing order
      return {};
    if (key == kIpv4Hint || key == kIpv6Hint) {
      const size_t length = key == kIpv4Hint ? 4 : 16;
      if (value == value_end || (value_end - value) % length != 0)
        return {};
      for (size_t i = value; i < value_end; i += length) {
        const Address hint = AddressAt(wire_, i, length);
        if (key == kIpv4Hint || !hint.is_ipv4())  // an IPv4-mapped address is none of IPv6
          hints.push_back(hint);
      }
    }
    previous = key;
    at = value_end;
  }
  return hints;
}

}  // namespace

DnsQuestion FirstQuestion(std::string_view wire) {
  if (wire.size() < kHeaderBytes || Read16(wire, 4) == 0)
    return {};
  size_t at = kHeaderBytes;
  absl::StatusOr<SharedText> name = ReadName(wire, &at);
  if (!name.ok() || at + 4 > wire.size())
    return {};
  return {*std::move(name), Read16(wire, at), Read16(wire, at + 2)};
}

absl::StatusOr<DnsMessage> ParseDns(std::string_view wire, DnsCapture capture,
                                    DnsProtocol protocol) {
  return Reader(wire, protocol).Read(capture);
}

}  // namespace sandpiper
