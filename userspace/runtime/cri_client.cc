// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/grpcpp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cri.grpc.pb.h"
#include "userspace/base/fd.h"
#include "userspace/base/status.h"
#include "userspace/runtime/cri_replies.h"
#include "userspace/runtime/runtime_client.h"

namespace sandpiper {
namespace {

namespace cri = runtime::v1;

// The name that Version returns: "containerd" or "cri-o".
std::string RuntimeName(const std::string& name) { return name.empty() ? "cri" : name; }

absl::Status ToStatus(const grpc::Status& status, const char* call) {
  const std::string message = absl::StrCat(call, ": ", status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return absl::OkStatus();
    case grpc::StatusCode::UNIMPLEMENTED:
      return absl::UnimplementedError(message);
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return absl::UnavailableError(message);
    default:
      return absl::InternalError(message);
  }
}

// Whether something listens at the socket. gRPC may hold a call back until its deadline while it
// tries to connect. A runtime that comes back within that time would never be reported as missing.
absl::Status CheckListener(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(absl::StrCat(path, ": the path is too long for a socket"));
  std::memcpy(address.sun_path, path.data(), path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.ok() || connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)))
    return absl::UnavailableError(std::string(ErrnoStatus(errno, "connecting").message()));
  return absl::OkStatus();
}

class CriClient : public RuntimeClient {
 public:
  explicit CriClient(const std::string& socket) : socket_(socket) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(static_cast<int>(kAnswerMax));
    // Reconnect quickly: the runtime may restart at any time.
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
    // gRPC would send the path of the socket, which is no valid authority.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    channel_ = grpc::CreateCustomChannel("unix://" + socket, grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = cri::RuntimeService::NewStub(channel_);
  }

  absl::StatusOr<std::optional<Container>> Find(const std::string& id) override {
    RETURN_IF_ERROR(LearnName());
    cri::ListContainersRequest request;
    request.mutable_filter()->set_id(id);
    cri::ListContainersResponse containers;
    RETURN_IF_ERROR(Call("ListContainers", [&](grpc::ClientContext* c) {
      return stub_->ListContainers(c, request, &containers);
    }));
    // The id of its pod. A pause container has the id of its pod.
    std::string pod = id;
    for (const cri::Container& container : containers.containers()) {
      if (container.id() == id)
        pod = container.pod_sandbox_id();
    }
    ASSIGN_OR_RETURN(const cri::ListPodSandboxResponse pods, Pods(pod));
    for (Container& container : ContainersOfLists(containers, pods)) {
      if (container.id == id)
        return Named(std::move(container));
    }
    return std::nullopt;
  }

  absl::StatusOr<std::vector<Container>> List() override {
    RETURN_IF_ERROR(LearnName());
    cri::ListContainersResponse containers;
    RETURN_IF_ERROR(Call("ListContainers", [&](grpc::ClientContext* c) {
      return stub_->ListContainers(c, {}, &containers);
    }));
    ASSIGN_OR_RETURN(const cri::ListPodSandboxResponse pods, Pods(""));
    std::vector<Container> out = ContainersOfLists(containers, pods);
    for (Container& container : out)
      container.runtime = name();
    return out;
  }

  absl::Status Follow(const std::atomic<bool>& stop,
                      const std::function<void(Container)>& report) override {
    while (!stop) {
      // The deadline gives a chance to check `stop`. Events between two streams are lost, but each
      // new cgroup leads to a request of its own.
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
      const auto stream = stub_->GetContainerEvents(&context, {});
      for (cri::ContainerEventResponse event; stream->Read(&event);) {
        for (Container& container : ContainersOfEvent(event))
          report(Named(std::move(container)));
      }
      const grpc::Status status = stream->Finish();
      if (!status.ok() && status.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED)
        return ToStatus(status, "GetContainerEvents");
    }
    return absl::OkStatus();
  }

 private:
  template <typename Method>
  absl::Status Call(const char* name, Method method) {
    if (channel_->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY)
      RETURN_IF_ERROR(CheckListener(socket_));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
    return ToStatus(method(&context), name);
  }

  absl::Status LearnName() {
    const std::lock_guard lock(mutex_);
    if (!name_.empty())
      return absl::OkStatus();
    cri::VersionResponse version;
    RETURN_IF_ERROR(
        Call("Version", [&](grpc::ClientContext* c) { return stub_->Version(c, {}, &version); }));
    name_ = RuntimeName(version.runtime_name());
    return absl::OkStatus();
  }

  std::string name() {
    const std::lock_guard lock(mutex_);
    return RuntimeName(name_);
  }

  Container Named(Container container) {
    container.runtime = name();
    return container;
  }

  // All pods if `id` is empty.
  absl::StatusOr<cri::ListPodSandboxResponse> Pods(const std::string& id) {
    cri::ListPodSandboxRequest request;
    if (!id.empty())
      request.mutable_filter()->set_id(id);
    cri::ListPodSandboxResponse response;
    RETURN_IF_ERROR(Call("ListPodSandbox", [&](grpc::ClientContext* c) {
      return stub_->ListPodSandbox(c, request, &response);
    }));
    return response;
  }

  const std::string socket_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<cri::RuntimeService::Stub> stub_;
  std::mutex mutex_;
  std::string name_;
};

}  // namespace

std::unique_ptr<RuntimeClient> MakeCriClient(const std::string& socket) {
  return std::make_unique<CriClient>(socket);
}

}  // namespace sandpiper
