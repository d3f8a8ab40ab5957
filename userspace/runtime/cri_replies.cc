// SPDX-License-Identifier: Apache-2.0
#include "userspace/runtime/cri_replies.h"

#include <map>
#include <string>
#include <utility>

namespace sandpiper {
namespace {

namespace cri = runtime::v1;

template <typename Pairs>
Container::Texts ToTexts(const Pairs& pairs) {
  Container::Texts out;
  for (const cri::Text& pair : pairs)
    out.emplace(pair.key(), pair.value());
  return out;
}

// Of a list, or of an event.
template <typename Pod>
Container::Pod ToPod(const Pod& pod) {
  return {.name = pod.metadata().name(),
          .name_space = pod.metadata().namespace_(),
          .uid = pod.metadata().uid(),
          .labels = ToTexts(pod.labels()),
          .annotations = ToTexts(pod.annotations())};
}

template <typename One>
Container ToContainer(const One& container, Container::Pod pod) {
  Container out;
  out.id = container.id();
  out.name = container.metadata().name();
  out.image = container.image().image();
  out.labels = ToTexts(container.labels());
  out.annotations = ToTexts(container.annotations());
  out.pod = std::move(pod);
  return out;
}

}  // namespace

std::vector<Container> ContainersOfLists(const cri::ListContainersResponse& containers,
                                         const cri::ListPodSandboxResponse& pods) {
  std::vector<Container> out;
  std::map<std::string, const cri::PodSandbox*> by_id;
  for (const cri::PodSandbox& pod : pods.items()) {
    by_id[pod.id()] = &pod;
    Container pause;
    pause.id = pod.id();
    pause.pause = true;
    pause.pod = ToPod(pod);
    out.push_back(std::move(pause));
  }
  for (const cri::Container& container : containers.containers()) {
    const auto pod = by_id.find(container.pod_sandbox_id());
    out.push_back(
        ToContainer(container, pod == by_id.end() ? Container::Pod() : ToPod(*pod->second)));
  }
  return out;
}

std::vector<Container> ContainersOfEvent(const cri::ContainerEventResponse& event) {
  std::vector<Container> out;
  for (const cri::ContainerStatus& status : event.containers_statuses())
    out.push_back(ToContainer(status, ToPod(event.pod_sandbox_status())));
  return out;
}

}  // namespace sandpiper
