// SPDX-License-Identifier: Apache-2.0
// libcurl, loaded when HTTP is first spoken. It brings two dozen libraries with it (LDAP, Kerberos,
// SSH, …), and to link them takes nearly as long as all others do: for each start, and for each
// command.
#ifndef SANDPIPER_USERSPACE_BASE_CURL_H_
#define SANDPIPER_USERSPACE_BASE_CURL_H_

#include <curl/curl.h>

#include "absl/status/statusor.h"

namespace sandpiper {

// Functions of libcurl-easy(3) under their names.
struct Curl {
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_setopt) easy_setopt;
  decltype(&curl_easy_perform) easy_perform;
  decltype(&curl_easy_getinfo) easy_getinfo;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;
};

// From any thread; the same one each time, for good. FailedPrecondition where it is not there.
absl::StatusOr<const Curl*> LoadCurl();

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_CURL_H_
