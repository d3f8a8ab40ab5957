// SPDX-License-Identifier: Apache-2.0
#include "userspace/event/event_kind.h"

#include "bpf/events.h"

namespace sandpiper {

bool IsKind(uint16_t number) { return number > EVENT_NONE && number < EVENT_KIND_COUNT; }

const char* KindName(uint16_t number) {
  if (!IsKind(number))
    return "unknown";
  switch (
      static_cast<event_kind>(number)) {  // no default: the compiler reports a kind without a case
    case EVENT_EXEC:
      return "exec";
    case EVENT_EXIT:
      return "exit";
    case EVENT_FORK:
      return "fork";
    case EVENT_ENTER:
      return "enter";
    case EVENT_CONNECT:
      return "connect";
    case EVENT_CONNECT_RESULT:
      return "connect_result";
    case EVENT_DENIED:
      return "denied";
    case EVENT_NFT:
      return "nftables";
    case EVENT_NFT_LOADED:
      return "nftables_loaded";
    case EVENT_CGROUP_CREATED:
      return "cgroup_made";
    case EVENT_CGROUP_REMOVED:
      return "cgroup_gone";
    case EVENT_CLOSE:
      return "close";
    case EVENT_DNS_QUERY:
      return "dns_query";
    case EVENT_DNS_ANSWER:
      return "dns_answer";
    case EVENT_NONE:
    case EVENT_KIND_COUNT:
      break;
  }
  return "unknown";
}

}  // namespace sandpiper
