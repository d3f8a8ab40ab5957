// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/dns_message.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

constexpr size_t kHeaderBytes = 12;
constexpr size_t kNameMax = 255;  // RFC 1035 2.3.4, on the wire
// A name of 255 bytes has at most 127 labels. No valid name needs more pointers than labels.
constexpr int kJumpsMax = 127;
constexpr uint16_t kTypeA = 1;
constexpr uint16_t kTypeCname = 5;
constexpr uint16_t kTypeAaaa = 28;
constexpr uint16_t kClassIn = 1;

uint16_t Read16(std::string_view wire, size_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(wire[at]) << 8 |
                               static_cast<uint8_t>(wire[at + 1]));
}

uint32_t Read32(std::string_view wire, size_t at) {
  return static_cast<uint32_t>(Read16(wire, at)) << 16 | Read16(wire, at + 2);
}

absl::Status Malformed(std::string_view what, size_t at) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(what), " at byte ", at));
}

absl::Status OutOfBytes(size_t at) {
  return absl::OutOfRangeError(absl::StrCat("the message ends within a field at byte ", at));
}

// In presentation form, one byte of a name takes at most four characters: \DDD.
constexpr size_t kTextMax = 4 * kNameMax;

// The character for each byte of a label; 0 if the byte is escaped. ASCII only, independent of the
// locale.
constexpr std::array<char, 256> kPlain = [] {
  std::array<char, 256> out = {};
  for (int c = '!'; c <= '~'; ++c)
    out[static_cast<size_t>(c)] = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  out['.'] = out['\\'] = 0;
  return out;
}();

// Writes `label` to `text`. Returns the position after it.
char* PutLabel(std::string_view label, char* text) {
  for (const char c : label) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (kPlain[byte] != 0) {
      *text++ = kPlain[byte];
      continue;
    }
    *text++ = '\\';
    if (byte == '.' || byte == '\\') {
      *text++ = c;
    } else {
      *text++ = static_cast<char>('0' + byte / 100);
      *text++ = static_cast<char>('0' + byte / 10 % 10);
      *text++ = static_cast<char>('0' + byte % 10);
    }
  }
  return text;
}

// Reads the name at `*at`, and moves `*at` to the byte after it.
absl::StatusOr<SharedText> ReadName(std::string_view wire, size_t* at) {
  char text[kTextMax];
  char* end = text;
  size_t position = *at;
  size_t wire_bytes = 1;
  std::optional<size_t> after_pointer;
  for (int jumps = 0;;) {
    if (position >= wire.size())
      return OutOfBytes(position);
    const uint8_t length = static_cast<uint8_t>(wire[position]);
    if ((length & 0xc0) == 0xc0) {
      if (position + 1 >= wire.size())
        return OutOfBytes(position);
      const size_t target = Read16(wire, position) & 0x3fff;
      if (target >= position)
        return Malformed("a compression pointer that does not point backwards", position);
      if (++jumps > kJumpsMax)
        return Malformed("too many compression pointers", position);
      if (!after_pointer)
        after_pointer = position + 2;
      position = target;
      continue;
    }
    if (length & 0xc0)
      return Malformed("a label of a reserved kind or over 63 bytes", position);
    if (length == 0)
      break;
    if (position + 1 + length > wire.size())
      return OutOfBytes(position);
    wire_bytes += length + 1u;
    if (wire_bytes > kNameMax)
      return Malformed("a name of over 255 bytes", position);
    if (end != text)
      *end++ = '.';
    end = PutLabel(wire.substr(position + 1, length), end);
    position += length + 1u;
  }
  *at = after_pointer.value_or(position + 1);
  return end == text ? SharedText(".")
                     : SharedText(std::string_view(text, static_cast<size_t>(end - text)));
}

// Reads the owner name of a record. Nearly all servers write it as a pointer to the question, so
// that case shares the text of the question.
absl::StatusOr<SharedText> ReadOwner(std::string_view wire, const SharedText& question,
                                     size_t* at) {
  if (*at + 2 > wire.size() || Read16(wire, *at) != (0xc000 | kHeaderBytes))
    return ReadName(wire, at);
  *at += 2;
  return question;
}

