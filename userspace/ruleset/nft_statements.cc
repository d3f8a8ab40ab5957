// SPDX-License-Identifier: Apache-2.0
#include "userspace/ruleset/nft_statements.h"

#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_log.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_synproxy.h>
#include <linux/netfilter/nf_tables.h>
#include <syslog.h>

#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/ruleset/nft_expr.h"
#include "userspace/ruleset/nft_subjects.h"

namespace sandpiper {
namespace {

std::string Quoted(const std::string& text) { return absl::StrCat("\"", text, "\""); }

NftSubject Target(NftFormat format, uint32_t bytes, NftOrder order = NftOrder::kNetwork) {
  return {.name = "", .format = format, .bytes = bytes, .order = order};
}

NftSubject AddressOf(uint32_t family) {
  return family == NFPROTO_IPV6 ? Target(NftFormat::kIpv6, 16) : Target(NftFormat::kIpv4, 4);
}

std::string Operand(const NftOperand& operand, const nftnl_expr* expr, uint16_t attribute,
                    const NftSubject& target) {
  return nftnl_expr_is_set(expr, attribute) ? operand(nftnl_expr_get_u32(expr, attribute), target)
                                            : "";
}

// "MIN-MAX", or "MIN" if both are the same.
std::string OperandRange(const NftOperand& operand, const nftnl_expr* expr, uint16_t min,
                         uint16_t max, const NftSubject& target) {
  const std::string low = Operand(operand, expr, min, target);
  const std::string high = Operand(operand, expr, max, target);
  return high.empty() || low == high ? low : absl::StrCat(low, "-", high);
}

std::string NatFlags(uint32_t flags) {
  std::vector<const char*> names;
  if (flags & NF_NAT_RANGE_PROTO_RANDOM)
    names.push_back("random");
  if (flags & NF_NAT_RANGE_PROTO_RANDOM_FULLY)
    names.push_back("fully-random");
  if (flags & NF_NAT_RANGE_PERSISTENT)
    names.push_back("persistent");
  return names.empty() ? "" : absl::StrCat(" ", absl::StrJoin(names, ","));
}

const NftSubject kPort = Target(NftFormat::kNumber, 2);

std::string FormatNat(const nftnl_expr* expr, uint32_t table_family, const NftOperand& operand) {
  const uint32_t family = GetNumber(expr, NFTNL_EXPR_NAT_FAMILY);
  const uint32_t flags = GetNumber(expr, NFTNL_EXPR_NAT_FLAGS);
  std::string out = GetNumber(expr, NFTNL_EXPR_NAT_TYPE) == NFT_NAT_SNAT ? "snat" : "dnat";
  if (table_family == NFPROTO_INET)
    absl::StrAppend(&out, family == NFPROTO_IPV6 ? " ip6" : " ip");
  if (flags & NF_NAT_RANGE_NETMAP)
    absl::StrAppend(&out, " prefix");
  const std::string address = OperandRange(operand, expr, NFTNL_EXPR_NAT_REG_ADDR_MIN,
                                           NFTNL_EXPR_NAT_REG_ADDR_MAX, AddressOf(family));
  const std::string port = OperandRange(operand, expr, NFTNL_EXPR_NAT_REG_PROTO_MIN,
                                        NFTNL_EXPR_NAT_REG_PROTO_MAX, kPort);
  if (!address.empty() || !port.empty()) {
    const bool is_ipv6_port = family == NFPROTO_IPV6 && !port.empty() && !address.empty();
    absl::StrAppend(&out, " to ", is_ipv6_port ? absl::StrCat("[", address, "]") : address,
                    port.empty() ? "" : ":", port);
  }
  return out + NatFlags(flags);
}

// masquerade and redirect.
std::string FormatPortNat(const char* name, const nftnl_expr* expr, uint16_t min, uint16_t max,
                          uint16_t flags, const NftOperand& operand) {
  const std::string port = OperandRange(operand, expr, min, max, kPort);
  return absl::StrCat(name, port.empty() ? "" : " to :", port, NatFlags(GetNumber(expr, flags)));
}

std::string FormatTproxy(const nftnl_expr* expr, uint32_t table_family, const NftOperand& operand) {
  const uint32_t family = GetNumber(expr, NFTNL_EXPR_TPROXY_FAMILY);
  const std::string address = Operand(operand, expr, NFTNL_EXPR_TPROXY_REG_ADDR, AddressOf(family));
  const std::string port = Operand(operand, expr, NFTNL_EXPR_TPROXY_REG_PORT, kPort);
  std::string out = "tproxy";
  if (table_family == NFPROTO_INET && family != NFPROTO_UNSPEC)
    absl::StrAppend(&out, family == NFPROTO_IPV6 ? " ip6" : " ip");
  const bool is_ipv6 = family == NFPROTO_IPV6 && !address.empty();
  return absl::StrCat(out, " to ", is_ipv6 ? absl::StrCat("[", address, "]") : address,
                      port.empty() ? "" : ":", port);
}

std::string FormatLimit(const nftnl_expr* expr) {
  static constexpr std::pair<uint64_t, const char*> kUnits[] = {
      {1, "second"}, {60, "minute"}, {3600, "hour"}, {86400, "day"}, {604800, "week"}};
  // nft does not print this default.
  constexpr uint32_t kBurstDefault = 5;
  const uint64_t seconds = GetNumber64(expr, NFTNL_EXPR_LIMIT_UNIT);
  std::string unit = absl::StrCat(seconds, " seconds");
  for (const auto& [known, name] : kUnits) {
    if (known == seconds)
      unit = name;
  }
  const auto bytes = [](uint64_t number) {
    static constexpr const char* kSizes[] = {"bytes", "kbytes", "mbytes"};
    size_t size = 0;
    for (; size + 1 < std::size(kSizes) && number != 0 && number % 1024 == 0; ++size)
      number /= 1024;
    return absl::StrCat(number, " ", kSizes[size]);
  };
  const bool over = (GetNumber(expr, NFTNL_EXPR_LIMIT_FLAGS) & NFT_LIMIT_F_INV) != 0;
  const uint64_t rate = GetNumber64(expr, NFTNL_EXPR_LIMIT_RATE);
  const uint32_t burst = GetNumber(expr, NFTNL_EXPR_LIMIT_BURST);
  if (GetNumber(expr, NFTNL_EXPR_LIMIT_TYPE) == NFT_LIMIT_PKT_BYTES)
    return absl::StrCat("limit rate ", over ? "over " : "", bytes(rate), "/", unit,
                        burst ? absl::StrCat(" burst ", bytes(burst)) : "");
  return absl::StrCat(
      "limit rate ", over ? "over " : "", rate, "/", unit,
      burst == kBurstDefault || burst == 0 ? "" : absl::StrCat(" burst ", burst, " packets"));
}

// Without the bytes that were used already: they change with each packet.
std::string FormatQuota(const nftnl_expr* expr) {
  static constexpr const char* kSizes[] = {"bytes", "kbytes", "mbytes"};
  uint64_t bytes = GetNumber64(expr, NFTNL_EXPR_QUOTA_BYTES);
  size_t size = 0;
  for (; size + 1 < std::size(kSizes) && bytes != 0 && bytes % 1024 == 0; ++size)
    bytes /= 1024;
  const bool over = (GetNumber(expr, NFTNL_EXPR_QUOTA_FLAGS) & NFT_QUOTA_F_INV) != 0;
  return absl::StrCat("quota ", over ? "over " : "", bytes, " ", kSizes[size]);
}

std::string FormatLog(const nftnl_expr* expr) {
  static constexpr const char* kLevels[] = {"emerg",  "alert", "crit",  "err",  "warn",
                                            "notice", "info",  "debug", "audit"};
  std::string out = "log";
  const std::string prefix = GetText(expr, NFTNL_EXPR_LOG_PREFIX);
  if (!prefix.empty())
    absl::StrAppend(&out, " prefix ", Quoted(prefix));
  if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOG_GROUP))
    absl::StrAppend(&out, " group ", nftnl_expr_get_u16(expr, NFTNL_EXPR_LOG_GROUP));
  if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOG_SNAPLEN))
    absl::StrAppend(&out, " snaplen ", nftnl_expr_get_u32(expr, NFTNL_EXPR_LOG_SNAPLEN));
  if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOG_QTHRESHOLD))
    absl::StrAppend(&out, " queue-threshold ", nftnl_expr_get_u16(expr, NFTNL_EXPR_LOG_QTHRESHOLD));
  const uint32_t level = GetNumber(expr, NFTNL_EXPR_LOG_LEVEL);
  if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOG_LEVEL) && level != LOG_WARNING)
    absl::StrAppend(&out, " level ", level < std::size(kLevels) ? kLevels[level] : "?");
  const uint32_t flags = GetNumber(expr, NFTNL_EXPR_LOG_FLAGS);
  if ((flags & NF_LOG_MASK) == NF_LOG_MASK)
    return out + " flags all";
  if (flags & (NF_LOG_TCPSEQ | NF_LOG_TCPOPT))
    absl::StrAppend(&out, " flags tcp ", flags & NF_LOG_TCPSEQ ? "sequence" : "",
                    (flags & NF_LOG_TCPSEQ) && (flags & NF_LOG_TCPOPT) ? "," : "",
                    flags & NF_LOG_TCPOPT ? "options" : "");
  if (flags & NF_LOG_IPOPT)
    absl::StrAppend(&out, " flags ip options");
  if (flags & NF_LOG_UID)
    absl::StrAppend(&out, " flags skuid");
  if (flags & NF_LOG_MACDECODE)
    absl::StrAppend(&out, " flags ether");
  return out;
}

