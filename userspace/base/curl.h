// SPDX-License-Identifier: Apache-2.0
// Loads libcurl at the first use of HTTP. libcurl depends on two dozen libraries (LDAP, Kerberos,
// SSH, …). Loading them at each start would take nearly as long as loading all other libraries.
#ifndef SANDPIPER_USERSPACE_BASE_CURL_H_
#define SANDPIPER_USERSPACE_BASE_CURL_H_

#include <curl/curl.h>

#include "absl/status/statusor.h"

namespace sandpiper {

// The functions of libcurl-easy(3), by their names without the prefix curl_.
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

// Returns the same object in each call, and never unloads it. Safe from every thread.
// FailedPrecondition if libcurl is not installed.
absl::StatusOr<const Curl*> LoadCurl();

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_CURL_H_
