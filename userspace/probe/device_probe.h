// SPDX-License-Identifier: Apache-2.0
// The probe on one network device, for a sandbox with its own kernel, such as a microVM. Probes
// owns one object for each watched device. The thread of the event loop calls it.
#ifndef SANDPIPER_USERSPACE_PROBE_DEVICE_PROBE_H_
#define SANDPIPER_USERSPACE_PROBE_DEVICE_PROBE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bpf/events.h"
#include "userspace/base/fd.h"
#include "userspace/probe/program_runs.h"

struct bpf_object;
struct device_bpf;

namespace sandpiper {

class DeviceProbe {
 public:
  // All mechanisms, best first.
  static std::vector<std::string> Mechanisms();

  // Attaches to the device with this index in the network namespace of the calling thread. Its
  // traffic is attributed to `owner`. Uses the maps of `object`, which the caller owns and which
  // must outlive this object. `avoid` excludes mechanisms. The probe is detached when this object
  // is destroyed or the process ends. FailedPrecondition, with the reason of each mechanism, if
  // none works.
  static absl::StatusOr<std::unique_ptr<DeviceProbe>> Attach(
      bpf_object* object, const std::vector<std::string>& avoid, unsigned ifindex,
      const owner& owner, const std::vector<uint16_t>& dns_ports);
  ~DeviceProbe();
  DeviceProbe(const DeviceProbe&) = delete;
  DeviceProbe& operator=(const DeviceProbe&) = delete;

  void AppendRuns(std::vector<ProgramRuns>* out) const;

  const std::string& mechanism() const { return mechanism_; }
  // Why better mechanisms are not in use; empty if the best one is.
  const std::string& reason() const { return reason_; }

 private:
  struct SkeletonDeleter {
    void operator()(device_bpf* skeleton) const;
  };

  DeviceProbe() = default;
  absl::Status Load(bpf_object* object, bool packet_socket, unsigned ifindex, const owner& owner,
                    const std::vector<uint16_t>& dns_ports);
  absl::Status AttachTcx(unsigned ifindex);
  absl::Status AttachPacketSocket(unsigned ifindex);

  std::unique_ptr<device_bpf, SkeletonDeleter> skeleton_;
  // two bpf_links (tcx) or one packet socket
  std::array<UniqueFd, 2> held_;
  std::string mechanism_, reason_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_DEVICE_PROBE_H_
