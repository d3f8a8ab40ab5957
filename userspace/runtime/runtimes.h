// SPDX-License-Identifier: Apache-2.0
// All container runtimes of the host, each asked by threads of its own: one that hangs holds up
// nobody.
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

// Where containerd, k3s, CRI-O, Docker and Podman have theirs; only those that are there.
std::vector<RuntimeSocket> DefaultRuntimeSockets();

class Runtimes {
 public:
  // `patience`: how long a container that a runtime does not know yet is asked for again.
  Runtimes(const std::vector<RuntimeSocket>& sockets, std::chrono::milliseconds patience);
  // Waits for calls that are under way: no longer than the timeout of one.
  ~Runtimes();
  Runtimes(const Runtimes&) = delete;
  Runtimes& operator=(const Runtimes&) = delete;

  // What each runtime says of the container comes with Take, sooner or later, or never.
  void Ask(const std::string& container_id);

  // Readable when Take has something.
  int event_fd() const;
  // What is new or has changed, of any container.
  std::vector<Container> Take();
  // "the runtime at /run/docker.sock: …", once for each time that one stops to answer, or answers
  // what cannot be understood.
  std::vector<std::string> TakeProblems();
  bool empty() const { return sources_.empty(); }

 private:
  class Source;
  struct Shared;

  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_RUNTIMES_H_
