// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <cerrno>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/curl.h"
#include "userspace/base/status.h"
#include "userspace/runtime/engine_replies.h"
#include "userspace/runtime/runtime_client.h"

namespace sandpiper {
namespace {

// A new stream asks for events from this many seconds before the last one began or broke off,
// because clocks are never exact.
constexpr int64_t kEventsBefore = 30;
int64_t StreamStart() {
  return static_cast<int64_t>(ReadClock(CLOCK_REALTIME) / kSecond) - kEventsBefore;
}

class EngineClient : public RuntimeClient {
 public:
  explicit EngineClient(std::string socket) : socket_(std::move(socket)) {}

  absl::StatusOr<std::optional<Container>> Find(const std::string& id) override {
    RETURN_IF_ERROR(LearnName());
    const absl::StatusOr<std::string> answer = Get(absl::StrCat("/containers/", id, "/json"));
    if (absl::IsNotFound(answer.status()))
      return std::nullopt;
    RETURN_IF_ERROR(answer.status());
    ASSIGN_OR_RETURN(Container out, ContainerOfInspect(*answer));
    if (out.id != id)
      return absl::InternalError(
          absl::StrCat("the answer about ", id, " is about \"", out.id.substr(0, 80), "\""));
    out.runtime = name();
    return out;
  }

  // The list has no environment, and Podman's no network: the caller asks for each new container.
  absl::StatusOr<std::vector<Container>> List() override {
    RETURN_IF_ERROR(LearnName());
    ASSIGN_OR_RETURN(const std::string answer, Get("/containers/json?all=true"));
    ASSIGN_OR_RETURN(std::vector<Container> out, ContainersOfList(answer));
    for (Container& container : out)
      container.runtime = name();
    return out;
  }

  absl::Status Follow(const std::atomic<bool>& stop,
                      const std::function<void(Container)>& report) override {
    RETURN_IF_ERROR(LearnName());
    std::string rest;
    const auto take = [&](std::string_view bytes) {
      rest.append(bytes);
      since_ = StreamStart();
      for (size_t end; (end = rest.find('\n')) != std::string::npos; rest.erase(0, end + 1))
        OnEvent(rest.substr(0, end), report);
      return rest.size() <= kAnswerMax && !stop;
    };
    // {"type":["container"],"event":["create","start"]}
    constexpr char kEvents[] =
        "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22create%22%2C%"
        "22start%22%5D%7D";
    // Older events are included: no other source reports a container that was removed before the
    // stream began.
    return Request(absl::StrCat(kEvents, "&since=", since_), /*timeout_ms=*/0, &stop, take);
  }

 private:
  using Take = std::function<bool(std::string_view)>;

  void OnEvent(std::string_view line, const std::function<void(Container)>& report) {
    auto container = ContainerOfEvent(line);
    if (!container)
      return;
    container->runtime = name();
    report(*std::move(container));
  }

  std::string name() {
    const std::lock_guard lock(mutex_);
    return name_;
  }

  // The lock is not held during the call: if the runtime hangs, the other thread would wait for it
  // too.
  absl::Status LearnName() {
    if (!name().empty())
      return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string version, Get("/version"));
    ASSIGN_OR_RETURN(std::string name, EngineName(version));
    const std::lock_guard lock(mutex_);
    name_ = std::move(name);
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> Get(const std::string& path) {
    std::string body;
    RETURN_IF_ERROR(Request(path, kCallTimeout.count(), nullptr, [&](std::string_view bytes) {
      body.append(bytes);
      return body.size() <= kAnswerMax;
    }));
    return body;
  }

  static size_t OnBytes(char* data, size_t size, size_t count, void* take) {
    return (*static_cast<Take*>(take))({data, size * count}) ? size * count : CURL_WRITEFUNC_ERROR;
  }

  static int OnProgress(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return *static_cast<const std::atomic<bool>*>(stop) ? 1 : 0;
  }

  absl::Status Request(const std::string& path, long timeout_ms, const std::atomic<bool>* stop,
                       Take take) {
    // Without the socket, libcurl need not be loaded.
    if (struct stat there; stat(socket_.c_str(), &there))
      return absl::UnavailableError(
          std::string(ErrnoStatus(errno, absl::StrCat("GET ", path, ": ", socket_)).message()));
    ASSIGN_OR_RETURN(const Curl* lib, LoadCurl());
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(lib->easy_init(),
                                                                   lib->easy_cleanup);
    if (!curl)
      return absl::ResourceExhaustedError("curl_easy_init");
    CURL* c = curl.get();
    lib->easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
    // The oldest version of the API that all engines still support.
    lib->easy_setopt(c, CURLOPT_URL, absl::StrCat("http://localhost/v1.40", path).c_str());
    lib->easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    lib->easy_setopt(c, CURLOPT_PROXY, "");
    lib->easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kCallTimeout.count()));
    lib->easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout_ms);
    lib->easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    lib->easy_setopt(c, CURLOPT_WRITEFUNCTION, OnBytes);
    lib->easy_setopt(c, CURLOPT_WRITEDATA, &take);
    if (stop) {
      lib->easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
      lib->easy_setopt(c, CURLOPT_XFERINFOFUNCTION, OnProgress);
      lib->easy_setopt(c, CURLOPT_XFERINFODATA, stop);
    }
    const CURLcode code = lib->easy_perform(c);
    if (code == CURLE_OK)
      return absl::OkStatus();
    long status = 0;
    lib->easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    const std::string message = absl::StrCat("GET ", path, ": ", lib->easy_strerror(code));
    if (code == CURLE_HTTP_RETURNED_ERROR)
      return status == 404 ? absl::NotFoundError(message)
                           : absl::InternalError(absl::StrCat(message, ", status ", status));
    return code == CURLE_WRITE_ERROR ? absl::InternalError(message)
                                     : absl::UnavailableError(message);
  }

  std::string socket_;
  int64_t since_ = StreamStart();  // used by the thread of Follow only
  std::mutex mutex_;
  std::string name_;
};

}  // namespace

std::unique_ptr<RuntimeClient> MakeEngineClient(const std::string& socket) {
  return std::make_unique<EngineClient>(socket);
}

}  // namespace sandpiper
