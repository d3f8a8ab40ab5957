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
  std::string key;
  std::string key_end;        // last value of a range of concatenated values; else empty
  bool interval_end = false;  // the first value after an interval; no element of its own
  bool catch_all = false;     // matches all values that no other element has
  bool timed = false;
  bool has_verdict = false;
  uint32_t verdict = 0;
  std::string chain;
  std::string data;    // of a map with values
  std::string object;  // the name of an object, of a map with objects
};

struct NftSet {
  std::string name;
  bool anonymous = false;
  bool interval = false;
  bool timed = false;  // its elements may have a timeout
  uint32_t key_bytes = 0;
  uint32_t object_type = 0;  // NFT_OBJECT_*, of a map with objects
  std::vector<NftElement> elements;
};

// Sets by family, table and name.
using NftSets = std::map<std::tuple<uint32_t, std::string, std::string>, NftSet>;

// One permanent value or range of a set as text, with the element that begins it.
struct NftSetValue {
  std::string text;                // "*" for the element that matches all other values
  std::vector<std::string> parts;  // the parts of a concatenation; else only the text
  const NftElement* element;
};

// The permanent values, sorted; the one for all other values is the last. `subjects` are the parts
// of the key: more than one for a concatenation.
std::vector<NftSetValue> StaticValues(const NftSet& set, const std::vector<NftSubject>& subjects);

// The number of permanent elements. An interval counts as one.
uint64_t CountStatic(const NftSet& set);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_SET_H_
