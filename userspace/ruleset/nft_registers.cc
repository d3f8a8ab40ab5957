// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_registers.h"

#include <libnftnl/expr.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/ruleset/nft_expr.h"
#include "userspace/ruleset/nft_subjects.h"

namespace sandpiper {
namespace {

bool IsZero(const std::string& bytes) { return bytes.find_first_not_of('\0') == std::string::npos; }

bool IsOnes(const std::string& bytes) {
  return bytes.find_first_not_of('\xff') == std::string::npos;
}

// The bits of the mask are a field of a header, as those of "ip dscp" in its byte; or the mask
// stays a part of the subject.
NftSubject Mask(const NftSubject& source, const std::string& mask) {
  const auto run = OnlyNftBitRun(mask);
  if (run && source.bits && source.bits->count == mask.size() * 8 && source.mask.empty()) {
    NftBits bits = *source.bits;
    bits.offset += run->leading;
    bits.count = run->ones;
    if (const NftField* field = FindNftField(bits.header, bits.offset, bits.count)) {
      NftSubject out = NftFieldSubject(*field, bits);
      out.bytes = source.bytes;
      out.shift = run->trailing;
      return out;
    }
  }
  NftSubject out = source;
  out.name = FormatNftSubject(source);
  out.mask = mask;
  return out;
}

// A constant in the format of the subject, but without names.
std::string Number(const NftSubject& subject, const std::string& value) {
  NftSubject plain = subject;
  plain.mask.clear();
  plain.symbols = {};
  plain.flags = false;
  return FormatNftValue(plain, value);
}

// The text of (source & mask) ^ change with the operators that nft has: it sets bits with "|".
std::string Change(const NftSubject& source, std::string mask, std::string change) {
  std::string set(mask.size(), '\0');
  for (size_t i = 0; i < mask.size() && i < change.size(); ++i) {
    set[i] = static_cast<char>(change[i] & ~mask[i]);
    change[i] = static_cast<char>(change[i] ^ set[i]);
    mask[i] = static_cast<char>(mask[i] | set[i]);
  }
  std::string out = FormatNftSubject(source);
  if (!IsOnes(mask))
    absl::StrAppend(&out, " & ", Number(source, mask));
  if (!IsZero(change))
    absl::StrAppend(&out, " ^ ", Number(source, change));
  if (!IsZero(set))
    absl::StrAppend(&out, " | ", Number(source, set));
  return out;
}

void Swap(std::string* bytes, uint32_t size) {
  for (size_t at = 0; size > 1 && at + size <= bytes->size(); at += size)
    std::reverse(bytes->begin() + static_cast<ptrdiff_t>(at),
                 bytes->begin() + static_cast<ptrdiff_t>(at + size));
}

}  // namespace

std::optional<NftBitRun> OnlyNftBitRun(const std::string& mask) {
  NftBitRun run = {};
  for (const char c : mask) {
    for (int bit = 7; bit >= 0; --bit) {
      const bool one = (static_cast<uint8_t>(c) >> bit & 1) != 0;
      if (one && run.trailing > 0)
        return std::nullopt;
      if (one)
        ++run.ones;
      else if (run.ones > 0)
        ++run.trailing;
      else
        ++run.leading;
    }
  }
  return run.ones > 0 ? std::optional(run) : std::nullopt;
}

std::string FormatNftKey(const std::vector<NftSubject>& parts) {
  return absl::StrJoin(parts, " . ", [](std::string* out, const NftSubject& part) {
    absl::StrAppend(out, FormatNftSubject(part));
  });
}

std::string FormatNftMap(const NftMapResult& map, const NftSubject& target) {
  if (!map.set->anonymous)
    return absl::StrCat("@", map.set->name);
  return absl::StrCat("{ ",
                      absl::StrJoin(map.values, ", ",
                                    [&](std::string* out, const NftSetValue& value) {
                                      const NftElement& element = *value.element;
                                      absl::StrAppend(
                                          out, value.text, " : ",
                                          element.object.empty()
                                              ? FormatNftValue(target, element.data)
                                              : absl::StrCat("\"", element.object, "\""));
                                    }),
                      " }");
}

std::optional<size_t> NftRegisters::IndexOf(uint32_t number) {
  if (number >= NFT_REG_1 && number <= NFT_REG_4)
    return (number - NFT_REG_1) * 4;
  if (number >= NFT_REG32_00 && number < NFT_REG32_00 + kCount)
    return number - NFT_REG32_00;
  return std::nullopt;
}

void NftRegisters::Load(uint32_t number, NftSubject subject) {
  if (const auto index = IndexOf(number))
    registers_[*index] = {.subject = std::move(subject)};
}

void NftRegisters::LoadConstant(uint32_t number, std::string bytes) {
  if (const auto index = IndexOf(number))
    registers_[*index] = {.constant = std::move(bytes)};
}

void NftRegisters::LoadMap(uint32_t number, NftMapResult map) {
  if (const auto index = IndexOf(number))
    registers_[*index] = {.map = std::move(map)};
}

void NftRegisters::Clear(uint32_t number) {
  if (const auto index = IndexOf(number))
    registers_[*index] = {};
}

const NftRegisters::Register* NftRegisters::Find(uint32_t number) const {
  const auto index = IndexOf(number);
  return index ? &registers_[*index] : nullptr;
}

const NftSubject* NftRegisters::FindSubject(uint32_t number) const {
  const Register* found = Find(number);
  return found && found->subject ? &*found->subject : nullptr;
}

std::vector<NftSubject> NftRegisters::FindKey(uint32_t number, uint32_t bytes) const {
  std::vector<NftSubject> parts;
  uint32_t found = 0;
  for (auto index = IndexOf(number); index && *index < kCount && registers_[*index].subject &&
                                     (found < bytes || parts.empty());) {
    parts.push_back(*registers_[*index].subject);
    // At least one word, so that a subject of no bytes does not loop forever.
    const uint32_t words = std::max(1u, (parts.back().bytes + 3) / 4);
    found += words * 4;
    *index += words;
  }
  return parts;
}

void NftRegisters::Bitwise(const nftnl_expr* expr) {
  const uint32_t to = GetNumber(expr, NFTNL_EXPR_BITWISE_DREG);
  const Register* from = Find(GetNumber(expr, NFTNL_EXPR_BITWISE_SREG));
  if (!from || !from->subject)
    return Clear(to);
  const NftSubject source = *from->subject;
  const uint32_t op = GetNumber(expr, NFTNL_EXPR_BITWISE_OP);
  NftSubject result = source;
  // The result is a number, not a part of a header.
  result.bits.reset();
  result.shift = 0;
  result.mask.clear();
  result.symbols = {};
  result.flags = false;
  result.destination = false;
  if (op == NFT_BITWISE_LSHIFT || op == NFT_BITWISE_RSHIFT) {
    const std::string data = GetBytes(expr, NFTNL_EXPR_BITWISE_DATA);
    uint32_t bits = 0;
    std::memcpy(&bits, data.data(), std::min(sizeof(bits), data.size()));
    result.name =
        absl::StrCat(FormatNftSubject(source), op == NFT_BITWISE_LSHIFT ? " << " : " >> ", bits);
    return Load(to, std::move(result));
  }
  const std::string mask = GetBytes(expr, NFTNL_EXPR_BITWISE_MASK);
  const std::string change = GetBytes(expr, NFTNL_EXPR_BITWISE_XOR);
  if (op != NFT_BITWISE_BOOL || mask.empty()) {
    result.name = absl::StrCat("(", source.name, " ", LibnftnlText(expr), ")");
    result.format = NftFormat::kHex;
    return Load(to, std::move(result));
  }
  if (IsZero(change)) {
    Load(to, IsOnes(mask) ? source : Mask(source, mask));
  } else {
    result.name = Change(source, mask, change);
    Load(to, std::move(result));
  }
  if (const auto index = IndexOf(to)) {
    registers_[*index].mask = mask;
    registers_[*index].change = change;
    registers_[*index].changed = source.bits;
  }
}

void NftRegisters::ByteOrder(const nftnl_expr* expr) {
  const uint32_t to = GetNumber(expr, NFTNL_EXPR_BYTEORDER_DREG);
  const uint32_t size = GetNumber(expr, NFTNL_EXPR_BYTEORDER_SIZE);
  const Register* from = Find(GetNumber(expr, NFTNL_EXPR_BYTEORDER_SREG));
  const auto index = IndexOf(to);
  if (!from || !index)
    return;
  Register result = *from;
  if (std::endian::native == std::endian::little && result.subject) {
    result.subject->order =
        result.subject->order == NftOrder::kHost ? NftOrder::kNetwork : NftOrder::kHost;
    Swap(&result.subject->mask, size);
  }
  if (std::endian::native == std::endian::little)
    Swap(&result.constant, size);
  registers_[*index] = std::move(result);
}

void NftRegisters::Hash(const nftnl_expr* expr) {
  const uint32_t modulus = GetNumber(expr, NFTNL_EXPR_HASH_MODULUS);
  const uint32_t offset = GetNumber(expr, NFTNL_EXPR_HASH_OFFSET);
  const uint32_t seed = GetNumber(expr, NFTNL_EXPR_HASH_SEED);
  std::string name = "symhash";
  if (GetNumber(expr, NFTNL_EXPR_HASH_TYPE) == NFT_HASH_JENKINS)
    name = absl::StrCat("jhash ", FormatNftKey(FindKey(GetNumber(expr, NFTNL_EXPR_HASH_SREG),
                                                       GetNumber(expr, NFTNL_EXPR_HASH_LEN))));
  absl::StrAppend(&name, " mod ", modulus);
  if (seed != 0)
    absl::StrAppend(&name, " seed 0x", absl::Hex(seed));
  if (offset != 0)
    absl::StrAppend(&name, " offset ", offset);
  Load(GetNumber(expr, NFTNL_EXPR_HASH_DREG), {.name = std::move(name),
                                               .format = NftFormat::kNumber,
                                               .bytes = 4,
                                               .order = NftOrder::kHost});
}

std::string NftRegisters::Text(uint32_t number, const NftSubject& target) const {
  const Register* found = Find(number);
  if (!found)
    return "";
  if (found->map)
    return absl::StrCat(found->map->key, " map ", FormatNftMap(*found->map, target));
  if (!found->constant.empty())
    return FormatNftValue(target, found->constant);
  return found->subject ? FormatNftKey(FindKey(number, 0)) : "";
}

}  // namespace sandpiper
