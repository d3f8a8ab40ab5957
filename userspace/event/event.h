// SPDX-License-Identifier: Apache-2.0
// The events of the BPF programs, decoded into types that own their data. Text is as the sandbox
// chose it. It is escaped later, when it is written to a record.
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

// A pid with its start time, because pids are reused. `pid` is the kernel's tgid.
struct ProcessKey {
  uint32_t pid = 0;
  uint64_t start_ns = 0;  // CLOCK_BOOTTIME

  auto operator<=>(const ProcessKey&) const = default;

  template <typename H>
  friend H AbslHashValue(H state, const ProcessKey& p) {
    return H::combine(std::move(state), p.pid, p.start_ns);
  }
};

// The part of the sandbox that an event belongs to, as numbered by attribution; 0: not known.
using Origin = uint32_t;

// A process executed a program.
struct Exec {
  Origin origin = 0;
  ProcessKey process;
  ProcessKey parent;
  std::string comm;
  SharedText path;               // of the executed file, in the mount namespace of the process
  SharedText working_directory;  // in the mount namespace of the process
  SharedText script;  // the script that an interpreter runs, as named in execve(2); may be empty
  std::vector<std::string> args;
  bool args_truncated = false;
  bool args_unreadable = false;
  uint32_t netns = 0;  // inode number of the network namespace of the process
};

// A process exited.
struct Exit {
  Origin origin = 0;
  ProcessKey process;
  uint32_t status = 0;      // as in wait(2)
  bool oom_killed = false;  // by the kernel's out-of-memory killer
};

// A new process of the sandbox.
struct Fork {
  Origin origin = 0;
  ProcessKey process;
  ProcessKey parent;
  std::string comm;
  bool entered = false;  // it ran before, and was moved into the sandbox's cgroup
  uint32_t netns = 0;
};

// A process called connect(2), or sent a first UDP datagram to a peer.
struct Connect {
  Origin origin = 0;
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  ProcessKey process;
  std::string comm;
  bool is_guest = false;  // seen on a device; the host has no socket for it
  Endpoint peer;
  uint32_t netns = 0;  // of the process
};

// The result of a connection attempt: from the state of the socket, or from the call.
struct ConnectResult {
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  Endpoint peer;  // address and port are 0 if the socket alone identifies the attempt
  bool established = false;
  bool returned = false;  // connect(2) or send(2) returned `error`
  int error = 0;          // errno; 0 and not `established`: the caller gave up
};

// Netfilter dropped the first packet of a TCP attempt or of a UDP flow.
struct Denied {
  Origin origin = 0;
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  ProcessKey process;
  std::string comm;
  Endpoint peer;
};

// A socket was closed.
struct Close {
  uint64_t cookie = 0;
  Transport transport = Transport::kTcp;
  uint64_t sent = 0;      // payload bytes; TCP only
  uint64_t received = 0;  // payload bytes; TCP only
  int error = 0;          // pending errno of the socket, as ECONNRESET
};

// One datagram, or one segment of a TCP stream, to or from a DNS server.
struct DnsPayload {
  Origin origin = 0;
  uint64_t cookie = 0;
  bool is_query = false;  // sent by the sandbox
  Transport transport = Transport::kUdp;
  ProcessKey process;
  uint32_t thread = 0;
  Endpoint server;
  bool redirected = false;     // by NAT, to another destination than the program asked for
  bool denied = false;         // netfilter dropped it
  bool local_server = false;   // the server is part of the sandbox
  bool is_cut = false;         // UDP only: `data` is the beginning of a longer datagram
  uint32_t payload_bytes = 0;  // of the datagram or segment
  uint32_t tcp_seq = 0;
  uint32_t tcp_ack = 0;
  std::string data;
};

// A change of nftables rules, or a message that may be one. The event belongs to the sandbox that
// uses the network namespace, also if another process made the change.
struct NftChange {
  enum class Result {
    kCommitted,  // a transaction took effect
    kAborted,    // a transaction was undone; the kRejected events of its thread give the reason
    kRejected,   // the kernel answered a message with an error
    kSent,       // a message was sent; without `error` it is a commit or only a query
  };

  Result result = Result::kCommitted;
  int error = 0;  // errno; 0 if it is not known; kSent: 0 also on success
  uint32_t netns = 0;
  ProcessKey process;
  uint32_t thread = 0;
  std::string comm;
  uint64_t actor_member = 0;  // the member of the process, 0 if it is in none
  // Set later by the pipeline.
  uint64_t actor = 0;    // serial of the sandbox of `actor_member`
  bool sidecar = false;  // `actor_member` is a sidecar
  std::string actor_id;  // name of that sandbox
};

// The kernel module nf_tables was loaded.
struct NftLoaded {};

// A cgroup that may belong to a sandbox was created.
struct CgroupCreated {
  std::string path;  // from the root of the hierarchy; empty if it was too long
};

// A watched cgroup was removed. It has no processes.
struct CgroupRemoved {};

// The reason why an event belongs to a member.
enum class AttributionBasis {
  kCgroup,     // the event happened in the member's cgroup
  kNamespace,  // its cgroup is unwatched, but it happened in the sandbox's network namespace
  kProcess,    // its cgroup is unwatched, but a process of the member uses the socket
};

struct Event {
  uint64_t time_ns = 0;  // CLOCK_BOOTTIME
  uint64_t member = 0;   // 0: the event belongs to no member
  uint64_t cgroup_id = 0;
  AttributionBasis attributed_by = AttributionBasis::kCgroup;
  uint16_t kind = 0;  // enum event_kind, to count events by kind
  std::variant<Exec, Exit, Fork, Connect, ConnectResult, Denied, Close, DnsPayload, NftChange,
               NftLoaded, CgroupCreated, CgroupRemoved>
      body;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EVENT_EVENT_H_
