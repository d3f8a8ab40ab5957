// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr Address kIpv6Loopback = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};

}  // namespace

Address Address::FromIpv4(const uint8_t (&octets)[4]) {
  Address a;
  std::copy(kMappedPrefix.begin(), kMappedPrefix.end(), a.bytes.begin());
  std::copy(std::begin(octets), std::end(octets), a.bytes.begin() + kMappedPrefix.size());
  return a;
}

bool Address::is_ipv4() const {
  return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
}

bool Address::is_loopback() const { return is_ipv4() ? bytes[12] == 127 : *this == kIpv6Loopback; }

std::string Address::ToString() const {
  std::string out;
  AppendTo(&out);
  return out;
}

void Address::AppendTo(std::string* out) const {
  char text[INET6_ADDRSTRLEN];
  if (!is_ipv4()) {
    out->append(inet_ntop(AF_INET6, bytes.data(), text, sizeof(text)));
    return;
  }
  // Nearly every record contains an IPv4 address, and inet_ntop uses the slower snprintf.
  char* end = text;
  for (size_t i = kMappedPrefix.size(); i < bytes.size(); ++i) {
    end = std::to_chars(end, std::end(text), bytes[i]).ptr;
    *end++ = '.';
  }
  out->append(text, static_cast<size_t>(end - text) - 1);
}

std::string Endpoint::ToString() const {
  std::string out;
  AppendTo(&out);
  return out;
}

void Endpoint::AppendTo(std::string* out) const {
  const bool ipv4 = address.is_ipv4();
  if (!ipv4)
    out->push_back('[');
  address.AppendTo(out);
  absl::StrAppend(out, ipv4 ? ":" : "]:", port);
}

}  // namespace sandpiper
