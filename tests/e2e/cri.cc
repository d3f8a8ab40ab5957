// SPDX-License-Identifier: Apache-2.0
// cri SOCKET COMMAND [ID] [JSON]: creates and removes pods and containers through the Container
// Runtime Interface, as kubelet does. With the command `serve` it is a container runtime itself,
// which answers from a file.
//
//   cri SOCKET pod JSON: creates a pod and prints its id.
//       JSON: {"name", "namespace", "uid", "labels": {…}, "annotations": {…}, "cgroup_parent",
//       "log_directory", "host_pid"}.
//   cri SOCKET container POD JSON: creates a container in a pod and prints its id.
//       JSON: {"name", "image", "command": […], "args": […], "labels": {…}, "annotations": {…},
//       "env": {…}, "mounts": [{"host", "container", "readonly"}], "add": […], "privileged",
//       "readonly_root", "unconfined", "host_pid", "log_path", "pod": JSON of the pod}.
//   cri SOCKET start|remove CONTAINER.
//   cri SOCKET stop CONTAINER [SECONDS]: kills it after so many seconds.
//   cri SOCKET stop-pod|remove-pod POD.
//   cri SOCKET serve FILE.
//       FILE: {"pods": [{"id", …}], "containers": [{"id", "pod", …}], "delay_ms": N,
//       "events": [{"id", "pod": {…}, …}]}. It is read again for each call. A stream of events
//       sends those of the file and stays open.
#include <grpcpp/grpcpp.h>
#include <rapidjson/document.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "cri.grpc.pb.h"

