// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_rule.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <array>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace sandpiper {
namespace {

// Registers overlap: four registers of 16 bytes are also sixteen of 4 bytes.
constexpr size_t kRegisters = 16;

std::optional<size_t> RegisterIndex(uint32_t number) {
  if (number >= NFT_REG_1 && number <= NFT_REG_4)
    return (number - NFT_REG_1) * 4;
  if (number >= NFT_REG32_00 && number < NFT_REG32_00 + kRegisters)
    return number - NFT_REG32_00;
  return std::nullopt;
}

std::string GetBytes(const nftnl_expr* expr, uint16_t attribute) {
  uint32_t length = 0;
  const void* data = nftnl_expr_get(expr, attribute, &length);
  return data ? std::string(static_cast<const char*>(data), length) : "";
}

std::string GetText(const nftnl_expr* expr, uint16_t attribute) {
  const char* text = nftnl_expr_get_str(expr, attribute);
  return text ? text : "";
}

NftSubject MetaSubject(uint32_t key) {
  switch (key) {
    case NFT_META_MARK:
      return {"meta mark", NftFormat::kMark, 4, false, ""};
    case NFT_META_IIF:
      return {"iif", NftFormat::kNumber, 4, false, ""};
    case NFT_META_OIF:
      return {"oif", NftFormat::kNumber, 4, false, ""};
    case NFT_META_IIFNAME:
      return {"iifname", NftFormat::kName, 16, false, ""};
    case NFT_META_OIFNAME:
      return {"oifname", NftFormat::kName, 16, false, ""};
    case NFT_META_SKUID:
      return {"meta skuid", NftFormat::kNumber, 4, false, ""};
    case NFT_META_SKGID:
      return {"meta skgid", NftFormat::kNumber, 4, false, ""};
    case NFT_META_NFPROTO:
      return {"meta nfproto", NftFormat::kNfProto, 1, false, ""};
    case NFT_META_L4PROTO:
      return {"meta l4proto", NftFormat::kProtocol, 1, false, ""};
    case NFT_META_PROTOCOL:
      return {"meta protocol", NftFormat::kEtherType, 2, false, ""};
    default:
      return {absl::StrCat("meta key ", key), NftFormat::kHex, 4, false, ""};
  }
}

NftSubject CtSubject(uint32_t key) {
  switch (key) {
    case NFT_CT_STATE:
      return {"ct state", NftFormat::kCtState, 4, false, ""};
    case NFT_CT_MARK:
      return {"ct mark", NftFormat::kMark, 4, false, ""};
    case NFT_CT_STATUS:
      return {"ct status", NftFormat::kHex, 4, false, ""};
    case NFT_CT_PROTOCOL:
      return {"ct protocol", NftFormat::kProtocol, 1, false, ""};
    default:
      return {absl::StrCat("ct key ", key), NftFormat::kHex, 4, false, ""};
  }
}

class Decoder {
 public:
  Decoder(uint32_t family, const std::string& table, const NftSets& sets)
      : family_(family), table_(table), sets_(sets) {
    if (family == NFPROTO_IPV4)
      network_ = "ip";
    else if (family == NFPROTO_IPV6)
      network_ = "ip6";
  }

  static int OnExpression(nftnl_expr* expr, void* self) {
    static_cast<Decoder*>(self)->Decode(expr);
    return 0;
  }

  NftRule Take() { return std::move(rule_); }

