#include "userspace/event/address.h"

#include <arpa/inet.h>

#include <algorithm>

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

bool Address::is_ipv4() const { return std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin()); }

bool Address::is_loopback() const { return is_ipv4() ? bytes[12] == 127 : *this == kIpv6Loopback; }

std::string Address::ToString() const {
  if (is_ipv4())
    return absl::StrCat(bytes[12], ".", bytes[13], ".", bytes[14], ".", bytes[15]);
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, bytes.data(), text, sizeof(text));
}

std::string Endpoint::ToString() const {
  const std::string host = address.ToString();
  return address.is_ipv4() ? absl::StrCat(host, ":", port) : absl::StrCat("[", host, "]:", port);
}

}  // namespace sandpiper
