// SPDX-License-Identifier: Apache-2.0
// IP addresses and endpoints. An IPv4 address is stored as ::ffff:a.b.c.d, as in bpf/events.h.
#ifndef SANDPIPER_USERSPACE_BASE_ADDRESS_H_
#define SANDPIPER_USERSPACE_BASE_ADDRESS_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>

namespace sandpiper {

struct Address {
  std::array<uint8_t, 16> bytes{};

  auto operator<=>(const Address&) const = default;

  static Address FromIpv4(const uint8_t (&octets)[4]);
  bool is_ipv4() const;
  // True for 127.0.0.0/8 and ::1.
  bool is_loopback() const;
  // RFC 5952 for IPv6, dotted decimal for IPv4.
  std::string ToString() const;
  void AppendTo(std::string* out) const;

  template <typename H>
  friend H AbslHashValue(H state, const Address& a) {
    return H::combine(std::move(state), a.bytes);
  }
};

struct Endpoint {
  Address address;
  uint16_t port = 0;

  auto operator<=>(const Endpoint&) const = default;

  // "192.0.2.1:443", "[2001:db8::1]:443".
  std::string ToString() const;
  void AppendTo(std::string* out) const;

  template <typename H>
  friend H AbslHashValue(H state, const Endpoint& e) {
    return H::combine(std::move(state), e.address, e.port);
  }
};

enum class Transport : uint8_t { kTcp = 0, kUdp = 1 };

// The values of OpenTelemetry's network.transport and network.type.
inline const char* Name(Transport transport) {
  return transport == Transport::kTcp ? "tcp" : "udp";
}
inline const char* NetworkType(const Address& address) {
  return address.is_ipv4() ? "ipv4" : "ipv6";
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_ADDRESS_H_
