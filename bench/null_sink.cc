// SPDX-License-Identifier: Apache-2.0
// null_sink: accepts OTLP over gRPC and HTTP/1.1 without reading the bodies. It listens on free
// ports of 127.0.0.1 and prints "GRPC_PORT HTTP_PORT". At the end of its stdin it prints the bytes
// of all bodies and ends.
#include <arpa/inet.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <string>
#include <thread>

namespace {

std::atomic<uint64_t> bytes = 0;

class Discard : public grpc::CallbackGenericService {
  class Call : public grpc::ServerGenericBidiReactor {
   public:
    Call() { StartRead(&request_); }

   private:
    void OnReadDone(bool ok) override {
      if (!ok)
        return;
      bytes += request_.Length();
      const grpc::Slice nothing;
      answer_ = grpc::ByteBuffer(&nothing, 1);
      StartWriteAndFinish(&answer_, {}, grpc::Status::OK);
    }
    void OnDone() override { delete this; }

    grpc::ByteBuffer request_, answer_;
  };

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    return new Call();
  }
};

// Serves one connection: requests with a Content-Length, one after another.
void ServeHttp(int fd) {
  static constexpr char kAnswer[] =
      "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
  std::string data;
  char part[1 << 16];
  while (true) {
    size_t end;
    while ((end = data.find("\r\n\r\n")) == std::string::npos) {
      const ssize_t n = read(fd, part, sizeof(part));
      if (n <= 0) {
        close(fd);
        return;
      }
      data.append(part, static_cast<size_t>(n));
    }
    const char* const length = strcasestr(data.c_str(), "content-length:");
    size_t left = length ? static_cast<size_t>(atoll(length + strlen("content-length:"))) : 0;
    if (strcasestr(data.substr(0, end).c_str(), "expect: 100-continue") &&
        write(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25) != 25)
      return;
    bytes += left;
    const size_t there = data.size() - end - 4;
    left -= std::min(left, there);
    while (left > 0) {
      const ssize_t n = read(fd, part, std::min(sizeof(part), left));
      if (n <= 0)
        return;
      left -= static_cast<size_t>(n);
    }
    data.clear();
    if (write(fd, kAnswer, sizeof(kAnswer) - 1) < 0)
      return;
  }
}

}  // namespace

int main() {
  Discard service;
  int grpc_port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &grpc_port);
  builder.RegisterCallbackGenericService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();

  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof(address);
  if (!server || bind(listener, reinterpret_cast<sockaddr*>(&address), size) ||
      listen(listener, 16) || getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size)) {
    perror("null_sink");
    return 1;
  }
  std::thread([listener] {
    while (true) {
      if (const int fd = accept(listener, nullptr, nullptr); fd >= 0)
        std::thread(ServeHttp, fd).detach();
    }
  }).detach();
  printf("%d %d\n", grpc_port, ntohs(address.sin_port));
  fflush(stdout);
  std::cin.ignore(std::numeric_limits<std::streamsize>::max());
  printf("%llu\n", static_cast<unsigned long long>(bytes.load()));
  fflush(stdout);
  _exit(0);
}