std::string FormatQueue(const nftnl_expr* expr, const NftOperand& operand) {
  std::vector<const char*> flags;
  const uint32_t bits = nftnl_expr_is_set(expr, NFTNL_EXPR_QUEUE_FLAGS)
                            ? nftnl_expr_get_u16(expr, NFTNL_EXPR_QUEUE_FLAGS)
                            : 0;
  if (bits & NFT_QUEUE_FLAG_BYPASS)
    flags.push_back("bypass");
  if (bits & NFT_QUEUE_FLAG_CPU_FANOUT)
    flags.push_back("fanout");
  std::string out =
      absl::StrCat("queue", flags.empty() ? "" : " flags ", absl::StrJoin(flags, ","));
  if (nftnl_expr_is_set(expr, NFTNL_EXPR_QUEUE_SREG_QNUM))
    return absl::StrCat(out, " to ",
                        Operand(operand, expr, NFTNL_EXPR_QUEUE_SREG_QNUM,
                                Target(NftFormat::kNumber, 2, NftOrder::kHost)));
  const uint32_t first = nftnl_expr_is_set(expr, NFTNL_EXPR_QUEUE_NUM)
                             ? nftnl_expr_get_u16(expr, NFTNL_EXPR_QUEUE_NUM)
                             : 0;
  const uint32_t total = nftnl_expr_is_set(expr, NFTNL_EXPR_QUEUE_TOTAL)
                             ? nftnl_expr_get_u16(expr, NFTNL_EXPR_QUEUE_TOTAL)
                             : 1;
  absl::StrAppend(&out, " to ", first);
  if (total > 1)
    absl::StrAppend(&out, "-", first + total - 1);
  return out;
}

