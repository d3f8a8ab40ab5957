#include "userspace/api/api_server.h"

#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sandpiper.grpc.pb.h"
#include "userspace/base/fd.h"
#include "userspace/base/questions.h"
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
    std::optional<v1::ListSandboxesResponse> answer = questions.Ask(kAnswerWithin);
    if (!answer)
      return {grpc::StatusCode::DEADLINE_EXCEEDED, "the collector is too busy to answer"};
    *response = *std::move(answer);
    return grpc::Status::OK;
  }

  Questions<v1::ListSandboxesResponse> questions;
};

struct ApiServer::Running {
  std::unique_ptr<grpc::Server> server;
};

ApiServer::ApiServer() : service_(std::make_unique<Service>()) {}

ApiServer::~ApiServer() {
  if (!running_)
    return;
  service_->questions.Close();
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

int ApiServer::event_fd() const { return service_->questions.event_fd(); }

void ApiServer::Answer(const std::function<v1::ListSandboxesResponse()>& list) { service_->questions.Answer(list); }

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
