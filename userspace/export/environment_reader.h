// SPDX-License-Identifier: Apache-2.0
// Reads environment variables by OpenTelemetry's rules: an invalid value adds a warning and is
// ignored.
#ifndef SANDPIPER_USERSPACE_EXPORT_ENVIRONMENT_READER_H_
#define SANDPIPER_USERSPACE_EXPORT_ENVIRONMENT_READER_H_

#include <charconv>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "userspace/export/otel_config.h"

namespace sandpiper {

// Must not outlive its arguments.
class EnvironmentReader {
 public:
  EnvironmentReader(const GetEnv& get_env, std::vector<std::string>* warnings)
      : get_env_(get_env), warnings_(warnings) {}

  // The value without white space around it; empty if the variable is unset.
  std::string Get(const std::string& name) const;
  // OTEL_EXPORTER_OTLP_<SIGNAL>_<WHAT>, else OTEL_EXPORTER_OTLP_<WHAT>. Sets *name to the one used.
  std::string GetOtlp(const char* signal, const char* what, std::string* name) const;
  // Adds a warning that quotes the value without its secrets, unless there is the same one already:
  // both signals read the common variables.
  void Warn(const std::string& name, const std::string& value, const std::string& why) const;
  // Parses "k=v,k=v" with percent-encoded values. An error discards the whole variable
  // (resource/sdk.md). Its warning has the position of the wrong entry and no text of it: the
  // values of headers are secrets, and a mistake makes a part of a value look like a key.
  std::vector<std::pair<std::string, std::string>> Pairs(const std::string& name,
                                                         const std::string& value) const;
  // Like Pairs, for headers of HTTP (RFC 9110, section 5): keys are in lower case. A key that is no
  // name of a header, or a value with control characters, is an error too.
  std::vector<std::pair<std::string, std::string>> Headers(const std::string& name,
                                                           const std::string& value) const;

  // Parses a whole number of at least 0. An empty or invalid value leaves *out unchanged.
  template <typename T>
  void Number(const std::string& name, const std::string& value, T* out) const {
    if (value.empty())
      return;
    int64_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || end != value.data() + value.size() || number < 0)
      Warn(name, value, "not a whole number of at least 0; the default is used");
    else if (std::is_same_v<T, uint16_t> && number > 65'535)
      Warn(name, value, "not a port number; the default is used");
    else
      *out = T(number);
  }

 private:
  using PairCheck = bool (*)(const std::string& key, const std::string& value);
  std::vector<std::pair<std::string, std::string>> ParsePairs(const std::string& name,
                                                              const std::string& value,
                                                              const char* form,
                                                              PairCheck is_valid) const;
  void AddWarning(std::string warning) const;

  const GetEnv& get_env_;
  std::vector<std::string>* warnings_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_ENVIRONMENT_READER_H_