 private:
  void Decode(nftnl_expr* expr) {
    const std::string name = GetText(expr, NFTNL_EXPR_NAME);
    if (name == "meta" && nftnl_expr_is_set(expr, NFTNL_EXPR_META_DREG))
      Load(nftnl_expr_get_u32(expr, NFTNL_EXPR_META_DREG),
           MetaSubject(nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY)));
    else if (name == "meta")
      Set(MetaSubject(nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY)),
          nftnl_expr_get_u32(expr, NFTNL_EXPR_META_SREG));
    else if (name == "ct" && nftnl_expr_is_set(expr, NFTNL_EXPR_CT_DREG))
      Load(nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_DREG),
           CtSubject(nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_KEY)));
    else if (name == "ct")
      Set(CtSubject(nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_KEY)),
          nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_SREG));
    else if (name == "payload" && nftnl_expr_is_set(expr, NFTNL_EXPR_PAYLOAD_DREG))
      Load(nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_DREG), PayloadSubject(expr));
    else if (name == "bitwise")
      Bitwise(expr);
    else if (name == "cmp")
      Compare(expr);
    else if (name == "range")
      Range(expr);
    else if (name == "lookup")
      Lookup(expr);
    else if (name == "immediate")
      Immediate(expr);
    else if (name == "reject")
      rule_.verdict = NftVerdict::kDeny;
    else if (name == "redir")
      rule_.statements.push_back(
          absl::StrCat("redirect", ToPort(expr, NFTNL_EXPR_REDIR_REG_PROTO_MIN)));
    else if (name == "masq")
      rule_.statements.emplace_back("masquerade");
    else if (name == "target" && GetText(expr, NFTNL_EXPR_TG_NAME) == "REJECT")
      rule_.verdict = NftVerdict::kDeny;
    else if (name == "target")
      rule_.statements.push_back(absl::StrCat("xt target ", GetText(expr, NFTNL_EXPR_TG_NAME), " ",
                                              XtInfo(expr, NFTNL_EXPR_TG_INFO)));
    else if (name == "match")
      rule_.conditions.push_back(
          {.subject = absl::StrCat("xt match ", GetText(expr, NFTNL_EXPR_MT_NAME)),
           .value = XtInfo(expr, NFTNL_EXPR_MT_INFO)});
    else if (name != "counter" && name != "byteorder" && name != "last")
      rule_.statements.push_back(LibnftnlText(expr));
  }

  // The parameters of an iptables extension are a C struct. They are printed as bytes, so that two
  // different rules have different texts.
  static std::string XtInfo(const nftnl_expr* expr, uint16_t attribute) {
    constexpr size_t kMax = 64;
    const std::string info = GetBytes(expr, attribute);
    return absl::StrCat("0x", absl::BytesToHexString(info.substr(0, kMax)),
                        info.size() > kMax ? "..." : "");
  }

  // The text of libnftnl, for expressions without a text here.
  static std::string LibnftnlText(const nftnl_expr* expr) {
    char text[512] = {};
    nftnl_expr_snprintf(text, sizeof(text), expr, 0, 0);
    const std::string name = GetText(expr, NFTNL_EXPR_NAME);
    std::string out = text;
    while (!out.empty() && out.back() == ' ')
      out.pop_back();
    return out.starts_with(name) ? out : absl::StrCat(name, out.empty() ? "" : " ", out);
  }

  void Load(uint32_t number, NftSubject subject) {
    if (const auto index = RegisterIndex(number)) {
      registers_[*index] = std::move(subject);
      values_[*index].clear();
    }
  }

  NftSubject* Loaded(uint32_t number) {
    const auto index = RegisterIndex(number);
    return index && registers_[*index] ? &*registers_[*index] : nullptr;
  }

  void Set(const NftSubject& subject, uint32_t source) {
    const auto index = RegisterIndex(source);
    const std::string value =
        index && !values_[*index].empty() ? FormatNftValue(subject, values_[*index]) : "?";
    rule_.statements.push_back(absl::StrCat(subject.name, " set ", value));
  }

  // Marks the earlier condition on the protocol as included in `name`.
  std::string Imply(std::optional<size_t> condition, const std::string& name) {
    if (condition)
      rule_.conditions[*condition].implied = true;
    return name;
  }

  NftSubject PayloadSubject(const nftnl_expr* expr) {
    const uint32_t base = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_BASE);
    const uint32_t offset = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET);
    const uint32_t bytes = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_LEN);
    if (base == NFT_PAYLOAD_NETWORK_HEADER && network_ == "ip") {
      if ((offset == 12 || offset == 16) && bytes <= 4)
        return {Imply(network_condition_, offset == 16 ? "ip daddr" : "ip saddr"), NftFormat::kIpv4,
                bytes, offset == 16, ""};
      if (offset == 9 && bytes == 1)
        return {Imply(network_condition_, "ip protocol"), NftFormat::kProtocol, 1, false, ""};
    } else if (base == NFT_PAYLOAD_NETWORK_HEADER && network_ == "ip6") {
      if ((offset == 8 || offset == 24) && bytes <= 16)
        return {Imply(network_condition_, offset == 24 ? "ip6 daddr" : "ip6 saddr"),
                NftFormat::kIpv6, bytes, offset == 24, ""};
      if (offset == 6 && bytes == 1)
        return {Imply(network_condition_, "ip6 nexthdr"), NftFormat::kProtocol, 1, false, ""};
    } else if (base == NFT_PAYLOAD_TRANSPORT_HEADER && bytes == 2 && (offset == 0 || offset == 2)) {
      const bool known = transport_ == "tcp" || transport_ == "udp" || transport_ == "sctp";
      const std::string port = offset == 2 ? " dport" : " sport";
      return {known ? Imply(transport_condition_, transport_ + port) : "th" + port,
              NftFormat::kPort, 2, false, ""};
    } else if (base == NFT_PAYLOAD_TRANSPORT_HEADER && bytes == 1 && offset == 0 &&
               transport_.starts_with("icmp")) {
      return {Imply(transport_condition_, transport_ + " type"), NftFormat::kNumber, 1, false, ""};
    }
    static constexpr const char* kBases[] = {"ll", "nh", "th"};
    return {absl::StrCat("@", base < 3 ? kBases[base] : "ih", ",", offset * 8, ",", bytes * 8),
            NftFormat::kHex, bytes, false, ""};
  }

  void Bitwise(const nftnl_expr* expr) {
    const uint32_t from = nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_SREG);
    const uint32_t to = nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_DREG);
    const NftSubject* source = Loaded(from);
    if (!source)
      return;
    NftSubject masked = *source;
    masked.mask = GetBytes(expr, NFTNL_EXPR_BITWISE_MASK);
    const std::string change = GetBytes(expr, NFTNL_EXPR_BITWISE_XOR);
    if (masked.mask.empty() || change.find_first_not_of('\0') != std::string::npos)
      masked = {absl::StrCat("(", source->name, " ", LibnftnlText(expr), ")"), NftFormat::kHex,
                source->bytes, false, ""};
    Load(to, std::move(masked));
  }

  void Add(const NftSubject& subject, uint32_t op, std::string value) {
    static constexpr const char* kOperators[] = {"", " !=", " <", " <=", " >", " >="};
    rule_.conditions.push_back(
        {.subject = absl::StrCat(subject.name, op < std::size(kOperators) ? kOperators[op] : " ?"),
         .value = std::move(value),
         .destination = subject.destination && op == NFT_CMP_EQ});
  }

  void Compare(const nftnl_expr* expr) {
    const NftSubject* subject = Loaded(nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_SREG));
    const uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_OP);
    const std::string data = GetBytes(expr, NFTNL_EXPR_CMP_DATA);
    if (!subject) {
      rule_.statements.push_back(LibnftnlText(expr));
      return;
    }
    // "ct state a,b" is compiled to (state & mask) != 0.
    if (op == NFT_CMP_NEQ && !subject->mask.empty() &&
        data.find_first_not_of('\0') == std::string::npos) {
      NftSubject whole = *subject;
      whole.mask.clear();
      Add(whole, NFT_CMP_EQ, FormatNftValue(whole, subject->mask));
      return;
    }
    Add(*subject, op, FormatNftValue(*subject, data));
    if (op != NFT_CMP_EQ)
      return;
    const size_t here = rule_.conditions.size() - 1;
    if (subject->format == NftFormat::kProtocol && subject->name != "ct protocol" &&
        !data.empty()) {
      transport_ = ProtocolName(static_cast<uint8_t>(data[0]));
      transport_condition_ = here;
    } else if (subject->format == NftFormat::kNfProto && !data.empty()) {
      network_ = data[0] == NFPROTO_IPV4 ? "ip" : "ip6";
      network_condition_ = here;
    } else if (subject->format == NftFormat::kEtherType && data.size() == 2) {
      if (data == std::string("\x08\x00", 2))
        network_ = "ip";
      else
        network_ = data == std::string("\x86\xdd", 2) ? "ip6" : "";
      network_condition_ = here;
    }
  }

  void Range(const nftnl_expr* expr) {
    const NftSubject* subject = Loaded(nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_SREG));
    const uint32_t op = nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_OP);
    if (!subject) {
      rule_.statements.push_back(LibnftnlText(expr));
      return;
    }
    Add(*subject, op == NFT_RANGE_EQ ? NFT_CMP_EQ : NFT_CMP_NEQ,
        FormatNftRange(*subject, GetBytes(expr, NFTNL_EXPR_RANGE_FROM_DATA),
                       GetBytes(expr, NFTNL_EXPR_RANGE_TO_DATA)));
  }

  void Lookup(const nftnl_expr* expr) {
    const std::string name = GetText(expr, NFTNL_EXPR_LOOKUP_SET);
    const auto found = sets_.find({family_, table_, name});
    const bool inverted =
        (nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV) != 0;
    std::vector<NftSubject> parts;
    uint32_t bytes = 0;
    const uint32_t key_bytes = found == sets_.end() ? 0 : found->second.key_bytes;
    auto index = RegisterIndex(nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_SREG));
    while (index && *index < kRegisters && registers_[*index] &&
           (bytes < key_bytes || parts.empty())) {
      parts.push_back(*registers_[*index]);
      // At least one word, so that a subject of no bytes does not loop forever.
      const uint32_t words = std::max(1u, (parts.back().bytes + 3) / 4);
      bytes += words * 4;
      *index += words;
    }
    if (found == sets_.end() || parts.empty()) {
      rule_.statements.push_back(LibnftnlText(expr));
      return;
    }
    const NftSet& set = found->second;
    NftCondition condition;
    for (const NftSubject& part : parts)
      absl::StrAppend(&condition.subject, condition.subject.empty() ? "" : " . ", part.name);
    condition.values = StaticValues(set, parts);
    condition.destination = parts[0].destination && !inverted;
    if (inverted)
      condition.subject += " !=";
    const bool map = nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG);
    if (map && nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_DREG) == NFT_REG_VERDICT) {
      rule_.verdict_map = static_cast<int>(rule_.conditions.size());
      condition.subject += " vmap";
    } else if (map) {
      condition.subject += " map";
      Load(nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_DREG),
           {"value of @" + name, NftFormat::kHex, 4, false, ""});
    }
    condition.expands = condition.destination && !set.timed && !map;
    // A key of address and port is printed as two conditions, one after the other.
    for (NftSetValue& value : condition.values) {
      if (condition.expands && parts.size() > 1)
        value.text = value.parts[0];
      for (size_t i = 1; condition.expands && i < value.parts.size(); ++i)
        absl::StrAppend(&value.text, " ", parts[i].name, " ", value.parts[i]);
    }
    if (set.anonymous) {
      condition.value = absl::StrCat(
          "{ ",
          absl::StrJoin(condition.values, ", ",
                        [](std::string* out, const NftSetValue& v) { *out += v.text; }),
          " }");
    } else {
      condition.value = "@" + name;
    }
    rule_.conditions.push_back(std::move(condition));
  }

  std::string ToPort(const nftnl_expr* expr, uint16_t attribute) {
    const auto index = nftnl_expr_is_set(expr, attribute)
                           ? RegisterIndex(nftnl_expr_get_u32(expr, attribute))
                           : std::nullopt;
    if (!index || values_[*index].empty())
      return "";
    return absl::StrCat(" to :",
                        FormatNftValue({"", NftFormat::kPort, 2, false, ""}, values_[*index]));
  }

  void Immediate(const nftnl_expr* expr) {
    if (!nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_VERDICT)) {
      if (const auto index = RegisterIndex(nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_DREG))) {
        registers_[*index].reset();
        values_[*index] = GetBytes(expr, NFTNL_EXPR_IMM_DATA);
      }
      return;
    }
    rule_.verdict = ToVerdict(nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT));
    rule_.chain = GetText(expr, NFTNL_EXPR_IMM_CHAIN);
  }

  uint32_t family_;
  const std::string& table_;
  const NftSets& sets_;
  NftRule rule_;
  std::array<std::optional<NftSubject>, kRegisters> registers_;
  std::array<std::string, kRegisters> values_;
  std::string network_, transport_;
  std::optional<size_t> network_condition_, transport_condition_;
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

NftRule DecodeRule(nftnl_rule* rule, uint32_t family, const std::string& table,
                   const NftSets& sets) {
  Decoder decoder(family, table, sets);
  nftnl_expr_foreach(rule, Decoder::OnExpression, &decoder);
  return decoder.Take();
}

}  // namespace sandpiper
