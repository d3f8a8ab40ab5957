// SPDX-License-Identifier: Apache-2.0
// Answers questions about the running collector on a unix socket. Clients are served by threads of
// gRPC; what they ask of the pipeline is made by the event loop, when it gets to it: a client that
// hangs holds up nobody.
#ifndef SANDPIPER_USERSPACE_API_API_SERVER_H_
#define SANDPIPER_USERSPACE_API_API_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sandpiper.pb.h"
#include "userspace/export/recent_records.h"

namespace sandpiper {

class ApiServer {
 public:
  // Makes the socket, readable and writable for its user only, and its folder. Who connects must be
  // root or that user (SO_PEERCRED in unix(7)), whatever the file's mode is by then. AlreadyExists
  // where somebody answers there already. `records` outlives the server.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const std::string& path,
                                                          RecentRecords* records);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Readable when somebody waits for an answer.
  int event_fd() const;
  // Answers all who wait, in the calling thread. `destinations`: of each sandbox, as somebody asked
  // for.
  using List = std::function<v1::ListSandboxesResponse(size_t destinations)>;
  void Answer(const List& list);

 private:
  class Service;
  class Listener;

  ApiServer();

  std::unique_ptr<Service> service_;
  std::unique_ptr<Listener> listener_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_API_API_SERVER_H_
