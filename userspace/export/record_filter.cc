// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/record_filter.h"

#include <fnmatch.h>

#include <algorithm>

namespace sandpiper {
namespace {

template <typename T>
const T* Find(const LogRecord& record, AttributeKey<TypeOf<T>()> key) {
  for (const RecordAttribute& attribute : record.attributes) {
    if (attribute.key == key.text())
      return std::get_if<T>(&attribute.value);
  }
  return nullptr;
}

bool AnyMatches(const std::vector<std::string>& patterns, std::string_view view, int flags) {
  const std::string text(view);
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) {
    return fnmatch(p.c_str(), text.c_str(), flags) == 0;
  });
}

bool HostMatches(const std::vector<std::string>& patterns, const LogRecord& record) {
  for (const auto* const text :
       {Find<SharedText>(record, "target.host"), Find<SharedText>(record, "peer"),
        Find<SharedText>(record, "network.peer.address")}) {
    if (text && AnyMatches(patterns, text->view(), FNM_CASEFOLD))
      return true;
  }
  for (const auto* const addresses :
       {Find<std::vector<std::string>>(record, "target.ips"),
        Find<std::vector<std::string>>(record, "network.peer.addresses")}) {
    if (addresses && std::any_of(addresses->begin(), addresses->end(), [&](const std::string& a) {
          return AnyMatches(patterns, a, FNM_CASEFOLD);
        }))
      return true;
  }
  return false;
}

bool IsDenied(const LogRecord& record) {
  if (record.event == "egress.denied")
    return true;
  const auto* const count = Find<int64_t>(record, "egress.denied");
  return count && *count > 0;
}

}  // namespace

bool RecordFilter::Matches(const LogRecord& record) const {
  if (record.time_unix_ns < since_unix_ns || (denied && !IsDenied(record)))
    return false;
  if (!events.empty() && !AnyMatches(events, record.event.view(), 0))
    return false;
  if (!sandboxes.empty()) {
    const auto* const id = Find<SharedText>(record, "sandbox_id");
    if (!id || !AnyMatches(sandboxes, id->view(), 0))
      return false;
  }
  return hosts.empty() || HostMatches(hosts, record);
}

}  // namespace sandpiper
