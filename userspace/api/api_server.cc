// SPDX-License-Identifier: Apache-2.0
#include "userspace/api/api_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "sandpiper.grpc.pb.h"
#include "userspace/base/event_loop_requests.h"
#include "userspace/base/status.h"
#include "userspace/export/ndjson.h"

namespace sandpiper {
namespace {

constexpr std::chrono::seconds kAnswerTimeout{10};
// Interval in which Observe checks whether its client or the server has ended.
constexpr std::chrono::milliseconds kObservePause{200};
constexpr uint32_t kDestinationsMax = 100;

v1::ObserveResponse ToProto(const LogRecord& record) {
  v1::ObserveResponse out;
  v1::Record* const converted = out.mutable_record();
  converted->set_time_unix_nano(record.time_unix_ns);
  converted->set_severity_number(static_cast<int>(record.severity));
  converted->set_event_name(std::string(record.event.view()));
  converted->set_body(record.body);
  converted->set_json(ToJson(record));
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
    std::optional<v1::ListSandboxesResponse> answer = requests.Call(kAnswerTimeout);
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
          (*watcher)->Wait(last ? std::chrono::milliseconds(0) : kObservePause);
      v1::ObserveResponse response;
      if (next.record)
        response = ToProto(*next.record);
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

  // The largest number of destinations that a client asked for since the last call.
  size_t TakeDestinations() { return destinations_.exchange(0); }

  EventLoopRequests<v1::ListSandboxesResponse> requests;
  std::atomic<bool> ending = false;

 private:
  RecentRecords* const records_;
  std::atomic<uint32_t> destinations_ = 0;
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
  std::unique_ptr<ApiServer> api(new ApiServer());
  api->service_ = std::make_unique<Service>(records);
  ASSIGN_OR_RETURN(api->listener_, ApiListener::Start(path, api->service_.get()));
  return api;
}

int ApiServer::event_fd() const { return service_->requests.event_fd(); }

void ApiServer::Answer(const List& list) {
  service_->requests.Serve([&] { return list(service_->TakeDestinations()); });
}

}  // namespace sandpiper
