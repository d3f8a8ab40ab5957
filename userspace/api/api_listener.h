// SPDX-License-Identifier: Apache-2.0
// The unix socket of the API. It accepts connections, checks the client's user, and hands the
// connections to gRPC, which cannot check users itself.
#ifndef SANDPIPER_USERSPACE_API_API_LISTENER_H_
#define SANDPIPER_USERSPACE_API_API_LISTENER_H_

#include <grpcpp/grpcpp.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/fd.h"

namespace sandpiper {

// Has a thread of its own. A gRPC server exists only while a client is connected: it would wake up
// twice a second otherwise.
class ApiListener {
 public:
  // Creates the socket, with access for its user only, and its folder. Clients must be root or that
  // user (SO_PEERCRED in unix(7)), even if the file's mode is changed later. `service` outlives the
  // listener. AlreadyExists: another collector uses the socket. InvalidArgument: the path is too
  // long.
  static absl::StatusOr<std::unique_ptr<ApiListener>> Start(const std::string& path,
                                                            grpc::Service* service);
  // Gives clients a moment to read the end of their calls, then disconnects them. The service must
  // end its calls by then.
  ~ApiListener();
  ApiListener(const ApiListener&) = delete;
  ApiListener& operator=(const ApiListener&) = delete;

 private:
  ApiListener(std::string path, UniqueFd socket, grpc::Service* service);

  void Run();
  // Waits for clients that hang up by themselves.
  void AwaitClients();
  // `polled` has one entry for each client, in the order of clients_.
  void DropClosed(std::span<const pollfd> polled);
  // False if gRPC cannot create a server.
  bool BeginServer();
  void EndServer();
  // Handles one round of poll(). False once the listener ends.
  bool Serve();
  void Accept();

  const std::string path_;
  const UniqueFd socket_;
  const UniqueFd ending_{eventfd(0, EFD_CLOEXEC)}, ended_{eventfd(0, EFD_CLOEXEC)};
  grpc::Service* const service_;
  // Used by the thread only.
  std::unique_ptr<grpc::Server> server_;
  std::vector<UniqueFd> clients_;  // duplicates of gRPC's descriptors
  std::thread thread_;             // declared last: it uses all other members
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_API_API_LISTENER_H_