namespace {

namespace cri = runtime::v1;
using Json = rapidjson::Value;

[[noreturn]] void Die(const std::string& why) {
  fprintf(stderr, "cri: %s\n", why.c_str());
  exit(1);
}

// A string "hex:…" represents bytes that JSON cannot hold.
std::string Bytes(const Json& value) {
  std::string text(value.GetString(), value.GetStringLength());
  if (text.rfind("hex:", 0) != 0)
    return text;
  std::string out;
  for (size_t i = 4; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return out;
}

std::string Get(const Json& object, const char* key) {
  const auto it = object.FindMember(key);
  return it == object.MemberEnd() ? "" : Bytes(it->value);
}

template <typename Add>
void ForEach(const Json& object, const char* key, Add add) {
  if (const auto it = object.FindMember(key); it != object.MemberEnd()) {
    for (const auto& member : it->value.GetObject()) {
      cri::Text* text = add();
      text->set_key(Bytes(member.name));
      text->set_value(Bytes(member.value));
    }
  }
}

template <typename Message>
void FillTexts(const Json& spec, Message* message) {
  ForEach(spec, "labels", [&] { return message->add_labels(); });
  ForEach(spec, "annotations", [&] { return message->add_annotations(); });
}

template <typename Message>
void FillPod(const Json& spec, Message* message) {
  message->mutable_metadata()->set_name(Get(spec, "name"));
  message->mutable_metadata()->set_namespace_(Get(spec, "namespace"));
  message->mutable_metadata()->set_uid(Get(spec, "uid"));
  FillTexts(spec, message);
}

template <typename Add>
void ForEachText(const Json& object, const char* key, Add add) {
  if (const auto it = object.FindMember(key); it != object.MemberEnd()) {
    for (const auto& entry : it->value.GetArray())
      add(Bytes(entry));
  }
}

bool IsSet(const Json& object, const char* key) {
  const auto it = object.FindMember(key);
  return it != object.MemberEnd() && it->value.GetBool();
}

// NamespaceMode in api.proto.
constexpr int kContainerPid = 1;
constexpr int kNodePid = 2;

void FillSecurity(const Json& spec, cri::ContainerConfig* config) {
  if (const auto mounts = spec.FindMember("mounts"); mounts != spec.MemberEnd()) {
    for (const auto& mount : mounts->value.GetArray()) {
      cri::Mount* const out = config->add_mounts();
      out->set_host_path(Get(mount, "host"));
      out->set_container_path(Get(mount, "container"));
      out->set_readonly(IsSet(mount, "readonly"));
    }
  }
  if (!spec.HasMember("add") && !IsSet(spec, "privileged"))
    return;
  cri::LinuxContainerSecurityContext* const context =
      config->mutable_linux()->mutable_security_context();
  ForEachText(spec, "add", [&](const std::string& name) {
    context->mutable_capabilities()->add_add_capabilities(name);
  });
  context->mutable_capabilities()->add_drop_capabilities("ALL");
  context->set_privileged(IsSet(spec, "privileged"));
  context->mutable_run_as_user()->set_value(0);
  context->set_readonly_rootfs(IsSet(spec, "readonly_root"));
  context->set_no_new_privs(!IsSet(spec, "privileged"));
  context->mutable_namespace_options()->set_pid(IsSet(spec, "host_pid") ? kNodePid : kContainerPid);
  if (IsSet(spec, "unconfined")) {
    context->mutable_seccomp()->set_profile_type(1);
    context->mutable_apparmor()->set_profile_type(1);
  }
}

rapidjson::Document Parse(const std::string& text) {
  rapidjson::Document document;
  document.Parse(text.data(), text.size());
  if (document.HasParseError() || !document.IsObject())
    Die("not a JSON object: " + text.substr(0, 100));
  return document;
}

class Client {
 public:
  explicit Client(const std::string& socket) {
    grpc::ChannelArguments arguments;
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    stub_ = cri::RuntimeService::NewStub(grpc::CreateCustomChannel(
        "unix://" + socket, grpc::InsecureChannelCredentials(), arguments));
  }

  void Pod(const std::string& json) {
    const rapidjson::Document spec = Parse(json);
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = ConfigOf(spec);
    cri::RunPodSandboxResponse response;
    Call([&](grpc::ClientContext* c) { return stub_->RunPodSandbox(c, request, &response); });
    puts(response.pod_sandbox_id().c_str());
  }

  // Like kubelet, sends the pod's configuration with each container if the JSON has it.
  void Container(const std::string& pod, const std::string& json) {
    const rapidjson::Document spec = Parse(json);
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod);
    cri::ContainerConfig* config = request.mutable_config();
    config->mutable_metadata()->set_name(Get(spec, "name"));
    config->mutable_image()->set_image(Get(spec, "image"));
    ForEachText(spec, "command", [&](const std::string& word) { config->add_command(word); });
    ForEachText(spec, "args", [&](const std::string& word) { config->add_args(word); });
    FillSecurity(spec, config);
    config->set_log_path(Get(spec, "log_path"));
    FillTexts(spec, config);
    ForEach(spec, "env", [&] { return config->add_envs(); });
    if (spec.HasMember("pod"))
      *request.mutable_sandbox_config() = ConfigOf(spec["pod"]);
    cri::CreateContainerResponse response;
    Call([&](grpc::ClientContext* c) { return stub_->CreateContainer(c, request, &response); });
    puts(response.container_id().c_str());
  }

  void OnContainer(const std::string& command, const std::string& id, int seconds) {
    cri::ContainerIdRequest request;
    request.set_container_id(id);
    request.set_timeout(seconds);
    cri::Nothing nothing;
    Call([&](grpc::ClientContext* c) {
      if (command == "start")
        return stub_->StartContainer(c, request, &nothing);
      if (command == "stop")
        return stub_->StopContainer(c, request, &nothing);
      return stub_->RemoveContainer(c, request, &nothing);
    });
  }

  void OnPod(const std::string& command, const std::string& id) {
    cri::PodSandboxIdRequest request;
    request.set_pod_sandbox_id(id);
    cri::Nothing nothing;
    Call([&](grpc::ClientContext* c) {
      return command == "stop-pod" ? stub_->StopPodSandbox(c, request, &nothing)
                                   : stub_->RemovePodSandbox(c, request, &nothing);
    });
  }

 private:
  static cri::PodSandboxConfig ConfigOf(const Json& spec) {
    cri::PodSandboxConfig config;
    FillPod(spec, &config);
    config.set_log_directory(Get(spec, "log_directory"));
    config.mutable_linux()->set_cgroup_parent(Get(spec, "cgroup_parent"));
    if (IsSet(spec, "host_pid"))
      config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
          kNodePid);
    return config;
  }

