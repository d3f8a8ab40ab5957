#include <curl/curl.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "userspace/base/version.h"
#include "userspace/export/transport.h"

namespace sandpiper {
namespace {

// OTLP 1.11 asks for a bound on responses and recommends this one.
constexpr size_t kResponseMax = 4 << 20;

struct CurlDeleter {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// A short count makes curl fail the transfer.
size_t Collect(char* data, size_t one, size_t size, void* out) {
  auto* body = static_cast<std::string*>(out);
  if (body->size() + size > kResponseMax)
    return 0;
  body->append(data, one * size);
  return one * size;
}

class HttpTransport : public OtlpTransport {
 public:
  explicit HttpTransport(const OtlpEndpoint& endpoint) : curl_(curl_easy_init()) {
    curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/x-protobuf");
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
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Collect);
    if (!endpoint.ca_file.empty())
      curl_easy_setopt(curl, CURLOPT_CAINFO, endpoint.ca_file.c_str());
  }

  SendResult Send(const OtlpLogs& request) override {
    OtlpLogsResponse response;
    SendResult result = Post(request, &response);
    result.rejected = static_cast<uint64_t>(response.partial_success().rejected_log_records());
    if (result.verdict == SendResult::kSent)
      result.error = response.partial_success().error_message();
    return result;
  }

  SendResult Send(const OtlpMetrics& request) override {
    OtlpMetricsResponse response;
    SendResult result = Post(request, &response);
    result.rejected = static_cast<uint64_t>(response.partial_success().rejected_data_points());
    if (result.verdict == SendResult::kSent)
      result.error = response.partial_success().error_message();
    return result;
  }

 private:
  SendResult Post(const google::protobuf::Message& request, google::protobuf::Message* response) {
    const std::string body = request.SerializeAsString();
    std::string answer;
    CURL* curl = curl_.get();
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    const CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_WRITE_ERROR)
      return {.verdict = SendResult::kRefused, .rejected = 0, .error = "the answer is larger than 4 MiB"};
    if (code != CURLE_OK)
      return {.verdict = SendResult::kRetry, .rejected = 0, .error = curl_easy_strerror(code)};
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) {
      // Loki answers 204 without a body; a body that is no response means nothing either.
      if (!response->ParseFromString(answer))
        response->Clear();
      return {};
    }
    // opentelemetry-proto docs/specification.md, "Retryable Response Codes".
    const bool retry = status == 429 || status == 502 || status == 503 || status == 504;
    return {.verdict = retry ? SendResult::kRetry : SendResult::kRefused, .rejected = 0, .error = absl::StrCat("HTTP status ", status)};
  }

  std::unique_ptr<CURL, CurlDeleter> curl_;
  std::unique_ptr<curl_slist, CurlDeleter> headers_;
};

}  // namespace

std::unique_ptr<OtlpTransport> MakeHttpTransport(const OtlpEndpoint& endpoint) { return std::make_unique<HttpTransport>(endpoint); }

}  // namespace sandpiper
