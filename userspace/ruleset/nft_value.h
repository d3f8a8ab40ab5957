// SPDX-License-Identifier: Apache-2.0
// Formats values of nftables registers and set keys as nft(8) prints them.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_VALUE_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_VALUE_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "userspace/ruleset/nft_symbols.h"

namespace sandpiper {

enum class NftFormat {
  kHex,        // all bytes, as 0x0a000001
  kIpv4,       //
  kIpv6,       //
  kEther,      // 00:11:22:33:44:55
  kNumber,     // decimal
  kHexNumber,  // 0x2a, with two digits for each byte
  kName,       // text, filled up with NUL
  kHandle,     // of traffic control, as 1:2
  kTime,       // nanoseconds of Unix time, as "2026-01-01 00:00:00" in local time
  kHour,       // seconds of the day in UTC, as "08:00" in local time
  kDuration,   // milliseconds, as 1h30s
  kBits,       // numbers of bits
  kInterface,  // index of an interface, as "eth0"
};

enum class NftOrder { kNetwork, kHost };

// The name of the interface with this index, empty if there is none.
using NftInterfaces = std::function<std::string(uint32_t index)>;

// A part of a protocol header or of an extension header.
struct NftBits {
  uint32_t base = 0;    // NFT_PAYLOAD_*; not used for an extension header
  std::string header;   // the header's name in the tables of nft_headers.h, if it is known
  uint32_t offset = 0;  // of the first bit in the header
  uint32_t count = 0;
};

// The field that was loaded into a register, as "ip daddr", "tcp dport" or "meta mark".
struct NftSubject {
  std::string name;
  NftFormat format = NftFormat::kHex;
  uint32_t bytes = 4;        // of the value in the register
  bool destination = false;  // the destination address of packets
  // Order of the bytes of numbers. nft converts numbers of the host to network order before it
  // compares ranges.
  NftOrder order = NftOrder::kNetwork;
  std::span<const NftSymbol> symbols = {};  // names of values
  bool flags = false;                       // values are sets of bits, and `symbols` names those
  uint32_t shift = 0;                       // the field ends this many bits before the value does
  std::string mask = {};                    // empty, or of the length of the value
  std::optional<NftBits> bits = {};         // if it is a part of a header
  const NftInterfaces* interfaces = nullptr;
};

// The text of the subject with its mask, as "meta mark & 0x000000ff". A prefix of an address is
// part of the value instead.
std::string FormatNftSubject(const NftSubject& subject);

// True if the mask of an address is a prefix, or if there is no mask.
bool HasPrefixMask(const NftSubject& subject);

std::string FormatNftValue(const NftSubject& subject, std::string_view value);

// Formats the range from `low` to `high`, both included: as one value, as a prefix if it is one,
// else as "low-high".
std::string FormatNftRange(const NftSubject& subject, std::string_view low, std::string_view high);

// Flags as an element of a set, as "syn | ack". Other values as FormatNftRange.
std::string FormatNftElement(const NftSubject& subject, std::string_view low,
                             std::string_view high);

// The value minus one, as a number in network order; wraps around.
std::string Before(std::string value);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_VALUE_H_
