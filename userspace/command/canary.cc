// SPDX-License-Identifier: Apache-2.0
// sandpiper canary: the test process of the self-test. It does one lookup over UDP and one TCP
// connection, both to itself. CanaryKeeper starts it in a network namespace of its own, so that
// nothing reaches a network and no other process can answer.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "userspace/base/fd.h"
#include "userspace/base/status.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"

namespace sandpiper {
namespace {

absl::Status Check(bool ok, const char* what) {
  return ok ? absl::OkStatus() : ErrnoStatus(errno, what);
}

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

absl::StatusOr<UniqueFd> Bound(int type, uint16_t port, sockaddr_in* address) {
  UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  *address = Loopback(port);
  socklen_t size = sizeof(*address);
  auto* generic = reinterpret_cast<sockaddr*>(address);
  RETURN_IF_ERROR(Check(
      fd.ok() && bind(fd.get(), generic, size) == 0 && getsockname(fd.get(), generic, &size) == 0,
      "bind"));
  return fd;
}

// A query for canary.invalid, type A (RFC 1035 4.1; RFC 6761 6.4), and its NXDOMAIN answer.
absl::Status LookUp(uint16_t port) {
  constexpr char kQuestion[] =
      "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06"
      "canary\x07"
      "invalid\x00\x00\x01\x00\x01";
  std::array<char, sizeof(kQuestion) - 1> message;
  sockaddr_in server, from;
  ASSIGN_OR_RETURN(const UniqueFd service, Bound(SOCK_DGRAM, port, &server));
  const UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto* to = reinterpret_cast<const sockaddr*>(&server);
  RETURN_IF_ERROR(Check(
      client.ok() && sendto(client.get(), kQuestion, message.size(), 0, to, sizeof(server)) > 0,
      "sending the query"));
  socklen_t size = sizeof(from);
  auto* asker = reinterpret_cast<sockaddr*>(&from);
  RETURN_IF_ERROR(
      Check(recvfrom(service.get(), message.data(), message.size(), 0, asker, &size) > 0,
            "receiving the query"));
  message[2] = static_cast<char>(0x81);
  message[3] = static_cast<char>(0x83);  // NXDOMAIN
  RETURN_IF_ERROR(Check(sendto(service.get(), message.data(), message.size(), 0, asker, size) > 0,
                        "sending the answer"));
  return Check(recv(client.get(), message.data(), message.size(), 0) > 0, "receiving the answer");
}

absl::Status Connect() {
  sockaddr_in server;
  ASSIGN_OR_RETURN(const UniqueFd service, Bound(SOCK_STREAM, 0, &server));
  RETURN_IF_ERROR(Check(listen(service.get(), 1) == 0, "listen"));
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  RETURN_IF_ERROR(Check(
      client.ok() &&
          connect(client.get(), reinterpret_cast<const sockaddr*>(&server), sizeof(server)) == 0,
      "connect"));
  const UniqueFd accepted(accept4(service.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return Check(accepted.ok(), "accept");
}

absl::Status RunSelfTest(uint16_t dns_port) {
  alarm(10);  // ends this process if anything hangs
  RETURN_IF_ERROR(LookUp(dns_port));
  return Connect();
}

}  // namespace

int RunCanary(uint16_t dns_port) {
  const absl::Status status = RunSelfTest(dns_port);
  return status.ok() ? 0
                     : Fail(absl::Status(status.code(),
                                         absl::StrCat("canary: ", std::string(status.message()))),
                            kExitFailure);
}

}  // namespace sandpiper
