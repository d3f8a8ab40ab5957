// SPDX-License-Identifier: Apache-2.0
// All container runtimes of the host. Two threads serve each of them, so that a runtime that hangs
// delays no other.
#ifndef SANDPIPER_USERSPACE_RUNTIME_RUNTIMES_H_
#define SANDPIPER_USERSPACE_RUNTIME_RUNTIMES_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "userspace/base/fd.h"
#include "userspace/runtime/container.h"

namespace sandpiper {

struct RuntimeSocket {
  enum class Api { kCri, kEngine };
  Api api = Api::kCri;
  std::string path;
  bool operator==(const RuntimeSocket&) const = default;
};

// The default sockets of containerd, k3s, CRI-O, Docker and Podman that exist on this host.
std::vector<RuntimeSocket> DefaultRuntimeSockets();

class Runtimes {
 public:
  // Requests for a container that a runtime does not know yet are repeated for `patience`.
  Runtimes(const std::vector<RuntimeSocket>& sockets, std::chrono::milliseconds patience);
  // Waits for running calls, at most for kCallTimeout.
  ~Runtimes();
  Runtimes(const Runtimes&) = delete;
  Runtimes& operator=(const Runtimes&) = delete;

  // Asks each runtime for the container. An answer, if any, is returned by Drain later.
  void Request(const std::string& container_id);

  // Readable when Drain or DrainProblems has something to return.
  int event_fd() const;
  // All containers that are new or changed since the last call.
  std::vector<Container> Drain();
  // Messages like "the runtime at /run/docker.sock: …": one each time that a runtime stops
  // answering or that its answer cannot be parsed.
  std::vector<std::string> DrainProblems();
  bool empty() const { return sources_.empty(); }

 private:
  class Source;
  struct Shared;

  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_RUNTIMES_H_
