// SPDX-License-Identifier: Apache-2.0
#include "userspace/api/api_server.h"

#include <fcntl.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "sandpiper.grpc.pb.h"
#include "userspace/base/event_loop_requests.h"
#include "userspace/base/fd.h"
#include "userspace/base/status.h"
#include "userspace/export/ndjson.h"

namespace sandpiper {
namespace {

constexpr std::chrono::seconds kAnswerWithin{10};
// How soon one who looks on is let go when its client, or the server, is gone.
constexpr std::chrono::milliseconds kLookAgain{200};
constexpr uint32_t kDestinationsMax = 100;
constexpr int kBacklog = 64;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool SomebodyAnswers(const std::string& path) {
  const sockaddr_un address = AddressOf(path);
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.ok() &&
         connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

absl::StatusOr<UniqueFd> Listen(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = AddressOf(path);
  unlink(path.c_str());
  // Between bind and chmod nobody but us must be able to connect.
  const mode_t before = umask(0177);
  const bool bound =
      fd.ok() && bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  const int error = errno;
  umask(before);
  if (!bound)
    return ErrnoStatus(error, absl::StrCat("the socket ", path));
  if (listen(fd.get(), kBacklog) != 0)
    return ErrnoStatus(errno, absl::StrCat("the socket ", path));
  return fd;
}

bool MayAsk(int client) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}

v1::ObserveResponse Tell(const LogRecord& record) {
  v1::ObserveResponse out;
  v1::Record* const told = out.mutable_record();
  told->set_time_unix_nano(record.time_unix_ns);
  told->set_severity_number(static_cast<int>(record.severity));
  told->set_event_name(std::string(record.event.view()));
  told->set_body(record.body);
  told->set_json(ToJson(record));
  return out;
}

}  // namespace

class ApiServer::Service : public v1::Collector::Service {
 public:
  explicit Service(RecentRecords* records) : records_(records) {}

  grpc::Status ListSandboxes(grpc::ServerContext*, const v1::ListSandboxesRequest* request,
                             v1::ListSandboxesResponse* response) override {
    uint32_t most = destinations_;
    const uint32_t wanted = std::min(request->destinations(), kDestinationsMax);
    while (most < wanted && !destinations_.compare_exchange_weak(most, wanted)) {
    }
    std::optional<v1::ListSandboxesResponse> answer = requests.Call(kAnswerWithin);
    if (!answer)
      return {grpc::StatusCode::DEADLINE_EXCEEDED, "the collector is too busy to answer"};
    *response = *std::move(answer);
    return grpc::Status::OK;
  }

  grpc::Status Observe(grpc::ServerContext* context, const v1::ObserveRequest* request,
                       grpc::ServerWriter<v1::ObserveResponse>* writer) override {
    RecordFilter filter = {.sandboxes = {request->sandboxes().begin(), request->sandboxes().end()},
                           .events = {request->events().begin(), request->events().end()},
                           .hosts = {request->hosts().begin(), request->hosts().end()},
                           .denied = request->denied(),
                           .since_unix_ns = request->since_unix_ns()};
    const auto watcher = records_->Watch(std::move(filter), request->last());
    if (!watcher.ok())
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, std::string(watcher.status().message())};
    while (!context->IsCancelled()) {
      const bool last = ending || !request->follow();
      const RecentRecords::Next next =
          (*watcher)->Wait(last ? std::chrono::milliseconds(0) : kLookAgain);
      v1::ObserveResponse response;
      if (next.record)
        response = Tell(*next.record);
      else if (next.missed > 0)
        response.set_missed(next.missed);
      else if (last)
        break;
      else
        continue;
      if (!writer->Write(response))
        break;
    }
    return grpc::Status::OK;
  }

  // What was asked for since the last time.
  size_t TakeDestinations() { return destinations_.exchange(0); }

  EventLoopRequests<v1::ListSandboxesResponse> requests;
  std::atomic<bool> ending = false;

 private:
  RecentRecords* const records_;
  std::atomic<uint32_t> destinations_ = 0;
};

// Accepts connections, looks who they are, and hands them to gRPC, which does not say who
// connected. A server of gRPC is there while somebody is connected: it wakes up twice a second for
// nothing.
class ApiServer::Listener {
 public:
  Listener(std::string path, UniqueFd socket, Service* service)
      : path_(std::move(path)),
        socket_(std::move(socket)),
        service_(service),
        thread_([this] { Run(); }) {}
  ~Listener() {
    Tell(ending_);
    thread_.join();
    unlink(path_.c_str());
  }

