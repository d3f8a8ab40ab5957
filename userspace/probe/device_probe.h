// SPDX-License-Identifier: Apache-2.0
// The probe on one network device, for a sandbox whose sockets are not the host's.
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
  // All there are, best first.
  static std::vector<std::string> Mechanisms();

  // On the device of this index in the calling thread's network namespace; Whose it is: `owner`.
  // Shares the maps of `object`, which stays the caller's and must outlive it. `avoid`: mechanisms
  // to leave out. The device is as it was when this object or the process goes.
  static absl::StatusOr<std::unique_ptr<DeviceProbe>> Attach(
      bpf_object* object, const std::vector<std::string>& avoid, unsigned ifindex,
      const owner& owner, const std::vector<uint16_t>& dns_ports);
  ~DeviceProbe();
  DeviceProbe(const DeviceProbe&) = delete;
  DeviceProbe& operator=(const DeviceProbe&) = delete;

  void AppendRuns(std::vector<ProgramRuns>* out) const;

  const std::string& mechanism() const { return mechanism_; }
  // Why the better ones are not in use; empty if the best is.
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
  std::array<UniqueFd, 2> held_;  // links, or the socket
  std::string mechanism_, reason_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_PROBE_DEVICE_PROBE_H_
