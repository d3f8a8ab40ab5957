// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_value.h"

#include <arpa/inet.h>
#include <linux/pkt_sched.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <ctime>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace sandpiper {
namespace {

constexpr uint64_t kDaySeconds = 86'400;

std::string Hex(std::string_view value) {
  std::string out = "0x";
  for (const char c : value)
    absl::StrAppend(&out, absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  return out;
}

// The last eight bytes as a number in network order.
uint64_t ToNumber(std::string_view value) {
  uint64_t out = 0;
  for (const char c : value)
    out = out << 8 | static_cast<uint8_t>(c);
  return out;
}

std::string FormatAddress(int family, std::string_view value) {
  const size_t full = family == AF_INET ? 4 : 16;
  uint8_t bytes[16] = {};
  std::memcpy(bytes, value.data(), std::min(value.size(), full));
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(family, bytes, text, sizeof(text));
  // For a prefix of whole bytes nft loads only those bytes.
  return value.size() < full ? absl::StrCat(text, "/", value.size() * 8) : text;
}

std::string FormatEther(std::string_view value) {
  return absl::StrJoin(value, ":", [](std::string* out, char c) {
    absl::StrAppend(out, absl::Hex(static_cast<uint8_t>(c), absl::kZeroPad2));
  });
}

std::string FormatName(std::string_view value) {
  const std::string name(value.substr(0, value.find('\0')));
  // nft compares a name without its final NUL for "eth*".
  const bool is_prefix = name.size() == value.size() && value.size() < 16;
  return absl::StrCat("\"", name, is_prefix ? "*" : "", "\"");
}

std::string FormatHandle(uint64_t handle) {
  if (handle == TC_H_ROOT)
    return "root";
  if (handle == TC_H_UNSPEC)
    return "none";
  const std::string major = TC_H_MAJ(handle) ? absl::StrCat(absl::Hex(TC_H_MAJ(handle) >> 16)) : "";
  return absl::StrCat(major, ":",
                      TC_H_MIN(handle) ? absl::StrCat(absl::Hex(TC_H_MIN(handle))) : "");
}

std::string FormatTime(uint64_t nanoseconds) {
  const auto seconds = static_cast<time_t>(nanoseconds / 1'000'000'000);
  tm local = {};
  char text[64] = {};
  if (!localtime_r(&seconds, &local) ||
      strftime(text, sizeof(text), "\"%Y-%m-%d %H:%M:%S\"", &local) == 0)
    return absl::StrCat(nanoseconds);
  return text;
}

std::string FormatHour(uint64_t seconds) {
  if (seconds > kDaySeconds)
    return absl::StrCat(seconds);
  const time_t now = time(nullptr);
  tm local = {};
  localtime_r(&now, &local);
  const uint64_t at =
      (seconds + kDaySeconds + static_cast<uint64_t>(local.tm_gmtoff)) % kDaySeconds;
  const std::string text = absl::StrFormat("\"%02d:%02d", at / 3600, at / 60 % 60);
  return at % 60 ? absl::StrFormat("%s:%02d\"", text, at % 60) : text + "\"";
}

std::string FormatDuration(uint64_t milliseconds) {
  if (milliseconds == 0)
    return "0s";
  static constexpr std::pair<uint64_t, const char*> kUnits[] = {
      {kDaySeconds * 1000, "d"}, {3'600'000, "h"}, {60'000, "m"}, {1000, "s"}, {1, "ms"}};
  std::string out;
  for (const auto& [unit, name] : kUnits) {
    if (milliseconds >= unit)
      absl::StrAppend(&out, milliseconds / unit, name);
    milliseconds %= unit;
  }
  return out;
}

// The numbers of the bits of a value in the order of the host.
std::string FormatBits(std::string_view value) {
  std::vector<size_t> bits;
  for (size_t i = 0; i < value.size() * 8; ++i) {
    if (static_cast<uint8_t>(value[i / 8]) >> (i % 8) & 1)
      bits.push_back(i);
  }
  return bits.empty() ? "0x0" : absl::StrJoin(bits, ",");
}

// The number of leading ones; -1 if a one follows a zero.
int PrefixLength(std::string_view mask) {
  int ones = 0;
  bool ended = false;
  for (const char c : mask) {
    const auto byte = static_cast<uint8_t>(c);
    const int leading = std::countl_one(byte);
    if ((ended && byte != 0) || (leading < 8 && static_cast<uint8_t>(byte << leading) != 0))
      return -1;
    ones += leading;
    ended |= leading < 8;
  }
  return ones;
}

bool IsAddress(const NftSubject& subject) {
  return subject.format == NftFormat::kIpv4 || subject.format == NftFormat::kIpv6;
}

bool IsNumber(NftFormat format) {
  switch (format) {
    case NftFormat::kNumber:
    case NftFormat::kHexNumber:
    case NftFormat::kHandle:
    case NftFormat::kTime:
    case NftFormat::kHour:
    case NftFormat::kDuration:
    case NftFormat::kInterface:
      return true;
    default:
      return false;
  }
}

// The value in network order, with the field in its last bits.
std::string Normalize(const NftSubject& subject, std::string_view value) {
  std::string out(value);
  if (subject.order == NftOrder::kHost && IsNumber(subject.format) &&
      std::endian::native == std::endian::little)
    std::reverse(out.begin(), out.end());
  for (uint32_t i = 0; i < subject.shift; ++i) {
    for (size_t at = out.size(); at > 0; --at) {
      const auto upper = at > 1 ? static_cast<uint8_t>(out[at - 2]) : 0;
      out[at - 1] = static_cast<char>(static_cast<uint8_t>(out[at - 1]) >> 1 | upper << 7);
    }
  }
  return out;
}

std::string FormatNumber(const NftSubject& subject, const std::string& value) {
  const uint64_t number = ToNumber(value);
  switch (subject.format) {
    case NftFormat::kHandle:
      return FormatHandle(number);
    case NftFormat::kTime:
      return FormatTime(number);
    case NftFormat::kHour:
      return FormatHour(number);
    case NftFormat::kDuration:
      return FormatDuration(number);
    case NftFormat::kHexNumber: {
      // Of a part of a header only the bytes of the field.
      const size_t bytes = subject.bits ? (subject.bits->count + 7) / 8 : value.size();
      return Hex(std::string_view(value).substr(value.size() - std::min(bytes, value.size())));
    }
    case NftFormat::kInterface: {
      const std::string name =
          subject.interfaces ? (*subject.interfaces)(static_cast<uint32_t>(number)) : "";
      return name.empty() ? absl::StrCat(number) : absl::StrCat("\"", name, "\"");
    }
    default:
      return absl::StrCat(number);
  }
}

// The value without its mask and without names for flags.
std::string FormatPlain(const NftSubject& subject, std::string_view value) {
  switch (subject.format) {
    case NftFormat::kIpv4:
      return FormatAddress(AF_INET, value.substr(0, 4));
    case NftFormat::kIpv6:
      return FormatAddress(AF_INET6, value.substr(0, 16));
    case NftFormat::kEther:
      return FormatEther(value);
    case NftFormat::kName:
      return FormatName(value);
    case NftFormat::kBits:
      return FormatBits(value);
    case NftFormat::kHex:
      return Hex(value);
    default:
      return FormatNumber(subject, Normalize(subject, value));
  }
}

std::string FormatFlags(const NftSubject& subject, std::string_view value, const char* separator) {
  return absl::StrJoin(NftFlagNames(subject.symbols, ToNumber(Normalize(subject, value))),
                       separator);
}

// Text that begins with what `low` and `high` have in common, as "eth*".
std::optional<std::string> NamePrefix(std::string_view low, std::string_view high) {
  const std::string name(low.substr(0, low.find('\0')));
  if (low.size() != high.size() || !high.starts_with(name) ||
      high.find_first_not_of('\xff', name.size()) != std::string_view::npos)
    return std::nullopt;
  return absl::StrCat("\"", name, "*\"");
}

}  // namespace

bool HasPrefixMask(const NftSubject& subject) {
  return subject.mask.empty() || (IsAddress(subject) && PrefixLength(subject.mask) >= 0);
}

std::string FormatNftSubject(const NftSubject& subject) {
  if (HasPrefixMask(subject))
    return subject.name;
  if (!subject.flags)
    return absl::StrCat(subject.name, " & ", FormatPlain(subject, subject.mask));
  const std::string flags = FormatFlags(subject, subject.mask, " | ");
  return flags.find(' ') == std::string::npos ? absl::StrCat(subject.name, " & ", flags)
                                              : absl::StrCat(subject.name, " & (", flags, ")");
}

std::string FormatNftValue(const NftSubject& subject, std::string_view value) {
  if (!subject.mask.empty() && subject.mask.size() == value.size() && HasPrefixMask(subject)) {
    const std::string address = FormatPlain(subject, value);
    const int prefix = PrefixLength(subject.mask);
    return static_cast<size_t>(prefix) == value.size() * 8 ? address
                                                           : absl::StrCat(address, "/", prefix);
  }
  if (subject.flags)
    return FormatFlags(subject, value, ",");
  if (!subject.symbols.empty()) {
    const uint64_t number = ToNumber(Normalize(subject, value));
    if (const char* name = NftSymbolName(subject.symbols, number))
      return name;
  }
  return FormatPlain(subject, value);
}

std::string FormatNftRange(const NftSubject& subject, std::string_view low, std::string_view high) {
  if (low == high)
    return FormatNftValue(subject, low);
  if (IsAddress(subject) && low.size() == high.size()) {
    std::string mask(low.size(), '\0');
    for (size_t i = 0; i < low.size(); ++i)
      mask[i] = static_cast<char>(~(low[i] ^ high[i]));
    const int prefix = PrefixLength(mask);
    bool aligned = prefix >= 0;
    for (size_t i = 0; aligned && i < low.size(); ++i)
      aligned = (low[i] & ~mask[i]) == 0;
    if (aligned)
      return absl::StrCat(FormatPlain(subject, low), "/", prefix);
  }
  if (subject.format == NftFormat::kName) {
    if (const auto prefix = NamePrefix(low, high))
      return *prefix;
  }
  return absl::StrCat(FormatPlain(subject, low), "-", FormatPlain(subject, high));
}

std::string FormatNftElement(const NftSubject& subject, std::string_view low,
                             std::string_view high) {
  return subject.flags && low == high ? FormatFlags(subject, low, " | ")
                                      : FormatNftRange(subject, low, high);
}

std::string Before(std::string value) {
  for (auto byte = value.rbegin(); byte != value.rend(); ++byte) {
    *byte = static_cast<char>(static_cast<uint8_t>(*byte) - 1);
    if (static_cast<uint8_t>(*byte) != 0xff)
      break;
  }
  return value;
}

}  // namespace sandpiper
