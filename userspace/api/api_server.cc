#include "userspace/api/api_server.h"

#include <grpcpp/grpcpp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <future>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sandpiper.grpc.pb.h"
#include "userspace/base/fd.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

constexpr std::chrono::seconds kAnswerWithin{10};

bool SomebodyAnswers(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.ok() && connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

class ApiServer::Service : public v1::Collector::Service {
 public:
  grpc::Status ListSandboxes(grpc::ServerContext*, const v1::ListSandboxesRequest*, v1::ListSandboxesResponse* response) override {
    std::future<v1::ListSandboxesResponse> answer;
    {
      const std::lock_guard lock(mutex_);
      waiting_.emplace_back();
      answer = waiting_.back().get_future();
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(asked_.get(), &one, sizeof(one));
    if (answer.wait_for(kAnswerWithin) != std::future_status::ready)
      return {grpc::StatusCode::DEADLINE_EXCEEDED, "the collector is too busy to answer"};
    *response = answer.get();
    return grpc::Status::OK;
  }

  void Answer(const std::function<v1::ListSandboxesResponse()>& list) {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = read(asked_.get(), &count, sizeof(count));
    std::vector<std::promise<v1::ListSandboxesResponse>> waiting;
    {
      const std::lock_guard lock(mutex_);
      waiting = std::exchange(waiting_, {});
    }
    if (waiting.empty())
      return;
    const v1::ListSandboxesResponse response = list();
    for (auto& one : waiting)
      one.set_value(response);
  }

  int event_fd() const { return asked_.get(); }

 private:
  UniqueFd asked_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex_;
  std::vector<std::promise<v1::ListSandboxesResponse>> waiting_;
};

struct ApiServer::Running {
  std::unique_ptr<grpc::Server> server;
};

ApiServer::ApiServer() : service_(std::make_unique<Service>()) {}

ApiServer::~ApiServer() {
  if (!running_)
    return;
  // Whoever waits still gets an answer, an empty one.
  Answer([] { return v1::ListSandboxesResponse(); });
  running_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  unlink(path_.c_str());
}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const std::string& path) {
  sockaddr_un address;
  if (path.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(absl::StrCat("the socket ", path, ": a path of at most ", sizeof(address.sun_path) - 1, " bytes"));
  if (SomebodyAnswers(path))
    return absl::AlreadyExistsError(absl::StrCat("the socket ", path, ": another collector answers there"));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  std::unique_ptr<ApiServer> api(new ApiServer());
  api->path_ = path;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("unix://" + path, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(api->service_.get());
  // Between bind and chmod nobody but us must be able to connect.
  const mode_t before = umask(0177);
  auto running = std::make_unique<Running>();
  running->server = builder.BuildAndStart();
  umask(before);
  if (!running->server || port == 0)
    return absl::UnavailableError(absl::StrCat("the socket ", path, ": cannot be made"));
  api->running_ = std::move(running);
  return api;
}

int ApiServer::event_fd() const { return service_->event_fd(); }

void ApiServer::Answer(const std::function<v1::ListSandboxesResponse()>& list) { service_->Answer(list); }

absl::StatusOr<v1::ListSandboxesResponse> ListSandboxes(const std::string& path) {
  grpc::ChannelArguments arguments;
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  const auto stub = v1::Collector::NewStub(grpc::CreateCustomChannel("unix://" + path, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kAnswerWithin);
  v1::ListSandboxesResponse response;
  const grpc::Status status = stub->ListSandboxes(&context, {}, &response);
  if (status.ok())
    return response;
  return absl::UnavailableError(absl::StrCat("no collector answers at ", path, " (", status.error_message(),
                                             "): is sandpiper run running, and are you root? --socket names another one"));
}

}  // namespace sandpiper
