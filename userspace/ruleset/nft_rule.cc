// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_rule.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/ruleset/nft_expr.h"
#include "userspace/ruleset/nft_header_tracker.h"
#include "userspace/ruleset/nft_meta.h"
#include "userspace/ruleset/nft_registers.h"
#include "userspace/ruleset/nft_statements.h"
#include "userspace/ruleset/nft_subjects.h"

namespace sandpiper {
namespace {

bool IsZero(const std::string& bytes) { return bytes.find_first_not_of('\0') == std::string::npos; }

class Decoder {
 public:
  explicit Decoder(const NftTableContext& table) : table_(table), headers_(table.family) {}

  static int OnExpression(nftnl_expr* expr, void* self) {
    static_cast<Decoder*>(self)->Decode(expr);
    return 0;
  }

  NftRule Take() { return std::move(rule_); }

 private:
  void Decode(const nftnl_expr* expr) {
    const std::string name = GetText(expr, NFTNL_EXPR_NAME);
    if (const auto number = NftLoadedRegister(expr))
      return Load(*number, *NftLoadedSubject(expr, headers_.context()));
    if (name == "meta")
      Set(NftMetaSubject(GetNumber(expr, NFTNL_EXPR_META_KEY)),
          GetNumber(expr, NFTNL_EXPR_META_SREG));
    else if (name == "ct")
      Set(NftCtSubject(GetNumber(expr, NFTNL_EXPR_CT_KEY), std::nullopt),
          GetNumber(expr, NFTNL_EXPR_CT_SREG));
    else if (name == "payload")
      SetPayload(expr);
    else if (name == "exthdr")
      SetExthdr(expr);
    else if (name == "bitwise")
      Bitwise(expr);
    else if (name == "byteorder")
      registers_.ByteOrder(expr);
    else if (name == "hash")
      registers_.Hash(expr);
    else if (name == "cmp")
      Compare(expr);
    else if (name == "range")
      Range(expr);
    else if (name == "lookup")
      Lookup(expr);
    else if (name == "immediate")
      Immediate(expr);
    else if (name == "reject" ||
             (name == "target" && GetText(expr, NFTNL_EXPR_TG_NAME) == "REJECT"))
      rule_.verdict = NftVerdict::kDeny;
    else if (name == "objref" && nftnl_expr_is_set(expr, NFTNL_EXPR_OBJREF_SET_NAME))
      LookUpObject(expr);
    else
      AddStatement(FormatNftStatement(expr, table_.family,
                                      [this](uint32_t number, const NftSubject& target) {
                                        NftSubject named = target;
                                        named.interfaces = &table_.interfaces;
                                        return registers_.Text(number, named);
                                      }));
  }

  void AddStatement(NftStatement statement) {
    if (statement.text.empty())
      return;
    rule_.terms.push_back(
        {.kind = statement.matches ? NftTerm::Kind::kLimit : NftTerm::Kind::kStatement,
         .subject = std::move(statement.text)});
  }

  // A condition that cannot be described.
  void AddUnknown(const nftnl_expr* expr) {
    AddStatement({.text = LibnftnlText(expr), .matches = true});
  }

  void Load(uint32_t number, NftSubject subject) {
    subject.interfaces = &table_.interfaces;
    // Both have the same place. Only this type of message has an MTU.
    if (subject.name == "icmp sequence" && headers_.is_icmp_unreachable())
      subject.name = "icmp mtu";
    headers_.Imply(subject, &rule_.terms);
    registers_.Load(number, std::move(subject));
  }

  void Bitwise(const nftnl_expr* expr) {
    registers_.Bitwise(expr);
    // The mask may have selected a field of some bits, as "ip dscp".
    if (const NftSubject* subject =
            registers_.FindSubject(GetNumber(expr, NFTNL_EXPR_BITWISE_DREG)))
      headers_.Imply(*subject, &rule_.terms);
  }

