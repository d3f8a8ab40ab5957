#include <curl/curl.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "userspace/base/version.h"
#include "userspace/export/gzip.h"
#include "userspace/export/response.h"
#include "userspace/export/transport.h"

namespace sandpiper {
namespace {

// Connections are made anew so often, certificates read again, and names looked up again.
constexpr long kConnectionSeconds = 300, kCertificateSeconds = 10, kNameSeconds = 10;

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// A short count makes curl fail the transfer. What comes is never inflated: we do not say that we could.
size_t Collect(char* data, size_t one, size_t size, void* out) {
  auto* body = static_cast<std::string*>(out);
  if (body->size() + size > kResponseMax)
    return 0;
  body->append(data, one * size);
  return one * size;
}

// curl asks about once a second, and more often while data comes.
int Progress(void* cancelled, curl_off_t, curl_off_t, curl_off_t, curl_off_t) { return *static_cast<std::atomic<bool>*>(cancelled); }

class HttpTransport : public OtlpTransport {
 public:
  explicit HttpTransport(const OtlpEndpoint& endpoint) : gzip_(endpoint.gzip), curl_(curl_easy_init()) {
    curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/x-protobuf");
    headers = curl_slist_append(headers, "Expect:");  // no waiting for a 100 that few servers send
    if (gzip_)
      headers = curl_slist_append(headers, "Content-Encoding: gzip");
    for (const auto& [key, value] : endpoint.headers)
      headers = curl_slist_append(headers, absl::StrCat(key, ": ", value).c_str());
    headers_.reset(headers);
    CURL* curl = curl_.get();
    curl_easy_setopt(curl, CURLOPT_URL, endpoint.target.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, absl::StrCat("sandpiper/", kVersion).c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(endpoint.timeout.count()));
    curl_easy_setopt(curl, CURLOPT_MAXLIFETIME_CONN, kConnectionSeconds);
    curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, kCertificateSeconds);
    curl_easy_setopt(curl, CURLOPT_DNS_CACHE_TIMEOUT, kNameSeconds);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Collect);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, Progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &cancelled_);
    const auto file = [curl](CURLoption option, const std::string& path) {
      if (!path.empty())
        curl_easy_setopt(curl, option, path.c_str());
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
      return {.verdict = SendResult::kRetry, .rejected = 0, .retry_after = std::nullopt, .error = "no memory to compress"};
    std::string answer;
    CURL* curl = curl_.get();
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    const CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    const bool success = status >= 200 && status < 300;
    // Whatever it had to say beyond: it took the request, or not.
    if (code == CURLE_WRITE_ERROR && success)
      return UnreadResponse("longer than 4 MiB");
    if (code != CURLE_OK && code != CURLE_WRITE_ERROR)
      return {.verdict = SendResult::kRetry, .rejected = 0, .retry_after = std::nullopt, .error = curl_easy_strerror(code)};
    if (success)
      return ReadResponse(answer);
    curl_off_t seconds = 0;
    curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
    const auto wait = seconds > 0 ? std::optional<std::chrono::milliseconds>(std::chrono::seconds(seconds)) : std::nullopt;
    return FromHttp(status, wait, answer);
  }

  void Cancel() override { cancelled_ = true; }

 private:
  std::atomic<bool> cancelled_ = false;
  bool gzip_;
  std::unique_ptr<CURL, CurlDeleter> curl_;
  std::unique_ptr<curl_slist, CurlDeleter> headers_;
};

}  // namespace

std::unique_ptr<OtlpTransport> MakeHttpTransport(const OtlpEndpoint& endpoint, Signal) { return std::make_unique<HttpTransport>(endpoint); }

}  // namespace sandpiper
