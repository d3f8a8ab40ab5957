// SPDX-License-Identifier: Apache-2.0
// Generates DNS messages: valid ones of every shape, and copies with changed, missing or added
// bytes, as a hostile or broken resolver may send them.
#ifndef SANDPIPER_TESTS_FUZZ_DNS_GENERATOR_H_
#define SANDPIPER_TESTS_FUZZ_DNS_GENERATOR_H_

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace sandpiper::testing {

class DnsGenerator {
 public:
  explicit DnsGenerator(uint32_t seed) : random_(seed) {}

  // A message that every parser should read.
  std::string Valid() {
    names_.clear();
    wire_.clear();
    const unsigned answers = Below(2) ? Below(6) : 0;
    const unsigned authority = Below(4) ? 0 : 1;
    const unsigned additional = Below(2);
    Put16(Below(0x10000));
    Put16((answers ? 0x8180 : 0x0100) | (Below(8) ? 0 : Below(11)));
    Put16(1);
    Put16(answers);
    Put16(authority);
    Put16(additional);
    PutName();
    Put16(Below(3) ? 1 : Pick({2, 5, 6, 12, 15, 16, 28, 33, 65, 255}));
    Put16(1);
    for (unsigned i = 0; i < answers + authority; ++i)
      PutRecord();
    if (additional) {  // EDNS (RFC 6891)
      wire_.push_back('\0');
      Put16(41);
      Put16(1232);
      Put16(0);
      Put16(0);
      Put16(0);
    }
    return wire_;
  }

  // A valid message with one to four random changes. It may still be valid.
  std::string Mutated() {
    std::string wire = Valid();
    for (unsigned n = 1 + Below(4); n > 0; --n) {
      const size_t at = Below(static_cast<unsigned>(wire.size()));
      switch (Below(5)) {
        case 0:
          wire[at] = static_cast<char>(Below(256));
          break;
        case 1:
          wire[at] = static_cast<char>(wire[at] ^ (1 << Below(8)));
          break;
        case 2:
          wire.resize(std::max<size_t>(at, 1));
          break;
        case 3:
          wire.insert(at, 1, static_cast<char>(Pick({0, 0xc0, 0x3f, 0xff})));
          break;
        default:
          wire.erase(at, 1);
          wire += wire.empty() ? "x" : "";
          break;
      }
    }
    return wire;
  }

 private:
  unsigned Below(unsigned n) { return static_cast<unsigned>(random_() % n); }
  unsigned Pick(std::vector<unsigned> from) {
    return from[Below(static_cast<unsigned>(from.size()))];
  }
  void Put16(unsigned n) {
    wire_.push_back(static_cast<char>(n >> 8));
    wire_.push_back(static_cast<char>(n));
  }

  // Writes some labels, and then the root or a pointer to an earlier name (RFC 1035 4.1.4).
  void PutName() {
    for (unsigned n = Below(5); n > 0; --n) {
      if (wire_.size() < 0x3fff)
        names_.push_back(static_cast<unsigned>(wire_.size()));
      const unsigned length = 1 + Below(Below(10) ? 12 : 40);
      wire_.push_back(static_cast<char>(length));
      for (unsigned i = 0; i < length; ++i)
        wire_.push_back(static_cast<char>(Below(20) ? 'a' + Below(26) : Below(256)));
    }
    // The name that is being written has at most four labels. A pointer to it would be a loop.
    const unsigned own = static_cast<unsigned>(names_.size());
    if (own > 5 && Below(2))
      Put16(0xc000 | names_[Below(own - 5)]);
    else
      wire_.push_back('\0');
  }

  void PutRecord() {
    PutName();
    const unsigned type = Pick({1, 1, 28, 5, 5, 2, 12, 16});
    Put16(type);
    Put16(Below(20) ? 1 : 3);
    Put16(Below(0x8000));
    Put16(Below(0x10000));
    const size_t length_at = wire_.size();
    Put16(0);
    if (type == 1 || type == 28) {
      for (unsigned n = type == 1 ? 4 : 16; n > 0; --n)
        wire_.push_back(static_cast<char>(Below(256)));
    } else if (type == 16) {
      wire_ += "\x05hello";
    } else {
      PutName();
    }
    const size_t length = wire_.size() - length_at - 2;
    wire_[length_at] = static_cast<char>(length >> 8);
    wire_[length_at + 1] = static_cast<char>(length);
  }

  std::mt19937 random_;
  std::string wire_;
  std::vector<unsigned> names_;  // offsets of labels
};

}  // namespace sandpiper::testing

#endif  // SANDPIPER_TESTS_FUZZ_DNS_GENERATOR_H_
