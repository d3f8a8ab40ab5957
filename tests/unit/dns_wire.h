// SPDX-License-Identifier: Apache-2.0
// DNS messages for tests, built by hand from RFC 1035.
#ifndef SANDPIPER_TESTS_UNIT_DNS_WIRE_H_
#define SANDPIPER_TESTS_UNIT_DNS_WIRE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace sandpiper::testing {

inline std::string U16(unsigned n) { return {static_cast<char>(n >> 8), static_cast<char>(n)}; }
inline std::string U32(uint32_t n) { return U16(n >> 16) + U16(n & 0xffff); }

inline std::string WireName(const std::string& name) {
  std::string out;
  for (size_t at = 0; at < name.size();) {
    const size_t dot = std::min(name.find('.', at), name.size());
    out += static_cast<char>(dot - at) + name.substr(at, dot - at);
    at = dot + 1;
  }
  return out + '\0';
}

inline std::string Header(unsigned id, unsigned flags, unsigned questions, unsigned answers) {
  return U16(id) + U16(flags) + U16(questions) + U16(answers) + U16(0) + U16(0);
}

inline std::string Question(const std::string& name, unsigned type) {
  return WireName(name) + U16(type) + U16(1);
}

inline std::string Query(unsigned id, const std::string& name, unsigned type = 1) {
  return Header(id, 0x0100, 1, 0) + Question(name, type);
}

// `owner` on the wire; 0xc00c points at the question's name.
inline std::string Record(const std::string& owner, unsigned type, const std::string& data,
                          uint32_t ttl = 60) {
  return owner + U16(type) + U16(1) + U32(ttl) + U16(static_cast<unsigned>(data.size())) + data;
}

inline std::string Answer(unsigned id, const std::string& name,
                          const std::vector<std::string>& records, unsigned rcode = 0,
                          unsigned type = 1, unsigned flags = 0) {
  std::string out = Header(id, 0x8180 | rcode | flags, 1, static_cast<unsigned>(records.size())) +
                    Question(name, type);
  for (const std::string& record : records)
    out += record;
  return out;
}

inline std::string ARecord(uint8_t last, uint32_t ttl = 60) {
  return Record(U16(0xc00c), 1, std::string("\xc0\x00\x02", 3) + static_cast<char>(last), ttl);
}

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_UNIT_DNS_WIRE_H_