  template <typename Method>
  void Call(Method method) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::minutes(2));
    const grpc::Status status = method(&context);
    if (!status.ok())
      Die(status.error_message());
  }

  std::unique_ptr<cri::RuntimeService::Stub> stub_;
};

class Server : public cri::RuntimeService::Service {
 public:
  explicit Server(std::string file) : file_(std::move(file)) {}

  grpc::Status Version(grpc::ServerContext*, const cri::VersionRequest*,
                       cri::VersionResponse* response) override {
    response->set_runtime_name("fake");
    return grpc::Status::OK;
  }

  grpc::Status ListPodSandbox(grpc::ServerContext*, const cri::ListPodSandboxRequest* request,
                              cri::ListPodSandboxResponse* response) override {
    const rapidjson::Document state = Read();
    for (const auto& spec : state["pods"].GetArray()) {
      if (!request->filter().id().empty() && request->filter().id() != Get(spec, "id"))
        continue;
      cri::PodSandbox* pod = response->add_items();
      pod->set_id(Get(spec, "id"));
      FillPod(spec, pod);
    }
    return grpc::Status::OK;
  }

  grpc::Status ListContainers(grpc::ServerContext*, const cri::ListContainersRequest* request,
                              cri::ListContainersResponse* response) override {
    const rapidjson::Document state = Read();
    for (const auto& spec : state["containers"].GetArray()) {
      if (!request->filter().id().empty() && request->filter().id() != Get(spec, "id"))
        continue;
      cri::Container* container = response->add_containers();
      container->set_id(Get(spec, "id"));
      container->set_pod_sandbox_id(Get(spec, "pod"));
      container->mutable_metadata()->set_name(Get(spec, "name"));
      container->mutable_image()->set_image(Get(spec, "image"));
      FillTexts(spec, container);
    }
    return grpc::Status::OK;
  }

  grpc::Status GetContainerEvents(
      grpc::ServerContext* context, const cri::Nothing*,
      grpc::ServerWriter<cri::ContainerEventResponse>* writer) override {
    const rapidjson::Document state = Read();
    const auto events = state.FindMember("events");
    if (events == state.MemberEnd())
      return {grpc::StatusCode::UNIMPLEMENTED, "no events"};
    for (const auto& spec : events->value.GetArray()) {
      cri::ContainerEventResponse event;
      event.set_container_id(Get(spec, "id"));
      FillPod(spec["pod"], event.mutable_pod_sandbox_status());
      cri::ContainerStatus* container = event.add_containers_statuses();
      container->set_id(Get(spec, "id"));
      container->mutable_metadata()->set_name(Get(spec, "name"));
      container->mutable_image()->set_image(Get(spec, "image"));
      FillTexts(spec, container);
      writer->Write(event);
    }
    while (!context->IsCancelled())
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return grpc::Status::OK;
  }

 private:
  rapidjson::Document Read() const {
    std::ifstream in(file_, std::ios::binary);
    rapidjson::Document state = Parse(std::string(std::istreambuf_iterator<char>(in), {}));
    if (const auto delay = state.FindMember("delay_ms"); delay != state.MemberEnd())
      std::this_thread::sleep_for(std::chrono::milliseconds(delay->value.GetInt()));
    return state;
  }

  std::string file_;
};

void Serve(const std::string& socket, const std::string& file) {
  Server service(file);
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix://" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server)
    Die("cannot listen at " + socket);
  puts("ready");
  fflush(stdout);
  server->Wait();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4)
    Die("usage: cri SOCKET COMMAND [ID] [JSON]");
  const std::string socket = argv[1];
  const std::string command = argv[2];
  const std::string argument = argv[3];
  if (command == "serve") {
    Serve(socket, argument);
    return 0;
  }
  Client client(socket);
  if (command == "pod")
    client.Pod(argument);
  else if (command == "container" && argc > 4)
    client.Container(argument, argv[4]);
  else if (command == "start" || command == "stop" || command == "remove")
    client.OnContainer(command, argument, argc > 4 ? std::stoi(argv[4]) : 0);
  else if (command == "stop-pod" || command == "remove-pod")
    client.OnPod(command, argument);
  else
    Die("unknown command \"" + command + "\"");
  return 0;
}
