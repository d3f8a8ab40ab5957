// SPDX-License-Identifier: Apache-2.0
// Asks a running collector on its unix socket. Errors: Unavailable, with what to do, where nobody
// answers.
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
  // Connects when something is asked.
  explicit ApiClient(std::string path);

  absl::StatusOr<v1::ListSandboxesResponse> ListSandboxes(uint32_t destinations = 0);

  // Until the collector has no more to tell, or `take` returns false, which is fine.
  absl::Status Observe(const v1::ObserveRequest& request,
                       const std::function<bool(const v1::ObserveResponse&)>& take);

 private:
  absl::Status Explain(const std::string& what) const;

  std::string path_;
  std::unique_ptr<v1::Collector::Stub> stub_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_API_API_CLIENT_H_