 private:
  static constexpr std::chrono::milliseconds kLeaveWithin{500}, kEndWithin{1'000};
  static constexpr size_t kClientsMax = 64;

  static void Tell(const UniqueFd& event) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = write(event.get(), &one, sizeof(one));
  }

  void Run() {
    while (Serve()) {
    }
    if (!server_)
      return;
    LetClientsGo();
    std::thread end([this] {
      EndServer();
      Tell(ended_);
    });
    // gRPC would wait for ever for what is on its way to a client that does not read.
    pollfd ended = {.fd = ended_.get(), .events = POLLIN, .revents = 0};
    if (poll(&ended, 1, kEndWithin.count()) == 0) {
      for (const UniqueFd& client : clients_)
        shutdown(client.get(), SHUT_RDWR);
    }
    end.join();
  }

  // Calls end by themselves now, and who has read that hangs up. gRPC would cut off one that has
  // not read it yet: what it sends meanwhile, an update of its window, meets a closed socket, and
  // it takes that for the end of the call.
  void LetClientsGo() {
    const auto deadline = std::chrono::steady_clock::now() + kLeaveWithin;
    while (!clients_.empty()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
      std::vector<pollfd> polled;
      for (const UniqueFd& client : clients_)
        polled.push_back({.fd = client.get(), .events = POLLRDHUP, .revents = 0});
      if (left.count() <= 0 ||
          poll(polled.data(), polled.size(), static_cast<int>(left.count())) <= 0)
        return;
      DropClosed(polled);
    }
  }

  // `polled`: of each client, in their order.
  void DropClosed(std::span<const pollfd> polled) {
    for (size_t i = clients_.size(); i-- > 0;) {
      if (polled[i].revents != 0)
        clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(i));
    }
  }

  // False: gRPC makes none, and who asks finds nobody.
  bool BeginServer() {
    if (server_)
      return true;
    grpc::ServerBuilder builder;
    builder.RegisterService(service_);
    server_ = builder.BuildAndStart();
    return server_ != nullptr;
  }
  void EndServer() {
    server_->Shutdown(std::chrono::system_clock::now() + kEndWithin);
    server_.reset();
  }

  // False: it ends.
  bool Serve() {
    std::vector<pollfd> polled = {{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                                  {.fd = ending_.get(), .events = POLLIN, .revents = 0}};
    for (const UniqueFd& client : clients_)
      polled.push_back({.fd = client.get(), .events = POLLRDHUP, .revents = 0});
    poll(polled.data(), polled.size(), -1);
    if (polled[1].revents != 0)
      return false;
    DropClosed(std::span(polled).subspan(2));
    if (polled[0].revents != 0)
      Accept();
    if (server_ && clients_.empty())
      EndServer();
    return true;
  }

  void Accept() {
    UniqueFd client(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.ok()) {
      if (errno == EMFILE || errno == ENFILE)
        std::this_thread::sleep_for(kLookAgain);  // the socket stays readable
      return;
    }
    UniqueFd ours(fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
    if (!ours.ok() || clients_.size() >= kClientsMax || !MayAsk(client.get()) || !BeginServer())
      return;
    clients_.push_back(std::move(ours));
    grpc::AddInsecureChannelFromFd(server_.get(), client.release());
  }

  const std::string path_;
  const UniqueFd socket_;
  const UniqueFd ending_{eventfd(0, EFD_CLOEXEC)}, ended_{eventfd(0, EFD_CLOEXEC)};
  Service* const service_;
  std::unique_ptr<grpc::Server> server_;  // the thread's, as all below
  std::vector<UniqueFd> clients_;         // gRPC has descriptors of its own
  std::thread thread_;                    // last: it uses all the others
};

ApiServer::ApiServer() = default;

ApiServer::~ApiServer() {
  if (!service_)
    return;
  service_->requests.Close();
  service_->ending = true;
}

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(const std::string& path,
                                                            RecentRecords* records) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return absl::InvalidArgumentError(absl::StrCat("the socket ", path, ": a path of at most ",
                                                   sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  if (SomebodyAnswers(path))
    return absl::AlreadyExistsError(
        absl::StrCat("the socket ", path, ": another collector answers there"));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  ASSIGN_OR_RETURN(UniqueFd socket, Listen(path));
  std::unique_ptr<ApiServer> api(new ApiServer());
  api->service_ = std::make_unique<Service>(records);
  api->listener_ = std::make_unique<Listener>(path, std::move(socket), api->service_.get());
  return api;
}

int ApiServer::event_fd() const { return service_->requests.event_fd(); }

void ApiServer::Answer(const List& list) {
  service_->requests.Serve([&] { return list(service_->TakeDestinations()); });
}

}  // namespace sandpiper
