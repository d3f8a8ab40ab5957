// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/secret_patterns.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "userspace/export/redaction.h"

namespace sandpiper {
namespace {

// Parts that several patterns have.
//
// START: where an option may begin, also inside a script.
constexpr char kStart[] = R"re((?:^|[\s"'(;|&]))re";
// NAME: the end of a name whose value is a secret, such as "client_secret" and "GITHUB_TOKEN".
// Names such as "max_tokens", "sort_key" and "public_key" do not end so.
constexpr char kName[] =
    "(?:pass(?:word|wd|phrase|code)s?|passwort|secrets?|credentials?|token|"
    "(?:access|account|api|auth|client|encryption|master|private|secret|service|session|shared|"
    "signing|storage|subscription)[-_.]?key)";
// PREFIX: the start of such a name in an option, unless the option turns something off
// (--no-token).
constexpr char kPrefix[] = R"re((?:(?:[a-mo-z0-9_.]|n[a-np-z0-9_.]|no[\w.])[\w.-]*)?)re";
// CHAR: a character of a word in a longer text, such as a script. Escape() writes a line break as
// \x0a, which ends the word. Its other escapes belong to the word.
constexpr char kChar[] = R"re((?:[^\s"'\\]|\\\\|\\x[1-9a-f][0-9a-f]))re";
// QUOTE: a shell escapes the quotes of a script in a script.
constexpr char kQuote[] = R"re((?:\\\\)?["'])re";

// What follows a name, an option or a header. A group named "value" goes on to the end of an
// argument where the option is an argument too (see Redaction).
constexpr const char* kNamedSecrets[] = {
    // --password VALUE, --api-key=VALUE, -pass VALUE. A second option is no value.
    R"re((?i)START--?(?:PREFIX(?:NAME|secret-string)|(?:[\w-]+-)?(?:pass(?:in|out)?|pw))re"
    R"re(|oauth2-bearer)(?:(?:=| +)(?:"(?P<value1>[^"]+)|'(?P<value2>[^']+)|)re"
    R"re((?P<value3>[^\s"'\\-]CHAR*|\\\\CHAR*))|=(?P<value4>-CHAR*)))re",
    // NAME=VALUE, NAME: VALUE, "name": "value". Parameters of a URL have a pattern of their own.
    R"re((?i)(?:^|[^?&#\w.-])[\w.-]*(?:NAME|[-_](?:pass|pwd))QUOTE?\s*(?::=|=>|[:=])\s*)re"
    R"re((?:\\\\)?(?:"([^"]+)|'([^']+)|([^\s"'\\:=]CHAR*|\\\\CHAR*)))re",
    // env NAME=VALUE, -e NAME=VALUE: VALUE is the rest of the argument.
    R"re((?i)(?:^|\s)(?:(?:\S*/)?env |-e ?|--env[= ])\w*(?:NAME|_(?:pass|pwd))=(?P<value>\S+))re",
    // -u USER:PASSWORD. Two numbers are a user and a group. A path after the colon is on a host.
    R"re(START(?:-[sSkfvLiIgGnj]{0,6}[uU] ?|--(?:(?:proxy-)?user|auth|(?:(?:src)re"
    R"re(|dest)-)?creds)[= ])["']?(?:[A-Za-z_][\w.@+%\\-]*:(?P<value1>[^\s"'/][^\s"']*))re"
    R"re(|[0-9]*:(?P<value2>[0-9]*[^\s"'/0-9][^\s"']*)))re",
    // Headers. The scheme of an authorization stays visible.
    R"re((?i)\bauthorizationQUOTE?\s*[:=]\s*QUOTE?(?:(?:apikey|aws4-hmac-sha256|basic|bearer)re"
    R"re(|digest|key|negotiate|token)\s+)?(?P<value>[^\s"'][^"']*))re",
    R"re((?i)\b(?:set-)?cookie:\s*(?P<value>[^\s"'][^"']*))re",
    R"re((?i)\bx-[a-z0-9-]*(?:key|token|auth|secret|signature):\s*(?P<value>[^\s"']+))re",
    R"re((?i)\bbearer +["']?([\w.~+/=-]{8,}))re",
    // Parts of URLs and forms.
    R"re(://[^/\s:@]*:([^/?#\s]+)@)re",
    R"re((?i)[?&#](?:[\w.-]*(?:sig|signature|token|secret|passw(?:or)?d|passphrase|credential)re"
    R"re(|jwt|assertion)|key|code|pass|pwd|auth|awsaccesskeyid|(?:access|api|auth|client)re"
    R"re(|private|secret|subscription)[-_]?key)=([^&\s"'#\\]+))re",
    // A proxy without a scheme.
    R"re(START(?:--[a-z0-9-]*proxy[= ]|-x ?)["']?[^\s:@/"']*:([^\s@/"']+)@)re",
    R"re(hooks\.slack\.com/(?:services|triggers|workflows)/([A-Za-z0-9_/-]{10,}))re",
    // Passwords in SQL and in ~/.netrc and ~/.npmrc.
    R"re((?i)\b(?:password|identified by) +["']([^"']+))re",
    R"re((?i)\blogin +\S+ +password +(\S+))re",
    R"re((?:^|[\s:])_auth=(\S+))re",
    // Options that mean a password in some programs only.
    R"re(\bsshpass +-p *["']?(?P<value>[^\s"']+))re",
    R"re(\b(?:mysql|mysqldump|mysqladmin|mysqlimport|mysqlshow|mariadb[\w-]*|7z[ar]?))re"
    R"re((?: +\S+)*? +-p["']?(?P<value>[^\s"']+))re",
    R"re(\b(?:docker|podman|nerdctl|buildah|skopeo|oras|registry|auth|az|acr|oc) +login)re"
    R"re((?: +\S+)*? +-p *["']?(?P<value>[^\s"'-][^\s"']*))re",
    R"re(\b(?:redis-cli(?: +\S+)*? +-a|(?:un)?zip(?: +\S+)*? +-P|ldap[a-z]+)re"
    R"re((?: +\S+)*? +-w) +["']?(?P<value>[^\s"']+))re",
    R"re(\bcurl(?: +\S+)*? +(?:-b ?|--cookie[= ])["']?(?P<value>[^\s"'=]+=[^"']*))re",
    R"re(\b(?:https?|xhs?)(?: +\S+)*? +-a ?["']?[^\s:"']*:(?P<value>[^\s"']+))re",
    R"re((?i)\bconfig(?:ure)? +set +\S*NAME +["']?(?P<value>[^\s"']+))re",
    // A private key in PEM; the end may be missing, because long arguments are truncated.
    R"re(-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(.*?)(?:-----END|$))re",
};