  void Set(const NftSubject& target, uint32_t source) {
    NftSubject named = target;
    named.interfaces = &table_.interfaces;
    const std::string value = registers_.Text(source, named);
    AddStatement({.text = absl::StrCat(target.name, " set ", value.empty() ? "?" : value)});
  }

  // nft changes a field of some bits as part of whole bytes: load, mask, write.
  void SetPayload(const nftnl_expr* expr) {
    const uint32_t base = GetNumber(expr, NFTNL_EXPR_PAYLOAD_BASE);
    const uint32_t offset = GetNumber(expr, NFTNL_EXPR_PAYLOAD_OFFSET) * 8;
    const uint32_t bits = GetNumber(expr, NFTNL_EXPR_PAYLOAD_LEN) * 8;
    const uint32_t source = GetNumber(expr, NFTNL_EXPR_PAYLOAD_SREG);
    const NftRegisters::Register* value = registers_.Find(source);
    NftSubject target = NftPayloadSubject(headers_.context(), base, offset, bits);
    if (!value || value->mask.size() * 8 != bits || !IsSamePlace(value->changed, target.bits)) {
      headers_.Imply(target, &rule_.terms);
      return Set(target, source);
    }
    std::string changed = value->mask;
    for (char& byte : changed)
      byte = static_cast<char>(~byte);
    const auto run = OnlyNftBitRun(changed);
    if (!run)
      return AddStatement({.text = LibnftnlText(expr)});
    target = NftPayloadSubject(headers_.context(), base, offset + run->leading, run->ones);
    target.shift = run->trailing;
    target.bytes = bits / 8;
    headers_.Imply(target, &rule_.terms);
    AddStatement(
        {.text = absl::StrCat(target.name, " set ", FormatNftValue(target, value->change))});
  }

  static bool IsSamePlace(const std::optional<NftBits>& a, const std::optional<NftBits>& b) {
    return a && b && a->base == b->base && a->header == b->header && a->offset == b->offset &&
           a->count == b->count;
  }

  void SetExthdr(const nftnl_expr* expr) {
    const NftSubject target = NftExthdrSubject(expr);
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_EXTHDR_SREG))
      return Set(target, nftnl_expr_get_u32(expr, NFTNL_EXPR_EXTHDR_SREG));
    AddStatement({.text = absl::StrCat("reset ", target.bits ? target.bits->header : target.name)});
  }

  void Add(const NftSubject& subject, const char* op, std::string value, bool equal) {
    rule_.terms.push_back({.subject = absl::StrCat(FormatNftSubject(subject), op),
                           .value = std::move(value),
                           .destination = subject.destination && equal && HasPrefixMask(subject)});
  }

  // Sets of bits: nft compiles "ct state a,b" to (state & mask) != 0.
  void CompareFlags(const NftSubject& subject, uint32_t op, const std::string& data) {
    NftSubject whole = subject;
    whole.mask.clear();
    const bool is_equal = op == NFT_CMP_EQ;
    if (subject.mask.empty())
      return Add(subject, is_equal ? " ==" : " !=", FormatNftValue(subject, data), is_equal);
    const std::string mask = FormatNftValue(whole, subject.mask);
    if (IsZero(data))
      return Add(whole, is_equal ? " !" : "", mask, is_equal);
    Add(whole, is_equal ? "" : " !=", absl::StrCat(FormatNftValue(whole, data), " / ", mask),
        is_equal);
  }

