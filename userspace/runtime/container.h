// SPDX-License-Identifier: Apache-2.0
// What a container runtime says of a container. All of its texts are chosen by others: raw here,
// escaped where they enter a record.
#ifndef SANDPIPER_USERSPACE_RUNTIME_CONTAINER_H_
#define SANDPIPER_USERSPACE_RUNTIME_CONTAINER_H_

#include <map>
#include <string>

namespace sandpiper {

struct Container {
  using Texts = std::map<std::string, std::string>;

  std::string id;
  std::string name;
  std::string image;
  std::string runtime;  // containerd, cri-o, docker, podman
  std::string source;   // who said so: the socket; empty for a bundle
  Texts labels, annotations, environment;
  std::string network_of;  // id of the container whose network namespace it shares; empty if none
  bool pause = false;      // holds the namespaces of a pod, and runs nothing of it

  struct Pod {
    std::string name, name_space, uid;
    Texts labels, annotations;
    bool operator==(const Pod&) const = default;
  };
  Pod pod;  // empty where there is none

  // False where only a part is known, as an OCI bundle has no labels.
  bool complete = true;

  bool operator==(const Container&) const = default;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_CONTAINER_H_
