// SPDX-License-Identifier: Apache-2.0
// A set or map of nftables, with its elements.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_SET_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_SET_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "userspace/ruleset/nft_value.h"

namespace sandpiper {

struct NftElement {
  std::string key, key_end;   // key_end: of a range of concatenated values, included; else empty
  bool interval_end = false;  // the first value behind an interval, which is no element of its own
  bool timed = false;
  bool has_verdict = false;
  uint32_t verdict = 0;
  std::string chain;
};

struct NftSet {
  std::string name;
  bool anonymous = false;
  bool interval = false;
  bool timed = false;  // its elements may have a timeout
  uint32_t key_bytes = 0;
  std::vector<NftElement> elements;
};

// By family, table and name.
using NftSets = std::map<std::tuple<uint32_t, std::string, std::string>, NftSet>;

// One value or range of the set that is there to stay, as text, with the element that it begins
// with.
struct NftSetValue {
  std::string text;
  std::vector<std::string> parts;  // of a concatenation; else the text
  const NftElement* element;
};

// Values without a timeout, sorted. `subjects`: what the parts of a key are, more than one for
// concatenations.
std::vector<NftSetValue> StaticValues(const NftSet& set, const std::vector<NftSubject>& subjects);

// Elements without a timeout; an interval is one.
uint64_t CountStatic(const NftSet& set);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_SET_H_
