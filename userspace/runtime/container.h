// SPDX-License-Identifier: Apache-2.0
// Metadata of a container. All texts may be chosen by a sandbox: they are raw here, and escaped
// when they enter a record.
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
  std::string source;   // socket of the runtime that reported it; empty for an OCI bundle
  Texts labels, annotations, environment;
  std::string network_of;  // id of the container that owns its network namespace; empty: itself
  bool pause = false;      // the pod's pause container, which only holds its namespaces

  struct Pod {
    std::string name, name_space, uid;
    Texts labels, annotations;
    bool operator==(const Pod&) const = default;
  };
  Pod pod;  // empty if the container is in no pod

  // False if parts are missing: an OCI bundle, for example, has no labels.
  bool complete = true;

  bool operator==(const Container&) const = default;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_RUNTIME_CONTAINER_H_
