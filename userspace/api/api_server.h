// SPDX-License-Identifier: Apache-2.0
// The local API of the running collector (proto/sandpiper.proto) on a unix socket. Threads of gRPC
// serve the clients. Answers about the pipeline are made by the event loop in Answer(). A client
// that does not read delays neither the event loop nor other clients.
#ifndef SANDPIPER_USERSPACE_API_API_SERVER_H_
#define SANDPIPER_USERSPACE_API_API_SERVER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sandpiper.pb.h"
#include "userspace/api/api_listener.h"
#include "userspace/export/recent_records.h"

namespace sandpiper {

class ApiServer {
 public:
  // Creates the socket, see ApiListener for access and errors. `records` outlives the server.
  static absl::StatusOr<std::unique_ptr<ApiServer>> Start(const std::string& path,
                                                          RecentRecords* records);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Readable while a client waits for Answer().
  int event_fd() const;
  // Answers all waiting clients in the calling thread. `destinations`: the number of destinations
  // for each sandbox, the largest that a client asked for.
  using List = std::function<v1::ListSandboxesResponse(size_t destinations)>;
  void Answer(const List& list);

 private:
  class Service;

  ApiServer();

  std::unique_ptr<Service> service_;
  std::unique_ptr<ApiListener> listener_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_API_API_SERVER_H_
