// SPDX-License-Identifier: Apache-2.0
#include "userspace/api/api_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

constexpr std::chrono::seconds kAnswerTimeout{10};

std::unique_ptr<v1::Collector::Stub> Connect(const std::string& path) {
  grpc::ChannelArguments arguments;
  arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
  return v1::Collector::NewStub(
      grpc::CreateCustomChannel("unix://" + path, grpc::InsecureChannelCredentials(), arguments));
}

}  // namespace

ApiClient::ApiClient(std::string path) : path_(std::move(path)), stub_(Connect(path_)) {}

absl::Status ApiClient::NotAnswering(const std::string& what) const {
  return absl::UnavailableError(
      absl::StrCat("no collector answers at ", path_, " (", what,
                   "). Check that `sandpiper run` is running and that you are root. "
                   "--socket selects another socket"));
}

absl::StatusOr<v1::ListSandboxesResponse> ApiClient::ListSandboxes(uint32_t destinations) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kAnswerTimeout);
  v1::ListSandboxesRequest request;
  request.set_destinations(destinations);
  v1::ListSandboxesResponse response;
  const grpc::Status status = stub_->ListSandboxes(&context, request, &response);
  if (!status.ok())
    return NotAnswering(status.error_message());
  return response;
}

absl::Status ApiClient::Observe(const v1::ObserveRequest& request,
                                const std::function<bool(const v1::ObserveResponse&)>& take) {
  grpc::ClientContext context;
  const auto reader = stub_->Observe(&context, request);
  v1::ObserveResponse response;
  while (reader->Read(&response)) {
    if (!take(response)) {
      context.TryCancel();
      break;
    }
  }
  const grpc::Status status = reader->Finish();
  if (status.ok() || status.error_code() == grpc::StatusCode::CANCELLED)
    return absl::OkStatus();
  if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED)
    return absl::ResourceExhaustedError(status.error_message());
  return NotAnswering(status.error_message());
}

}  // namespace sandpiper