std::string FormatSynproxy(const nftnl_expr* expr) {
  const uint32_t flags = GetNumber(expr, NFTNL_EXPR_SYNPROXY_FLAGS);
  std::string out = "synproxy";
  if (flags & NF_SYNPROXY_OPT_MSS)
    absl::StrAppend(&out, " mss ", nftnl_expr_get_u16(expr, NFTNL_EXPR_SYNPROXY_MSS));
  if (flags & NF_SYNPROXY_OPT_WSCALE)
    absl::StrAppend(&out, " wscale ",
                    static_cast<int>(nftnl_expr_get_u8(expr, NFTNL_EXPR_SYNPROXY_WSCALE)));
  if (flags & NF_SYNPROXY_OPT_TIMESTAMP)
    absl::StrAppend(&out, " timestamp");
  if (flags & NF_SYNPROXY_OPT_SACK_PERM)
    absl::StrAppend(&out, " sack-perm");
  return out;
}

std::string FormatDynset(const nftnl_expr* expr, const NftOperand& operand) {
  const uint32_t op = GetNumber(expr, NFTNL_EXPR_DYNSET_OP);
  const char* verb = "add";
  if (op == NFT_DYNSET_OP_UPDATE)
    verb = "update";
  else if (op == NFT_DYNSET_OP_DELETE)
    verb = "delete";
  std::string out = absl::StrCat(verb, " @", GetText(expr, NFTNL_EXPR_DYNSET_SET_NAME), " { ",
                                 Operand(operand, expr, NFTNL_EXPR_DYNSET_SREG_KEY, NftSubject()));
  const uint64_t timeout = GetNumber64(expr, NFTNL_EXPR_DYNSET_TIMEOUT);
  if (timeout != 0) {
    // Of the host, since libnftnl returns a number.
    const NftSubject target = Target(NftFormat::kDuration, 8, NftOrder::kHost);
    absl::StrAppend(
        &out, " timeout ",
        FormatNftValue(target, {reinterpret_cast<const char*>(&timeout), sizeof(timeout)}));
  }
  const auto add = [](nftnl_expr* part, void* text) {
    const NftStatement statement = FormatNftStatement(
        part, NFPROTO_UNSPEC, [](uint32_t, const NftSubject&) { return std::string(); });
    if (!statement.text.empty())
      absl::StrAppend(static_cast<std::string*>(text), " ", statement.text);
    return 0;
  };
  nftnl_expr_expr_foreach(expr, add, &out);
  const std::string data = Operand(operand, expr, NFTNL_EXPR_DYNSET_SREG_DATA, NftSubject());
  return absl::StrCat(out, data.empty() ? "" : " : ", data, " }");
}

