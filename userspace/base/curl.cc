// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/curl.h"

#include <dlfcn.h>

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

constexpr char kLibrary[] = "libcurl.so.4";

absl::StatusOr<Curl> Load() {
  void* const library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return absl::FailedPreconditionError(absl::StrCat("HTTP needs libcurl: ", dlerror()));
  std::string missing;
  const auto find = [&]<typename Function>(const char* name, Function** out) {
    *out = reinterpret_cast<Function*>(dlsym(library, name));
    if (!*out)
      missing = name;
  };
  Curl curl;
  find("curl_easy_init", &curl.easy_init);
  find("curl_easy_cleanup", &curl.easy_cleanup);
  find("curl_easy_setopt", &curl.easy_setopt);
  find("curl_easy_perform", &curl.easy_perform);
  find("curl_easy_getinfo", &curl.easy_getinfo);
  find("curl_easy_strerror", &curl.easy_strerror);
  find("curl_slist_append", &curl.slist_append);
  find("curl_slist_free_all", &curl.slist_free_all);
  if (!missing.empty())
    return absl::FailedPreconditionError(absl::StrCat(kLibrary, " has no ", missing));
  return curl;
}

}  // namespace

absl::StatusOr<const Curl*> LoadCurl() {
  static const absl::StatusOr<Curl> loaded = Load();
  return loaded.ok() ? absl::StatusOr<const Curl*>(&*loaded) : loaded.status();
}

}  // namespace sandpiper
