// SPDX-License-Identifier: Apache-2.0
// The content of the registers while the expressions of a rule are decoded one after the other.
#ifndef SANDPIPER_USERSPACE_RULESET_NFT_REGISTERS_H_
#define SANDPIPER_USERSPACE_RULESET_NFT_REGISTERS_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "userspace/ruleset/nft_set.h"

struct nftnl_expr;

namespace sandpiper {

// The result of a lookup in a map.
struct NftMapResult {
  std::string key;  // the text of the key, as "tcp dport"
  const NftSet* set;
  std::vector<NftSetValue> values;
};

class NftRegisters {
 public:
  struct Register {
    std::optional<NftSubject> subject;  // a loaded field
    std::string constant;
    std::optional<NftMapResult> map;
    // The last change of the subject's bits: (value & mask) ^ change.
    std::string mask, change;
    std::optional<NftBits> changed;  // the part of a header that it was
  };

  void Load(uint32_t number, NftSubject subject);
  void LoadConstant(uint32_t number, std::string bytes);
  void LoadMap(uint32_t number, NftMapResult map);
  // Forgets the value, since it cannot be described.
  void Clear(uint32_t number);

  // Each applies an expression of this kind.
  void Bitwise(const nftnl_expr* expr);
  void ByteOrder(const nftnl_expr* expr);
  void Hash(const nftnl_expr* expr);

  // Null if there is no register with this number.
  const Register* Find(uint32_t number) const;
  // Null if the register holds no field.
  const NftSubject* FindSubject(uint32_t number) const;
  // The fields from a register on, for a key of `bytes`. Empty if they are not known.
  std::vector<NftSubject> FindKey(uint32_t number, uint32_t bytes) const;
  // The text of a value that is used as a `target`: a constant, a field, or a map. Empty if it is
  // not known.
  std::string Text(uint32_t number, const NftSubject& target) const;

 private:
  // Registers overlap: four registers of 16 bytes are also sixteen of 4 bytes.
  static constexpr size_t kCount = 16;
  static std::optional<size_t> IndexOf(uint32_t number);

  std::array<Register, kCount> registers_;
};

struct NftBitRun {
  uint32_t leading, ones, trailing;
};

// The only run of ones in the mask; nothing if there is none, or if there are several.
std::optional<NftBitRun> OnlyNftBitRun(const std::string& mask);

// The text of a map's content, as "{ 80 : 0x00000001 }", or its name, as "@marks".
std::string FormatNftMap(const NftMapResult& map, const NftSubject& target);

// The text of a key of several parts, as "ip daddr . tcp dport".
std::string FormatNftKey(const std::vector<NftSubject>& parts);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RULESET_NFT_REGISTERS_H_