std::string FormatDup(const nftnl_expr* expr, uint32_t family, const NftOperand& operand) {
  const std::string address = Operand(operand, expr, NFTNL_EXPR_DUP_SREG_ADDR, AddressOf(family));
  const std::string device = Operand(operand, expr, NFTNL_EXPR_DUP_SREG_DEV,
                                     Target(NftFormat::kInterface, 4, NftOrder::kHost));
  if (address.empty())
    return absl::StrCat("dup to ", device);
  return absl::StrCat("dup to ", address, device.empty() ? "" : " device ", device);
}

std::string FormatFwd(const nftnl_expr* expr, const NftOperand& operand) {
  const uint32_t family = GetNumber(expr, NFTNL_EXPR_FWD_NFPROTO);
  const std::string device = Operand(operand, expr, NFTNL_EXPR_FWD_SREG_DEV,
                                     Target(NftFormat::kInterface, 4, NftOrder::kHost));
  const std::string address = Operand(operand, expr, NFTNL_EXPR_FWD_SREG_ADDR, AddressOf(family));
  if (address.empty())
    return absl::StrCat("fwd to ", device);
  return absl::StrCat("fwd ", family == NFPROTO_IPV6 ? "ip6" : "ip", " to ", address, " device ",
                      device);
}

// The parameters of an iptables extension are a C struct. They are printed as bytes, so that two
// different rules have different texts.
std::string FormatXtables(const char* kind, const nftnl_expr* expr, uint16_t name, uint16_t info) {
  constexpr size_t kMax = 64;
  const std::string bytes = GetBytes(expr, info);
  return absl::StrCat(kind, " ", GetText(expr, name), " 0x",
                      absl::BytesToHexString(bytes.substr(0, kMax)),
                      bytes.size() > kMax ? "..." : "");
}

}  // namespace