  void Compare(const nftnl_expr* expr) {
    static constexpr const char* kOperators[] = {"", " !=", " <", " <=", " >", " >="};
    const uint32_t number = GetNumber(expr, NFTNL_EXPR_CMP_SREG);
    const uint32_t op = GetNumber(expr, NFTNL_EXPR_CMP_OP);
    const NftSubject* subject = registers_.FindSubject(number);
    const std::string data = GetBytes(expr, NFTNL_EXPR_CMP_DATA);
    if (!subject || op >= std::size(kOperators))
      return AddUnknown(expr);
    const bool is_equality = op == NFT_CMP_EQ || op == NFT_CMP_NEQ;
    if (subject->flags && is_equality)
      return CompareFlags(*subject, op, data);
    if (subject->format == NftFormat::kBits && op == NFT_CMP_NEQ && !subject->mask.empty() &&
        IsZero(data)) {
      NftSubject whole = *subject;
      whole.mask.clear();
      return Add(whole, "", FormatNftValue(whole, subject->mask), false);
    }
    if (op == NFT_CMP_EQ && CompareFields(*subject, data))
      return;
    if (op == NFT_CMP_LTE && JoinRange(number, *subject, data))
      return;
    const char* const text = op == NFT_CMP_EQ && !HasPrefixMask(*subject) ? " ==" : kOperators[op];
    Add(*subject, text, FormatNftValue(*subject, data), op == NFT_CMP_EQ);
    if (op == NFT_CMP_EQ)
      headers_.Note(*subject, data, rule_.terms.size() - 1);
    if (op == NFT_CMP_GTE)
      range_ = {.number = number, .low = data, .term = rule_.terms.size() - 1};
  }

  // nft joins neighbouring fields, as the two ports, and compares them at once.
  bool CompareFields(const NftSubject& subject, const std::string& data) {
    if (!subject.bits || !subject.mask.empty() || subject.bits->count != data.size() * 8 ||
        FindNftFieldAt(subject.bits->header, subject.bits->offset, subject.bits->count) ==
            nullptr ||
        FindNftField(subject.bits->header, subject.bits->offset, subject.bits->count))
      return false;
    std::vector<std::pair<NftSubject, std::string>> fields;
    for (uint32_t at = 0; at < subject.bits->count;) {
      NftBits bits = *subject.bits;
      bits.offset += at;
      const NftField* field = FindNftFieldAt(bits.header, bits.offset, bits.count - at);
      if (!field || field->bits % 8 != 0)
        return false;
      bits.count = field->bits;
      fields.emplace_back(NftFieldSubject(*field, bits), data.substr(at / 8, field->bits / 8));
      at += field->bits;
    }
    for (const auto& [field, value] : fields) {
      headers_.Imply(field, &rule_.terms);
      Add(field, field.flags ? " ==" : "", FormatNftValue(field, value), true);
      headers_.Note(field, value, rule_.terms.size() - 1);
    }
    return true;
  }

  // nft compiles "10-20" to >= 10 and <= 20.
  bool JoinRange(uint32_t number, const NftSubject& subject, const std::string& high) {
    if (!range_ || range_->number != number || range_->term + 1 != rule_.terms.size() ||
        rule_.terms.back().subject != FormatNftSubject(subject) + " >=")
      return false;
    rule_.terms.pop_back();
    Add(subject, "", FormatNftRange(subject, range_->low, high), true);
    range_.reset();
    return true;
  }

  void Range(const nftnl_expr* expr) {
    const NftSubject* subject = registers_.FindSubject(GetNumber(expr, NFTNL_EXPR_RANGE_SREG));
    if (!subject)
      return AddUnknown(expr);
    const bool is_equal = GetNumber(expr, NFTNL_EXPR_RANGE_OP) == NFT_RANGE_EQ;
    Add(*subject, is_equal ? "" : " !=",
        FormatNftRange(*subject, GetBytes(expr, NFTNL_EXPR_RANGE_FROM_DATA),
                       GetBytes(expr, NFTNL_EXPR_RANGE_TO_DATA)),
        is_equal);
  }

  const NftSet* FindSet(const std::string& name) const {
    const auto found = table_.sets.find({table_.family, table_.table, name});
    return found == table_.sets.end() ? nullptr : &found->second;
  }

