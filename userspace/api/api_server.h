// Answers questions about the running collector on a unix socket. Clients are served by threads of gRPC; what they ask for is made by the
// event loop, when it gets to it: a client that hangs holds up nobody.
#ifndef SANDPIPER_USERSPACE_API_API_SERVER_H_
#define SANDPIPER_USERSPACE_API_API_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sandpiper.pb.h"

namespace sandpiper {

class ApiServer {
 public:
  // Makes the socket, readable and writable for root only, and its folder. AlreadyExists where somebody answers there already.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const std::string& path);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Readable when somebody waits for an answer.
  int event_fd() const;
  // Answers all who wait, in the calling thread.
  void Answer(const std::function<v1::ListSandboxesResponse()>& list);

 private:
  class Service;
  struct Running;

  ApiServer();

  std::string path_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Running> running_;
};

// Asks the collector at `path`. Unavailable, with what to do, where nobody answers.
absl::StatusOr<v1::ListSandboxesResponse> ListSandboxes(const std::string& path);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_API_API_SERVER_H_