NftStatement FormatNftObject(uint32_t type, const std::string& name) {
  static constexpr struct {
    uint32_t type;
    const char* text;
    bool matches;
  } kTypes[] = {{NFT_OBJECT_COUNTER, "counter name", false},
                {NFT_OBJECT_QUOTA, "quota name", true},
                {NFT_OBJECT_CT_HELPER, "ct helper set", false},
                {NFT_OBJECT_LIMIT, "limit name", true},
                {NFT_OBJECT_CONNLIMIT, "ct count name", true},
                {NFT_OBJECT_TUNNEL, "tunnel name", false},
                {NFT_OBJECT_CT_TIMEOUT, "ct timeout set", false},
                {NFT_OBJECT_SECMARK, "meta secmark set", false},
                {NFT_OBJECT_CT_EXPECT, "ct expectation set", false},
                {NFT_OBJECT_SYNPROXY, "synproxy name", false}};
  for (const auto& known : kTypes) {
    if (known.type == type)
      return {.text = absl::StrCat(known.text, " ", name), .matches = known.matches};
  }
  return {.text = absl::StrCat("object ", type, " name ", name)};
}

NftStatement FormatNftStatement(const nftnl_expr* expr, uint32_t family,
                                const NftOperand& operand) {
  const std::string name = GetText(expr, NFTNL_EXPR_NAME);
  // They change with each packet.
  if (name == "counter" || name == "last")
    return {};
  if (name == "limit")
    return {.text = FormatLimit(expr), .matches = true};
  if (name == "quota")
    return {.text = FormatQuota(expr), .matches = true};
  if (name == "connlimit") {
    const bool over = (GetNumber(expr, NFTNL_EXPR_CONNLIMIT_FLAGS) & NFT_CONNLIMIT_F_INV) != 0;
    return {.text = absl::StrCat("ct count ", over ? "over " : "",
                                 GetNumber(expr, NFTNL_EXPR_CONNLIMIT_COUNT)),
            .matches = true};
  }
  if (name == "objref")
    return FormatNftObject(GetNumber(expr, NFTNL_EXPR_OBJREF_IMM_TYPE),
                           Quoted(GetText(expr, NFTNL_EXPR_OBJREF_IMM_NAME)));
  if (name == "match")
    return {.text = FormatXtables("xt match", expr, NFTNL_EXPR_MT_NAME, NFTNL_EXPR_MT_INFO),
            .matches = true};
  if (name == "target")
    return {.text = FormatXtables("xt target", expr, NFTNL_EXPR_TG_NAME, NFTNL_EXPR_TG_INFO)};
  if (name == "log")
    return {.text = FormatLog(expr)};
  if (name == "nat")
    return {.text = FormatNat(expr, family, operand)};
  if (name == "masq")
    return {.text = FormatPortNat("masquerade", expr, NFTNL_EXPR_MASQ_REG_PROTO_MIN,
                                  NFTNL_EXPR_MASQ_REG_PROTO_MAX, NFTNL_EXPR_MASQ_FLAGS, operand)};
  if (name == "redir")
    return {.text = FormatPortNat("redirect", expr, NFTNL_EXPR_REDIR_REG_PROTO_MIN,
                                  NFTNL_EXPR_REDIR_REG_PROTO_MAX, NFTNL_EXPR_REDIR_FLAGS, operand)};
  if (name == "tproxy")
    return {.text = FormatTproxy(expr, family, operand)};
  if (name == "queue")
    return {.text = FormatQueue(expr, operand)};
  if (name == "synproxy")
    return {.text = FormatSynproxy(expr)};
  if (name == "dynset")
    return {.text = FormatDynset(expr, operand)};
  if (name == "dup")
    return {.text = FormatDup(expr, family, operand)};
  if (name == "fwd")
    return {.text = FormatFwd(expr, operand)};
  if (name == "notrack")
    return {.text = "notrack"};
  if (name == "flow_offload")
    return {.text = absl::StrCat("flow add @", GetText(expr, NFTNL_EXPR_FLOW_TABLE_NAME))};
  return {.text = LibnftnlText(expr)};
}

}  // namespace sandpiper
