// SPDX-License-Identifier: Apache-2.0
#include "userspace/api/api_listener.h"

#include <fcntl.h>
#include <grpcpp/server_posix.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

constexpr std::chrono::milliseconds kLeaveWithin{500};
constexpr std::chrono::milliseconds kEndWithin{1'000};
// Time before the next accept() when the process has no free descriptor.
constexpr std::chrono::milliseconds kAcceptPause{200};
constexpr size_t kClientsMax = 64;
constexpr int kBacklog = 64;

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

bool IsSocketInUse(const std::string& path) {
  const sockaddr_un address = AddressOf(path);
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd.ok() &&
         connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

// Removes the socket of a collector that has ended. Any other file stays: the path may be a
// mistake.
absl::Status RemoveOldSocket(const std::string& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0)
    return absl::OkStatus();  // bind() reports all other problems
  if (!S_ISSOCK(info.st_mode))
    return absl::FailedPreconditionError(
        absl::StrCat("the socket ", path, ": a file that is no socket has this name; it is kept"));
  unlink(path.c_str());
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> Listen(const std::string& path) {
  RETURN_IF_ERROR(RemoveOldSocket(path));
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un address = AddressOf(path);
  // The mode must be right from bind() on: a later chmod() would let others connect before it.
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

// Root and the collector's own user.
bool IsAllowed(int client) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  return getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == geteuid());
}

void Signal(const UniqueFd& event) {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(event.get(), &one, sizeof(one));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ApiListener>> ApiListener::Start(const std::string& path,
                                                                grpc::Service* service) {
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return absl::InvalidArgumentError(absl::StrCat("the socket ", path,
                                                   ": the path is longer than ",
                                                   sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  if (IsSocketInUse(path))
    return absl::AlreadyExistsError(
        absl::StrCat("the socket ", path, ": another collector uses it"));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  ASSIGN_OR_RETURN(UniqueFd socket, Listen(path));
  return std::unique_ptr<ApiListener>(new ApiListener(path, std::move(socket), service));
}

ApiListener::ApiListener(std::string path, UniqueFd socket, grpc::Service* service)
    : path_(std::move(path)),
      socket_(std::move(socket)),
      service_(service),
      thread_([this] { Run(); }) {}

ApiListener::~ApiListener() {
  Signal(ending_);
  thread_.join();
  RemoveOldSocket(path_).IgnoreError();
}

void ApiListener::Run() {
  while (Serve()) {
  }
  if (!server_)
    return;
  AwaitClients();
  std::thread end([this] {
    EndServer();
    Signal(ended_);
  });
  // gRPC would wait forever for a client that does not read.
  pollfd ended = {.fd = ended_.get(), .events = POLLIN, .revents = 0};
  if (poll(&ended, 1, kEndWithin.count()) == 0) {
    for (const UniqueFd& client : clients_)
      shutdown(client.get(), SHUT_RDWR);
  }
  end.join();
}

// All calls end now, and a client hangs up once it has read the end of its call. Shutting gRPC down
// earlier would cut off a client that has not: it sends a window update to a closed socket, and
// takes the error for the result of its call.
void ApiListener::AwaitClients() {
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

void ApiListener::DropClosed(std::span<const pollfd> polled) {
  for (size_t i = clients_.size(); i-- > 0;) {
    if (polled[i].revents != 0)
      clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(i));
  }
}

bool ApiListener::BeginServer() {
  if (server_)
    return true;
  grpc::ServerBuilder builder;
  builder.RegisterService(service_);
  server_ = builder.BuildAndStart();
  return server_ != nullptr;
}

void ApiListener::EndServer() {
  server_->Shutdown(std::chrono::system_clock::now() + kEndWithin);
  server_.reset();
}

bool ApiListener::Serve() {
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

void ApiListener::Accept() {
  UniqueFd client(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client.ok()) {
    if (errno == EMFILE || errno == ENFILE)
      std::this_thread::sleep_for(kAcceptPause);  // the socket stays readable
    return;
  }
  UniqueFd ours(fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
  if (!ours.ok() || clients_.size() >= kClientsMax || !IsAllowed(client.get()) || !BeginServer())
    return;
  clients_.push_back(std::move(ours));
  grpc::AddInsecureChannelFromFd(server_.get(), client.release());
}

}  // namespace sandpiper