  void Lookup(const nftnl_expr* expr) {
    const uint32_t number = GetNumber(expr, NFTNL_EXPR_LOOKUP_SREG);
    const NftSet* set = FindSet(GetText(expr, NFTNL_EXPR_LOOKUP_SET));
    const std::vector<NftSubject> parts = registers_.FindKey(number, set ? set->key_bytes : 0);
    if (!set || parts.empty())
      return AddUnknown(expr);
    std::vector<NftSetValue> values = StaticValues(*set, parts);
    const bool is_map = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG);
    const uint32_t to = GetNumber(expr, NFTNL_EXPR_LOOKUP_DREG);
    if (is_map && to != NFT_REG_VERDICT)
      return registers_.LoadMap(
          to, {.key = FormatNftKey(parts), .set = set, .values = std::move(values)});
    const bool is_inverted = (GetNumber(expr, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV) != 0;
    NftTerm term = {.subject = FormatNftKey(parts), .values = std::move(values)};
    for (const NftSubject& part : parts) {
      if (part.destination && HasPrefixMask(part) && part.mask.empty() && !is_inverted &&
          term.destination_part < 0)
        term.destination_part = static_cast<int>(term.parts.size());
      term.parts.push_back(FormatNftSubject(part));
    }
    term.expands = term.destination_part >= 0 && !set->timed && !is_map;
    if (set->anonymous && !is_map)
      term.value = absl::StrCat(
          "{ ",
          absl::StrJoin(term.values, ", ",
                        [](std::string* out, const NftSetValue& v) { *out += v.text; }),
          " }");
    else
      term.value = absl::StrCat("@", set->name);
    if (is_map) {
      rule_.verdict_map = static_cast<int>(rule_.terms.size());
      term.subject += " vmap";
      // Elements that come and go are not listed.
      term.expands = !set->timed;
    } else if (is_inverted) {
      term.subject += " !=";
    } else if (parts.size() == 1 && !HasPrefixMask(parts[0])) {
      term.subject += " ==";
    }
    rule_.terms.push_back(std::move(term));
  }

  void LookUpObject(const nftnl_expr* expr) {
    const NftSet* set = FindSet(GetText(expr, NFTNL_EXPR_OBJREF_SET_NAME));
    const std::vector<NftSubject> parts =
        registers_.FindKey(GetNumber(expr, NFTNL_EXPR_OBJREF_SET_SREG), set ? set->key_bytes : 0);
    if (!set || parts.empty())
      return AddUnknown(expr);
    const NftMapResult map = {
        .key = FormatNftKey(parts), .set = set, .values = StaticValues(*set, parts)};
    AddStatement(FormatNftObject(set->object_type,
                                 absl::StrCat(map.key, " map ", FormatNftMap(map, NftSubject()))));
  }

  void Immediate(const nftnl_expr* expr) {
    if (!nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT))
      return registers_.LoadConstant(GetNumber(expr, NFTNL_EXPR_IMM_DREG),
                                     GetBytes(expr, NFTNL_EXPR_IMM_DATA));
    rule_.verdict = ToVerdict(nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT));
    rule_.chain = GetText(expr, NFTNL_EXPR_IMM_CHAIN);
  }

  // A lower bound that may be the first half of a range.
  struct LowerBound {
    uint32_t number;
    std::string low;
    size_t term;
  };

  const NftTableContext& table_;
  NftRule rule_;
  NftRegisters registers_;
  NftHeaderTracker headers_;
  std::optional<LowerBound> range_;
};

}  // namespace

NftVerdict ToVerdict(uint32_t verdict) {
  switch (static_cast<int32_t>(verdict)) {
    case NF_ACCEPT:
      return NftVerdict::kAccept;
    case NF_DROP:
      return NftVerdict::kDeny;
    case NFT_JUMP:
      return NftVerdict::kJump;
    case NFT_GOTO:
      return NftVerdict::kGoto;
    case NFT_RETURN:
      return NftVerdict::kReturn;
    default:
      return NftVerdict::kNone;
  }
}

NftRule DecodeRule(nftnl_rule* rule, const NftTableContext& context) {
  Decoder decoder(context);
  nftnl_expr_foreach(rule, Decoder::OnExpression, &decoder);
  return decoder.Take();
}

}  // namespace sandpiper