// Tokens that are known by their own shape, which their services document.
constexpr const char* kTokens[] = {
    // OpenAI, Anthropic, OpenRouter, Groq, xAI, Hugging Face, Replicate.
    "sk-(?:admin|ant|live|None|or|proj|svcacct|test)-[A-Za-z0-9_-]{10,}",
    "sk-[A-Za-z0-9]{20,}",
    "gsk_[A-Za-z0-9]{20,}",
    "xai-[A-Za-z0-9]{20,}",
    "hf_[A-Za-z0-9]{20,}",
    "r8_[A-Za-z0-9]{30,}",
    // GitHub, GitLab.
    "gh[oprsu]_[A-Za-z0-9]{20,}",
    "github_pat_[A-Za-z0-9_]{20,}",
    "gl(?:agent|cbt|dt|ffct|ft|imt|oas|pat|ptt|rt|soat)-[A-Za-z0-9_.-]{16,}",
    // AWS (the id of a key), Google, DigitalOcean, Databricks.
    "(?:ABIA|ACCA|AKIA|ASIA)[A-Z0-9]{16}",
    "AIza[A-Za-z0-9_-]{30,}",
    "ya29\\.[A-Za-z0-9_-]{20,}",
    "GOCSPX-[A-Za-z0-9_-]{20,}",
    "do[opr]_v1_[a-f0-9]{40,}",
    "dapi[a-f0-9]{32}",
    // Slack, SendGrid, Stripe.
    "xox[a-z](?:\\.xox[a-z])?-[A-Za-z0-9-]{10,}",
    "xapp-[A-Za-z0-9-]{10,}",
    "SG\\.[A-Za-z0-9_-]{16,}\\.[A-Za-z0-9_-]{16,}",
    "[rs]k_(?:live|test)_[A-Za-z0-9]{10,}",
    // npm, PyPI, Docker, Vault.
    "npm_[A-Za-z0-9]{30,}",
    "pypi-AgE[A-Za-z0-9_-]{20,}",
    "dckr_pat_[A-Za-z0-9_-]{20,}",
    "hv[bs]\\.[A-Za-z0-9_-]{20,}",
    // JSON web tokens: eyJ is {" in base64.
    "eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{4,}(?:\\.[A-Za-z0-9_-]*){1,3}",
};

}  // namespace

std::vector<std::string> DefaultArgumentPatterns() {
  std::vector<std::string> out;
  for (const char* const pattern : kNamedSecrets)
    out.push_back(absl::StrReplaceAll(pattern, {{"START", kStart},
                                                {"PREFIX", kPrefix},
                                                {"NAME", kName},
                                                {"CHAR", kChar},
                                                {"QUOTE", kQuote}}));
  // The prefix of a token also occurs inside longer words.
  out.push_back(absl::StrCat("(?:^|[^A-Za-z0-9])(", absl::StrJoin(kTokens, "|"), ")"));
  return out;
}

std::string WithoutSecrets(std::string text) {
  static const absl::StatusOr<Redaction> redaction = [] {
    std::vector<std::string> patterns = DefaultArgumentPatterns();
    patterns.emplace_back(R"re(://([^/?#\s]+)@)re");
    return Redaction::Make(patterns);
  }();
  if (!redaction.ok())
    return kHidden;
  redaction->Apply(&text);
  return text;
}

}  // namespace sandpiper
