// SPDX-License-Identifier: Apache-2.0
#include "userspace/correlate/encrypted_dns.h"

#include <arpa/inet.h>

#include <algorithm>
#include <set>
#include <string>

namespace sandpiper {
namespace {

constexpr uint16_t kTlsPort = 853;
constexpr uint16_t kHttpsPort = 443;

// Public resolvers that are widely known. No such list is complete. A name includes its subdomains,
// since some resolvers give each customer a subdomain.
constexpr std::string_view kHosts[] = {"cloudflare-dns.com",
                                       "one.one.one.one",
                                       "dns.google",
                                       "dns64.dns.google",
                                       "quad9.net",
                                       "opendns.com",
                                       "adguard-dns.com",
                                       "adguard.com",
                                       "nextdns.io",
                                       "controld.com",
                                       "dns.mullvad.net",
                                       "cleanbrowsing.org",
                                       "dns.sb",
                                       "alidns.com",
                                       "doh.pub",
                                       "dot.pub",
                                       "dns0.eu",
                                       "dns4all.eu",
                                       "libredns.gr",
                                       "applied-privacy.net",
                                       "doh.dns.apple.com"};

constexpr const char* kAddresses[] = {
    // Cloudflare
    "1.1.1.1", "1.0.0.1", "1.1.1.2", "1.0.0.2", "1.1.1.3", "1.0.0.3", "2606:4700:4700::1111",
    "2606:4700:4700::1001", "2606:4700:4700::1112", "2606:4700:4700::1002", "2606:4700:4700::1113",
    "2606:4700:4700::1003",
    // Google
    "8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844",
    // Quad9
    "9.9.9.9", "149.112.112.112", "9.9.9.10", "149.112.112.10", "9.9.9.11", "149.112.112.11",
    "2620:fe::fe", "2620:fe::9", "2620:fe::10", "2620:fe::11",
    // OpenDNS
    "208.67.222.222", "208.67.220.220", "2620:119:35::35", "2620:119:53::53",
    // AdGuard
    "94.140.14.14", "94.140.15.15", "2a10:50c0::ad1:ff", "2a10:50c0::ad2:ff",
    // Mullvad, CleanBrowsing, DNS.SB, Control D
    "194.242.2.2", "185.228.168.9", "185.228.169.9", "185.222.222.222", "45.11.45.11", "76.76.2.0",
    "76.76.10.0",
    // AliDNS, DNSPod
    "223.5.5.5", "223.6.6.6", "1.12.12.12", "120.53.53.53"};

Address Parse(const char* text) {
  uint8_t octets[4];
  if (inet_pton(AF_INET, text, octets) == 1)
    return Address::FromIpv4(octets);
  Address address;
  inet_pton(AF_INET6, text, address.bytes.data());
  return address;
}

bool IsResolver(std::string_view host) {
  return std::any_of(std::begin(kHosts), std::end(kHosts), [&](std::string_view known) {
    return host == known || (host.size() > known.size() && host.ends_with(known) &&
                             host[host.size() - known.size() - 1] == '.');
  });
}

bool IsResolver(const Address& address) {
  static const auto* const kKnown = [] {
    auto* known = new std::set<Address>;
    for (const char* text : kAddresses)
      known->insert(Parse(text));
    return known;
  }();
  return kKnown->contains(address);
}

}  // namespace

const char* EncryptedDns(std::string_view host, const Address& address, uint16_t port,
                         Transport transport) {
  if (port == kTlsPort)
    return transport == Transport::kTcp ? "dot" : "doq";
  if (port != kHttpsPort || !(IsResolver(host) || IsResolver(address)))
    return nullptr;
  return transport == Transport::kTcp ? "doh" : "doh3";
}

}  // namespace sandpiper
