#include <curl/curl.h>
#include <rapidjson/document.h>

#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/runtime/runtime_client.h"

namespace sandpiper {
namespace {

using Json = rapidjson::Value;

// Events are asked for again so many seconds from before a stream began or broke off: clocks and starts are never exact.
constexpr int64_t kEventsBefore = 30;
int64_t ABitAgo() { return static_cast<int64_t>(ReadClock(CLOCK_REALTIME) / kSecond) - kEventsBefore; }

// Absent, or of another type than the API says: as if it were not there.
const Json* Get(const Json& object, const char* key) {
  if (!object.IsObject())
    return nullptr;
  const auto it = object.FindMember(key);
  return it == object.MemberEnd() ? nullptr : &it->value;
}

std::string Text(const Json* value) { return value && value->IsString() ? std::string(value->GetString(), value->GetStringLength()) : ""; }

Container::Texts Texts(const Json* object) {
  Container::Texts out;
  if (!object || !object->IsObject())
    return out;
  for (const auto& member : object->GetObject())
    out.emplace(std::string(member.name.GetString(), member.name.GetStringLength()), Text(&member.value));
  return out;
}

// ["A=1", …]
Container::Texts Environment(const Json* list) {
  Container::Texts out;
  if (!list || !list->IsArray())
    return out;
  for (const Json& entry : list->GetArray()) {
    const std::string text = Text(&entry);
    if (const size_t equals = text.find('='); equals != std::string::npos)
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

std::string WithoutSlash(const std::string& name) { return name.starts_with('/') ? name.substr(1) : name; }

// "container:ID"
std::string NetworkOf(const Json* host_config) {
  constexpr std::string_view kContainer = "container:";
  const std::string mode = host_config ? Text(Get(*host_config, "NetworkMode")) : "";
  return mode.starts_with(kContainer) ? mode.substr(kContainer.size()) : "";
}

const Json& Or(const Json* value) {
  static const Json kNothing;
  return value ? *value : kNothing;
}

class EngineClient : public RuntimeClient {
 public:
  explicit EngineClient(std::string socket) : socket_(std::move(socket)) {}

  absl::StatusOr<std::optional<Container>> Find(const std::string& id) override {
    RETURN_IF_ERROR(LearnName());
    absl::StatusOr<rapidjson::Document> answer = GetJson(absl::StrCat("/containers/", id, "/json"));
    if (absl::IsNotFound(answer.status()))
      return std::nullopt;
    RETURN_IF_ERROR(answer.status());
    const Json& config = Or(Get(*answer, "Config"));
    Container out;
    out.id = Text(Get(*answer, "Id"));
    out.name = WithoutSlash(Text(Get(*answer, "Name")));
    out.image = Text(Get(config, "Image"));
    out.runtime = name();
    out.labels = Texts(Get(config, "Labels"));
    out.environment = Environment(Get(config, "Env"));
    out.network_of = NetworkOf(Get(*answer, "HostConfig"));
    if (out.id != id)
      return absl::InternalError(absl::StrCat("the answer about ", id, " is about \"", out.id.substr(0, 80), "\""));
    return out;
  }

  absl::StatusOr<std::vector<Container>> List() override {
    RETURN_IF_ERROR(LearnName());
    ASSIGN_OR_RETURN(const rapidjson::Document answer, GetJson("/containers/json?all=true"));
    if (!answer.IsArray())
      return absl::InternalError("the list of containers is no list");
    std::vector<Container> out;
    for (const Json& entry : answer.GetArray()) {
      // The list leaves out the environment, and Podman the network: one is asked for each that is new.
      if (const std::string id = Text(Get(entry, "Id")); !id.empty()) {
        Container container;
        container.id = id;
        if (const Json* names = Get(entry, "Names"); names && names->IsArray() && !names->Empty())
          container.name = WithoutSlash(Text(&(*names)[0]));
        container.image = Text(Get(entry, "Image"));
        container.labels = Texts(Get(entry, "Labels"));
        container.runtime = name();
        container.complete = false;
        out.push_back(std::move(container));
      }
    }
    return out;
  }

  absl::Status Follow(const std::atomic<bool>& stop, const std::function<void(Container)>& tell) override {
    RETURN_IF_ERROR(LearnName());
    std::string rest;
    const auto take = [&](std::string_view bytes) {
      rest.append(bytes);
      since_ = ABitAgo();
      for (size_t end; (end = rest.find('\n')) != std::string::npos; rest.erase(0, end + 1))
        OnEvent(rest.substr(0, end), tell);
      return rest.size() <= kAnswerMax && !stop;
    };
    // {"type":["container"],"event":["create","start"]}
    constexpr char kEvents[] = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%2C%22event%22%3A%5B%22create%22%2C%22start%22%5D%7D";
    // From a while ago on: of a container that was gone before we listened, nothing else tells.
    return Request(absl::StrCat(kEvents, "&since=", since_), /*timeout_ms=*/0, &stop, take);
  }

 private:
  using Take = std::function<bool(std::string_view)>;

  void OnEvent(const std::string& line, const std::function<void(Container)>& tell) {
    rapidjson::Document event;
    event.Parse(line.data(), line.size());
    if (event.HasParseError())
      return;
    const Json& actor = Or(Get(event, "Actor"));
    Container container;
    container.id = Text(Get(actor, "ID"));
    // Labels stand among attributes of the container itself.
    container.labels = Texts(Get(actor, "Attributes"));
    container.name = container.labels["name"];
    container.image = container.labels["image"];
    container.runtime = name();
    container.complete = false;
    if (!container.id.empty())
      tell(std::move(container));
  }

  std::string name() {
    const std::lock_guard lock(mutex_);
    return name_;
  }

  // The lock is not held while the runtime is asked: one that hangs would have each thread wait for the other's time as well.
  absl::Status LearnName() {
    if (!name().empty())
      return absl::OkStatus();
    ASSIGN_OR_RETURN(const rapidjson::Document version, GetJson("/version"));
    std::string name = "docker";
    if (const Json* components = Get(version, "Components"); components && components->IsArray()) {
      for (const Json& component : components->GetArray()) {
        if (Text(Get(component, "Name")).find("Podman") != std::string::npos)
          name = "podman";
      }
    }
    const std::lock_guard lock(mutex_);
    name_ = std::move(name);
    return absl::OkStatus();
  }

  absl::StatusOr<rapidjson::Document> GetJson(const std::string& path) {
    std::string body;
    RETURN_IF_ERROR(Request(path, kCallTimeout.count(), nullptr, [&](std::string_view bytes) {
      body.append(bytes);
      return body.size() <= kAnswerMax;
    }));
    rapidjson::Document document;
    document.Parse(body.data(), body.size());
    if (document.HasParseError())
      return absl::InternalError(absl::StrCat("GET ", path, ": the answer is no JSON"));
    return document;
  }

  static size_t OnBytes(char* data, size_t size, size_t count, void* take) {
    return (*static_cast<Take*>(take))({data, size * count}) ? size * count : CURL_WRITEFUNC_ERROR;
  }

  static int OnProgress(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    return *static_cast<const std::atomic<bool>*>(stop) ? 1 : 0;
  }

  absl::Status Request(const std::string& path, long timeout_ms, const std::atomic<bool>* stop, Take take) {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
    if (!curl)
      return absl::ResourceExhaustedError("curl_easy_init");
    CURL* c = curl.get();
    curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket_.c_str());
    // The oldest version of the API that all still speak; without one, each speaks its newest.
    curl_easy_setopt(c, CURLOPT_URL, absl::StrCat("http://localhost/v1.40", path).c_str());
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(kCallTimeout.count()));
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, OnBytes);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &take);
    if (stop) {
      curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
      curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, OnProgress);
      curl_easy_setopt(c, CURLOPT_XFERINFODATA, stop);
    }
    const CURLcode code = curl_easy_perform(c);
    if (code == CURLE_OK)
      return absl::OkStatus();
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    const std::string message = absl::StrCat("GET ", path, ": ", curl_easy_strerror(code));
    if (code == CURLE_HTTP_RETURNED_ERROR)
      return status == 404 ? absl::NotFoundError(message) : absl::InternalError(absl::StrCat(message, ", status ", status));
    return code == CURLE_WRITE_ERROR ? absl::InternalError(message) : absl::UnavailableError(message);
  }

  std::string socket_;
  int64_t since_ = ABitAgo();  // of the follower's thread
  std::mutex mutex_;
  std::string name_;
};

}  // namespace

std::unique_ptr<RuntimeClient> MakeEngineClient(const std::string& socket) { return std::make_unique<EngineClient>(socket); }

}  // namespace sandpiper
