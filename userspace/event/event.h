// SPDX-License-Identifier: Apache-2.0
// What the kernel side told, decoded and owned. Text is raw here, as the sandbox chose it: it is
// escaped where it enters a record.
#ifndef SANDPIPER_USERSPACE_EVENT_EVENT_H_
#define SANDPIPER_USERSPACE_EVENT_EVENT_H_

#include <compare>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "userspace/base/address.h"
#include "userspace/base/shared_text.h"

namespace sandpiper {

// (tgid, start time): pids are reused.
struct ProcessKey {
  uint32_t pid = 0;
  uint64_t start_ns = 0;  // CLOCK_BOOTTIME

  auto operator<=>(const ProcessKey&) const = default;

  template <typename H>
  friend H AbslHashValue(H state, const ProcessKey& p) {
    return H::combine(std::move(state), p.pid, p.start_ns);
  }
};

// Which part of its sandbox an event is of, as attribution numbers them; 0: not known.
using Origin = uint32_t;

struct Exec {
  Origin origin = 0;
  ProcessKey process, parent;
  std::string comm;
  SharedText path;               // of the file that runs, as the process sees it
  SharedText working_directory;  // likewise
  SharedText script;  // file behind the interpreter, as it was named in the call; empty if none
  std::vector<std::string> args;
  bool args_truncated = false;
  bool args_unreadable = false;
  uint32_t netns = 0;  // inode number of its network namespace
};

struct Exit {
  Origin origin = 0;
  ProcessKey process;
  uint32_t status = 0;  // as wait(2) gives it
  bool oom = false;     // killed by the kernel, for want of memory
};

// A process appears: forked in the sandbox, or (entered) moved into it while alive.
struct Fork {
  Origin origin = 0;
  ProcessKey process, parent;
  std::string comm;
  bool entered = false;
  uint32_t netns = 0;
};

struct Connect {
  Origin origin = 0;
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  ProcessKey process;
  std::string comm;
  bool is_guest = false;  // of no socket of the host: seen on a device
  Endpoint peer;
  uint32_t netns = 0;  // of the process
};

struct ConnectResult {
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  Endpoint peer;  // port and address 0 where the socket alone identifies the attempt
  bool established = false;
  bool returned = false;  // `error` is what the call returned
  int error = 0;          // errno; 0 without `established`: the caller gave up
};

// Netfilter threw away the first packet of a TCP attempt or of a UDP flow.
struct Denied {
  Origin origin = 0;
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  ProcessKey process;
  std::string comm;
  Endpoint peer;
};

struct Close {
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  uint64_t sent = 0, received = 0;  // TCP only
  int error = 0;
};

// One datagram, or one piece of a TCP stream, to or from a DNS server.
struct DnsPayload {
  Origin origin = 0;
  uint64_t cookie = 0;
  bool is_query = false;  // sent by the sandbox
  Transport transport = Transport::kUdp;
  ProcessKey process;
  uint32_t thread = 0;
  Endpoint server;
  bool redirected = false;
  bool denied = false;        // netfilter threw it away
  bool local_server = false;  // answered from within the sandbox
  bool cut = false;           // a datagram longer than what was captured
  uint32_t tcp_seq = 0, tcp_ack = 0;
  std::string data;
};

// A change of nftables rules, or what may be one. The event's sandbox is the one that lives in the
// namespace.
struct NftChange {
  enum class Result { kCommitted, kAborted, kRejected, kSent };

  Result result = Result::kCommitted;
  int error = 0;  // errno; 0 where it is not known. kSent: 0 also where all went well
  uint32_t netns = 0;
  ProcessKey process;
  uint32_t thread = 0;
  std::string comm;
  uint64_t actor_member = 0;  // that the process is in, 0 if none
  // Set by attribution: the sandbox of that member, and whether it is a sidecar of it.
  uint64_t actor = 0;
  bool sidecar = false;
};

// nf_tables has been loaded.
struct NftLoaded {};

// A cgroup that may be a sandbox's was made.
struct CgroupCreated {
  std::string path;  // from the root of the hierarchy; empty if it was too long
};

// A watched cgroup was removed: no process is left in it.
struct CgroupRemoved {};

// What makes an event the member's: its cgroup is; or it is of no watched cgroup, but in the
// network namespace of the member's sandbox, or of a socket that a process of it uses.
enum class AttributionBasis { kCgroup, kNamespace, kProcess };

struct Event {
  uint64_t time_ns = 0;  // CLOCK_BOOTTIME
  uint64_t member = 0;   // 0: of none
  uint64_t cgroup_id = 0;
  AttributionBasis attributed_by = AttributionBasis::kCgroup;
  uint16_t kind = 0;  // enum event_kind, for accounting
  std::variant<Exec, Exit, Fork, Connect, ConnectResult, Denied, Close, DnsPayload, NftChange,
               NftLoaded, CgroupCreated, CgroupRemoved>
      body;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_EVENT_H_
