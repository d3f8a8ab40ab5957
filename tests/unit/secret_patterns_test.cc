// SPDX-License-Identifier: Apache-2.0
// The built-in patterns mask secrets in process arguments, and leave everything else as it is. No
// secret here is real: tokens are put together from a prefix and a filler of the right length.
#include "userspace/export/secret_patterns.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "userspace/base/text.h"
#include "userspace/export/redaction.h"

namespace sandpiper {
namespace {

using Texts = std::vector<std::string>;

// A filler for tokens: `size` letters and digits.
std::string Filler(size_t size) {
  static constexpr char kCharacters[] = "Ab3dEf6hIj9lMn2pQr5tUv8x";
  std::string out;
  for (size_t i = 0; i < size; ++i)
    out.push_back(kCharacters[i % (sizeof(kCharacters) - 1)]);
  return out;
}

std::string Upper(size_t size) { return std::string("ABCDEFGH2345WXYZ").substr(0, size); }
std::string Hex(size_t size) { return std::string(size, 'a').replace(0, 3, "1f9"); }

// The arguments as a record shows them.
Texts Shown(Texts arguments) {
  static const Redaction redaction = *Redaction::Make(DefaultArgumentPatterns());
  for (std::string& argument : arguments)
    argument = Escape(argument);
  redaction.Apply(&arguments);
  return arguments;
}

TEST(SecretPatterns, TokensOfServicesAreMaskedAnywhere) {
  const Texts tokens = {
      "sk-" + Filler(48),
      "sk-proj-" + Filler(40) + "_" + Filler(40) + "-x",
      "sk-svcacct-" + Filler(40),
      "sk-admin-" + Filler(40),
      "sk-live-ABCDEF123456",
      "sk-ant-api03-" + Filler(90) + "-AA",
      "sk-ant-oat01-" + Filler(60),
      "sk-or-v1-" + Hex(64),
      "ghp_" + Filler(36),
      "gho_" + Filler(36),
      "ghs_" + Filler(36),
      "ghu_" + Filler(36),
      "ghr_" + Filler(76),
      "github_pat_" + Filler(22) + "_" + Filler(59),
      "glpat-" + Filler(20),
      "glpat-" + Filler(27) + ".01." + Filler(9),
      "gldt-" + Filler(20),
      "glrt-" + Filler(20),
      "AKIA" + Upper(16),
      "ASIA" + Upper(16),
      "AIza" + Filler(35),
      "ya29." + Filler(60),
      "GOCSPX-" + Filler(28),
      "xoxb-123456789012-1234567890123-" + Filler(24),
      "xoxp-123456789012-" + Filler(24),
      "xoxe.xoxp-1-" + Filler(40),
      "xapp-1-A012345-678-" + Filler(30),
      "hf_" + Filler(34),
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0." + Filler(43),
      "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.",
      "gsk_" + Filler(52),
      "xai-" + Filler(80),
      "npm_" + Filler(36),
      "pypi-AgEIcHlwaS5vcmc" + Filler(60),
      "SG." + Filler(22) + "." + Filler(43),
      "sk_live_" + Filler(24),
      "rk_test_" + Filler(24),
      "hvs." + Filler(24),
      "dckr_pat_" + Filler(27),
      "dop_v1_" + Hex(64),
      "dapi" + Hex(32),
  };
  for (const std::string& token : tokens) {
    EXPECT_EQ(Shown({"run", token}), (Texts{"run", "*****"}));
    EXPECT_EQ(Shown({"run", token, "after"}), (Texts{"run", "*****", "after"}));
    EXPECT_EQ(Shown({"run", "--to=" + token + ",x"}), (Texts{"run", "--to=*****,x"}));
    EXPECT_EQ(Shown({"sh", "-c", "echo '" + token + "' | tool"}),
              (Texts{"sh", "-c", "echo '*****' | tool"}));
    EXPECT_EQ(Shown({"curl", "https://a.test/x/" + token + "/y"}),
              (Texts{"curl", "https://a.test/x/*****/y"}));
    EXPECT_EQ(Shown({"x_" + token, token, token}), (Texts{"x_*****", "*****", "*****"}));
  }
}

struct Case {
  Texts arguments, shown;
};

TEST(SecretPatterns, NamedSecretsAreMasked) {
  const std::vector<Case> cases = {
      // Options.
      {{"mysql", "--password", "hunter2", "-h", "db"},
       {"mysql", "--password", "*****", "-h", "db"}},
      {{"mysql", "--password=hunter2", "db"}, {"mysql", "--password=*****", "db"}},
      {{"a", "--password=two words", "b"}, {"a", "--password=*****", "b"}},
      {{"a", "--passphrase", "correct horse 'battery", "b"}, {"a", "--passphrase", "*****", "b"}},
      {{"a", "--password=-x y", "b"}, {"a", "--password=*****", "b"}},
      {{"a", "--api-key=abc", "--API_KEY", "def"}, {"a", "--api-key=*****", "--API_KEY", "*****"}},
      {{"a", "--token", "x", "--secret", "y"}, {"a", "--token", "*****", "--secret", "*****"}},
      {{"a", "--client-secret", "x"}, {"a", "--client-secret", "*****"}},
      {{"a", "-password", "x"}, {"a", "-password", "*****"}},
      {{"a", "--pass", "x"}, {"a", "--pass", "*****"}},
      {{"plink", "-pw", "x", "host"}, {"plink", "-pw", "*****", "host"}},
      {{"openssl", "-passin", "pass:x"}, {"openssl", "-passin", "*****"}},
      {{"curl", "--oauth2-bearer", "x"}, {"curl", "--oauth2-bearer", "*****"}},
      {{"aws", "--secret-string", "{\"a\": \"b c\"}"}, {"aws", "--secret-string", "*****"}},
      {{"wget", "--http-password=x"}, {"wget", "--http-password=*****"}},
      {{"sh", "-c", "mysql --password hunter2 -e 'select 1'"},
       {"sh", "-c", "mysql --password ***** -e 'select 1'"}},
      {{"sh", "-c", "a --password 'two words' b"}, {"sh", "-c", "a --password '*****' b"}},
      {{"sh", "-c", "a --token \"two words\" b"}, {"sh", "-c", "a --token \"*****\" b"}},
      {{"sh", "-c", "a --token x\nb --secret y\nc"},
       {"sh", "-c", R"(a --token *****\x0ab --secret *****\x0ac)"}},
      // A user with a password.
      {{"curl", "-u", "user:hunter2", "https://a.test"},
       {"curl", "-u", "user:*****", "https://a.test"}},
      {{"curl", "-uuser:hunter2"}, {"curl", "-uuser:*****"}},
      {{"curl", "-sSu", "user:hunter2"}, {"curl", "-sSu", "user:*****"}},
      {{"curl", "-u", "user:two words", "x"}, {"curl", "-u", "user:*****", "x"}},
      {{"curl", "-u", "a@b.test:x"}, {"curl", "-u", "a@b.test:*****"}},
      {{"curl", "-u", "CORP\\joe:x"}, {"curl", "-u", R"(CORP\\joe:*****)"}},
      {{"curl", "-u", ":x1"}, {"curl", "-u", ":*****"}},
      {{"curl", "-u", "123:x1"}, {"curl", "-u", "123:*****"}},
      {{"curl", "--user", "user:hunter2"}, {"curl", "--user", "user:*****"}},
      {{"curl", "--user=user:hunter2"}, {"curl", "--user=user:*****"}},
      {{"curl", "--proxy-user", "user:hunter2"}, {"curl", "--proxy-user", "user:*****"}},
      {{"curl", "--proxy-user=user:a b", "c"}, {"curl", "--proxy-user=user:*****", "c"}},
      {{"curl", "-U", "user:hunter2"}, {"curl", "-U", "user:*****"}},
      {{"http", "--auth", "user:hunter2"}, {"http", "--auth", "user:*****"}},
      {{"skopeo", "copy", "--src-creds", "user:x"},
       {"skopeo", "copy", "--src-creds", "user:*****"}},
      {{"sh", "-c", "curl -u 'user:hunter2' https://a.test"},
       {"sh", "-c", "curl -u 'user:*****' https://a.test"}},
      {{"sh", "-c", "(curl -u user:a; curl -u user:b)"},
       {"sh", "-c", "(curl -u user:***** curl -u user:*****"}},
      // Headers.
      {{"curl", "-H", "Authorization: Bearer abc.def", "https://a.test"},
       {"curl", "-H", "Authorization: Bearer *****", "https://a.test"}},
      {{"curl", "-H", "authorization:Basic dXNlcjpwYXNz"},
       {"curl", "-H", "authorization:Basic *****"}},
      {{"curl", "-H", "Authorization: token abc"}, {"curl", "-H", "Authorization: token *****"}},
      {{"curl", "-H", "Authorization: abc"}, {"curl", "-H", "Authorization: *****"}},
      {{"curl", "-H", "Proxy-Authorization: Basic x", "-H", "Authorization: Bearer y", "z"},
       {"curl", "-H", "Proxy-Authorization: Basic *****", "-H", "Authorization: Bearer *****",
        "z"}},
      {{"curl", "-H", "Authorization: AWS4-HMAC-SHA256 Credential=A/b, Signature=c", "z"},
       {"curl", "-H", "Authorization: AWS4-HMAC-SHA256 *****", "z"}},
      {{"curl", "--header=Authorization: Bearer x", "z"},
       {"curl", "--header=Authorization: Bearer *****", "z"}},
      {{"curl", "-H", "X-Auth-Token: abc", "https://a.test"},
       {"curl", "-H", "X-Auth-Token: *****", "https://a.test"}},
      {{"curl", "-H", "x-api-key: abc"}, {"curl", "-H", "x-api-key: *****"}},
      {{"curl", "-H", "PRIVATE-TOKEN: abc"}, {"curl", "-H", "PRIVATE-TOKEN: *****"}},
      {{"curl", "-H", "Cookie: a=b; c=d", "z"}, {"curl", "-H", "Cookie: *****", "z"}},
      {{"sh", "-c", "curl -H 'Authorization: Bearer abc' https://a.test"},
       {"sh", "-c", "curl -H 'Authorization: Bearer *****' https://a.test"}},
      {{"sh", "-c", "curl -H \"Cookie: a=b; c=d\" https://a.test"},
       {"sh", "-c", "curl -H \"Cookie: *****\" https://a.test"}},
      {{"node", "-e", "fetch(u, {headers: {authorization: 'Bearer abc'}})"},
       {"node", "-e", "fetch(u, {headers: {authorization: 'Bearer *****'}})"}},
      // Assignments.
      {{"env", "AWS_SECRET_ACCESS_KEY=x/y+z=", "TOKEN=z", "run"},
       {"env", "AWS_SECRET_ACCESS_KEY=*****", "TOKEN=*****", "run"}},
      {{"docker", "run", "-e", "PASSPHRASE=correct horse battery", "image"},
       {"docker", "run", "-e", "PASSPHRASE=*****", "image"}},
      {{"docker", "run", "--env=DB_PASS=a b", "image"},
       {"docker", "run", "--env=DB_PASS=*****", "image"}},
      {{"sh", "-c", "GITHUB_TOKEN=abc gh pr create"},
       {"sh", "-c", "GITHUB_TOKEN=***** gh pr create"}},
      {{"sh", "-c", "export PGPASSWORD='a b' MYSQL_PWD=c; run"},
       {"sh", "-c", "export PGPASSWORD='*****' MYSQL_PWD=***** run"}},
      {{"sh", "-c", "API_KEY=a&b run"}, {"sh", "-c", "API_KEY=***** run"}},
      {{"curl", "-d", R"({"password": "a b", "user": "joe"})"},
       {"curl", "-d", R"({"password": "*****", "user": "joe"})"}},
      {{"curl", "-d", R"({'client_secret':'a b','user':'joe'})"},
       {"curl", "-d", R"({'client_secret':'*****','user':'joe'})"}},
      {{"kubectl", "create", "--from-literal=password=x"},
       {"kubectl", "create", "--from-literal=password=*****"}},
      {{"java", "-Djavax.net.ssl.keyStorePassword=x"},
       {"java", "-Djavax.net.ssl.keyStorePassword=*****"}},
      {{"psql", "host=db password=x user=joe"}, {"psql", "host=db password=***** user=joe"}},
      // URLs and forms.
      {{"git", "clone", "https://me:hunter2@git.test/a.git"},
       {"git", "clone", "https://me:*****@git.test/a.git"}},
      {{"psql", "postgres://me:p@ss@db:5432/x"}, {"psql", "postgres://me:*****@db:5432/x"}},
      {{"redis-cli", "-u", "redis://:x@db"}, {"redis-cli", "-u", "redis://:*****@db"}},
      {{"curl", "--proxy", "me:x@proxy:3128"}, {"curl", "--proxy", "me:*****@proxy:3128"}},
      {{"curl", "-x", "me:x@proxy", "--preproxy", "me:y@b"},
       {"curl", "-x", "me:*****@proxy", "--preproxy", "me:*****@b"}},
      {{"curl", "https://a.test/x?sig=ab%2Bc&page=2"},
       {"curl", "https://a.test/x?sig=*****&page=2"}},
      {{"curl", "https://a.test/x?page=2&signature=a&key=b&token=c&code=d#e"},
       {"curl", "https://a.test/x?page=2&signature=*****&key=*****&token=*****&code=*****#e"}},
      {{"curl", "https://a.test/?X-Amz-Signature=a&X-Amz-Credential=b&X-Amz-Date=c"},
       {"curl", "https://a.test/?X-Amz-Signature=*****&X-Amz-Credential=*****&X-Amz-Date=c"}},
      {{"curl", "https://a.test/#access_token=a&state=b"},
       {"curl", "https://a.test/#access_token=*****&state=b"}},
      {{"curl", "-d", "grant_type=x&client_secret=y&scope=z"},
       {"curl", "-d", "grant_type=x&client_secret=*****&scope=z"}},
      {{"curl", "https://hooks.slack.com/services/T0/B0/abcdef"},
       {"curl", "https://hooks.slack.com/services/*****"}},
      // Programs with options of their own.
      {{"sshpass", "-p", "x", "ssh", "h"}, {"sshpass", "-p", "*****", "ssh", "h"}},
      {{"sshpass", "-px", "ssh", "h"}, {"sshpass", "-p*****", "ssh", "h"}},
      {{"/usr/bin/mysql", "-u", "root", "-phunter2", "db"},
       {"/usr/bin/mysql", "-u", "root", "-p*****", "db"}},
      {{"mysqldump", "-phunter2"}, {"mysqldump", "-p*****"}},
      {{"docker", "login", "-u", "me", "-p", "x", "r.test"},
       {"docker", "login", "-u", "me", "-p", "*****", "r.test"}},
      {{"curl", "-b", "session=a; b=c", "x"}, {"curl", "-b", "*****", "x"}},
      {{"http", "-a", "user:x", "a.test"}, {"http", "-a", "user:*****", "a.test"}},
      {{"aws", "configure", "set", "aws_secret_access_key", "x"},
       {"aws", "configure", "set", "aws_secret_access_key", "*****"}},
      {{"npm", "config", "set", "//registry.test/:_authToken", "x", "-g"},
       {"npm", "config", "set", "//registry.test/:_authToken", "*****", "-g"}},
      {{"redis-cli", "-a", "x", "ping"}, {"redis-cli", "-a", "*****", "ping"}},
      {{"psql", "-c", "ALTER USER a PASSWORD 'x y'"},
       {"psql", "-c", "ALTER USER a PASSWORD '*****'"}},
      {{"sh", "-c", "echo machine h login me password x > f"},
       {"sh", "-c", "echo machine h login me password ***** > f"}},
      {{"echo", "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\ndef\n-----END OPENSSH PRIVATE KEY-----"},
       {"echo", "-----BEGIN OPENSSH PRIVATE KEY-----*****-----END OPENSSH PRIVATE KEY-----"}},
      {{"echo", "-----BEGIN PRIVATE KEY-----\nabc", "rest"},
       {"echo", "-----BEGIN PRIVATE KEY-----*****", "*****"}},
  };
  for (const auto& [arguments, shown] : cases)
    EXPECT_EQ(Shown(arguments), shown);
}

TEST(SecretPatterns, OtherTextIsNotMasked) {
  const std::vector<Texts> cases = {
      {},
      {""},
      {"passwd"},
      {"tool", "--password", "--verbose"},
      {"tool", "--level=-1", "--offset", "-x"},
      {"pg_dump", "--no-password", "db"},
      {"tokenize", "--token-count", "5"},
      {"llm", "--max-tokens", "100", "--max_tokens=100", "--tokenizer", "bpe"},
      {"curl", "-d", R"({"max_tokens": 1024, "tokens": 5, "secret_name": "x"})"},
      {"docker", "login", "--password-stdin", "r.test"},
      {"vault", "--token-file", "/run/token", "--secret-id", "prod/db"},
      {"git", "commit", "-m", "Fix the token parser and the secret store"},
      {"git", "push", "-u", "origin", "main"},
      {"sh", "-c", "cd $PWD && OLDPWD=/x make compass bypass"},
      {"curl", "https://a.test:8080/x@y"},
      {"curl", "https://a.test:8080/?next=b@c"},
      {"curl", "https://a.test/?keyword=x&page=2&zipcode=1&sort_key=name&design=a&config=b"},
      {"ssh", "git@a.test", "-p", "22"},
      {"git", "clone", "ssh://git@a.test:22/x.git"},
      {"docker", "run", "-u", "1000:1000", "--user", "0:0", "--name", "login", "-p", "80:80", "x"},
      {"rsync", "-u", "host:/path", "."},
      {"date", "-u", "+%H:%M"},
      {"python3", "-u", "server.py"},
      {"sqlmap", "-u", "http://a.test:80/x"},
      {"journalctl", "-u", "nginx.service"},
      {"mysql", "-u", "root", "-P", "3306", "--protocol=tcp"},
      {"pip", "install", "sk-learn-contrib-extras-package", "glibc-2.31-13-amd64-libs-x"},
      {"echo", "task-abcdefghijklmnopqrstuvwxyz", "risk-abcdefghijklmnopqrstuvwxyz"},
      {"echo", "hf_hub_download_of_some_model", "ghp_short", "AKIAshort", "xoxo-yes"},
      {"echo", "eyJ.only", "eyJhbGciOiJIUzI1NiJ9"},
      {"sha256sum", Hex(64)},
      {"docker", "pull", "a.test/x@sha256:" + Hex(64)},
      {"git", "checkout", Hex(40)},
      {"echo", "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"},
      {"echo", "the bearer of news", "basic usage"},
      {"curl", "-H", "Content-Type: application/json", "-H", "Accept: */*"},
      {"ssh", "-i", "/root/.ssh/id_ed25519", "--key", "/etc/key.pem", "public_key=abc"},
      {"unzip", "-p", "a.zip", "x"},
      {"curl", "-b", "cookies.txt", "-x", "proxy:3128", "--proxy", "http://proxy:3128"},
      {"git", "config", "set", "user.name", "joe"},
      {"uuidgen", "123e4567-e89b-12d3-a456-426614174000"},
  };
  for (const Texts& arguments : cases) {
    Texts escaped = arguments;
    for (std::string& argument : escaped)
      argument = Escape(argument);
    EXPECT_EQ(Shown(arguments), escaped);
  }
}

}  // namespace
}  // namespace sandpiper