absl::Status ReadAnswer(std::string_view wire, size_t* at, DnsMessage* message) {
  ASSIGN_OR_RETURN(SharedText owner, ReadOwner(wire, message->name, at));
  if (*at + 10 > wire.size())
    return OutOfBytes(*at);
  const uint16_t type = Read16(wire, *at);
  const uint16_t dns_class = Read16(wire, *at + 2);
  const uint32_t ttl = Read32(wire, *at + 4);
  const uint16_t length = Read16(wire, *at + 8);
  const size_t data = *at + 10;
  if (data + length > wire.size())
    return OutOfBytes(data);
  *at = data + length;
  if (dns_class != kClassIn)
    return absl::OkStatus();
  if (type == kTypeA) {
    if (length != 4)
      return Malformed("an A record that is not 4 bytes long", data);
    uint8_t octets[4];
    std::copy_n(wire.begin() + static_cast<ptrdiff_t>(data), 4, octets);
    message->addresses.push_back({std::move(owner), Address::FromIpv4(octets), ttl});
  } else if (type == kTypeAaaa) {
    if (length != 16)
      return Malformed("an AAAA record that is not 16 bytes long", data);
    Address address;
    std::copy_n(wire.begin() + static_cast<ptrdiff_t>(data), 16, address.bytes.begin());
    message->addresses.push_back({std::move(owner), address, ttl});
  } else if (type == kTypeCname) {
    size_t name_at = data;
    absl::StatusOr<SharedText> target = ReadName(wire.substr(0, data + length), &name_at);
    // All bytes of the record were captured, so a name that exceeds them is malformed and not cut.
    if (absl::IsOutOfRange(target.status()) || (target.ok() && name_at != data + length))
      return Malformed("a CNAME that does not fill its record", data);
    RETURN_IF_ERROR(target.status());
    message->aliases.push_back(*std::move(target));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DnsMessage> ParseDns(std::string_view wire, DnsCapture capture) {
  if (wire.size() < kHeaderBytes)
    return OutOfBytes(0);
  DnsMessage message;
  message.id = Read16(wire, 0);
  const uint16_t flags = Read16(wire, 2);
  const uint16_t questions = Read16(wire, 4);
  const uint16_t answers = Read16(wire, 6);
  message.is_response = flags & 0x8000;
  message.truncated = flags & 0x0200;
  message.rcode = flags & 0x000f;
  if (questions != 1)
    return Malformed(absl::StrCat(questions, " questions"), 4);
  size_t at = kHeaderBytes;
  ASSIGN_OR_RETURN(message.name, ReadName(wire, &at));
  if (at + 4 > wire.size())
    return OutOfBytes(at);
  message.type = Read16(wire, at);
  at += 4;
  for (int i = 0; i < answers; ++i) {
    const absl::Status status = ReadAnswer(wire, &at, &message);
    if (absl::IsOutOfRange(status) && (capture == DnsCapture::kCut || message.truncated))
      break;
    RETURN_IF_ERROR(status);
  }
  return message;
}

SharedText DnsTypeName(uint16_t type) {
  static constexpr std::pair<uint16_t, const char*> kNames[] = {
      {1, "A"},      {2, "NS"},     {5, "CNAME"},  {6, "SOA"},     {12, "PTR"},
      {13, "HINFO"}, {15, "MX"},    {16, "TXT"},   {28, "AAAA"},   {33, "SRV"},
      {35, "NAPTR"}, {43, "DS"},    {46, "RRSIG"}, {48, "DNSKEY"}, {52, "TLSA"},
      {64, "SVCB"},  {65, "HTTPS"}, {255, "ANY"},  {257, "CAA"}};
  for (const auto& [number, name] : kNames) {
    if (number == type)
      return SharedText::FromLiteral(name);
  }
  return absl::StrCat("TYPE", type);
}

SharedText DnsRcodeName(uint8_t rcode) {
  static constexpr std::array<const char*, 11> kNames = {
      "NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
      "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE"};
  return rcode < kNames.size() ? SharedText::FromLiteral(kNames[rcode])
                               : SharedText(absl::StrCat("RCODE", rcode));
}

}  // namespace sandpiper
