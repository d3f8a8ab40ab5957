// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "userspace/base/curl.h"
#include "userspace/base/status.h"
#include "userspace/base/version.h"
#include "userspace/export/gzip.h"
#include "userspace/export/response.h"
#include "userspace/export/transport.h"

namespace sandpiper {
namespace {

// Maximum age of a connection, of the certificates in memory, and of an address of a name.
constexpr long kConnectionSeconds = 300, kCertificateSeconds = 10, kNameSeconds = 10;

// Collects the response body. Returning 0 makes curl fail the transfer. The body is never
// compressed: we send no Accept-Encoding.
size_t Collect(char* data, size_t one, size_t size, void* out) {
  auto* body = static_cast<std::string*>(out);
  if (body->size() + size > kResponseMax)
    return 0;
  body->append(data, one * size);
  return one * size;
}

// Nonzero ends the transfer. curl calls it once a second, and more often while data arrives.
int Progress(void* cancelled, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return *static_cast<std::atomic<bool>*>(cancelled);
}

class HttpTransport : public OtlpTransport {
 public:
  HttpTransport(const Curl& lib, const OtlpEndpoint& endpoint)
      : gzip_(endpoint.gzip),
        lib_(lib),
        curl_(lib.easy_init(), lib.easy_cleanup),
        headers_(nullptr, lib.slist_free_all) {
    curl_slist* headers = lib.slist_append(nullptr, "Content-Type: application/x-protobuf");
    headers = lib.slist_append(headers,
                               "Expect:");  // do not wait for "100 Continue": few servers send it
    if (gzip_)
      headers = lib.slist_append(headers, "Content-Encoding: gzip");
    for (const auto& [key, value] : endpoint.headers)
      headers = lib.slist_append(headers, absl::StrCat(key, ": ", value).c_str());
    headers_.reset(headers);
    CURL* curl = curl_.get();
    lib.easy_setopt(curl, CURLOPT_URL, endpoint.target.c_str());
    lib.easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    lib.easy_setopt(curl, CURLOPT_USERAGENT, absl::StrCat("sandpiper/", kVersion).c_str());
    lib.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib.easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(endpoint.timeout.count()));
    lib.easy_setopt(curl, CURLOPT_MAXLIFETIME_CONN, kConnectionSeconds);
    lib.easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, kCertificateSeconds);
    lib.easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, kNameSeconds);
    lib.easy_setopt(curl, CURLOPT_WRITEFUNCTION, Collect);
    lib.easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    lib.easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, Progress);
    lib.easy_setopt(curl, CURLOPT_XFERINFODATA, &cancelled_);
    const auto file = [&lib, curl](CURLoption option, const std::string& path) {
      if (!path.empty())
        lib.easy_setopt(curl, option, path.c_str());
    };
    file(CURLOPT_UNIX_SOCKET_PATH, endpoint.unix_socket);
    file(CURLOPT_CAINFO, endpoint.ca_file);
    file(CURLOPT_SSLCERT, endpoint.client_certificate_file);
    file(CURLOPT_SSLKEY, endpoint.client_key_file);
  }

  SendResult Send(const std::string& request) override {
    const std::string zipped = gzip_ ? Gzip(request) : "";
    const std::string& body = gzip_ ? zipped : request;
    if (gzip_ && zipped.empty())
      return {.verdict = SendResult::kRetry,
              .rejected = 0,
              .retry_after = std::nullopt,
              .error = "out of memory for compression"};
    std::string answer;
    CURL* curl = curl_.get();
    lib_.easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    lib_.easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    lib_.easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    const CURLcode code = lib_.easy_perform(curl);
    long status = 0;
    lib_.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    const bool success = status >= 200 && status < 300;
    // A response over the limit still has a status: the request was accepted or not.
    if (code == CURLE_WRITE_ERROR && success)
      return UnreadResponse("longer than 4 MiB");
    if (code != CURLE_OK && code != CURLE_WRITE_ERROR)
      return {.verdict = SendResult::kRetry,
              .rejected = 0,
              .retry_after = std::nullopt,
              .error = lib_.easy_strerror(code)};
    if (success)
      return ReadResponse(answer);
    curl_off_t seconds = 0;
    lib_.easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
    const auto wait = seconds > 0
                          ? std::optional<std::chrono::milliseconds>(std::chrono::seconds(seconds))
                          : std::nullopt;
    return FromHttp(status, wait, answer);
  }

  void Cancel() override { cancelled_ = true; }

 private:
  std::atomic<bool> cancelled_ = false;
  bool gzip_;
  const Curl& lib_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<OtlpTransport>> MakeHttpTransport(const OtlpEndpoint& endpoint,
                                                                 Signal) {
  ASSIGN_OR_RETURN(const Curl* curl, LoadCurl());
  return std::make_unique<HttpTransport>(*curl, endpoint);
}

}  // namespace sandpiper
