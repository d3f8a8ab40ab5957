// SPDX-License-Identifier: Apache-2.0
// The client of a running collector's API on its unix socket. All functions return Unavailable if
// no collector answers; the message says what to do.
#ifndef SANDPIPER_USERSPACE_API_API_CLIENT_H_
#define SANDPIPER_USERSPACE_API_API_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandpiper.grpc.pb.h"

namespace sandpiper {

class ApiClient {
 public:
  // Connects at the first request.
  explicit ApiClient(std::string path);

  absl::StatusOr<v1::ListSandboxesResponse> ListSandboxes(uint32_t destinations = 0);

  // Passes records to `take` until the collector has no more, or `take` returns false; both are OK.
  absl::Status Observe(const v1::ObserveRequest& request,
                       const std::function<bool(const v1::ObserveResponse&)>& take);

 private:
  absl::Status NotAnswering(const std::string& error) const;

  std::string path_;
  std::unique_ptr<v1::Collector::Stub> stub_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_API_API_CLIENT_H_
