// SPDX-License-Identifier: Apache-2.0
// The types of settings: how a value is written, which values are accepted, and where it is stored.
#ifndef SANDPIPER_USERSPACE_CONFIG_VALUE_TYPE_H_
#define SANDPIPER_USERSPACE_CONFIG_VALUE_TYPE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "userspace/config/config.h"

namespace sandpiper {

// A value as it is written. Lists have any number of texts, other types have one.
using Texts = std::vector<std::string>;

// The type of one setting. A flag, a variable and a key of the file pass their texts to `set`, so
// that they accept the same values.
struct ValueType {
  std::string metavar;  // for help: "N", "FILE", "debug|info|warn"; empty for switches
  bool is_switch = false;
  bool is_list = false;
  char separator = '\0';  // between the entries of a list in one text; 0: a text is one entry
  std::optional<std::pair<int64_t, int64_t>> range = {};  // of numbers

  // Checks the value and stores it. The error says what is wrong with the value, and quotes it.
  std::function<absl::Status(const Texts& value, Config* config)> set = nullptr;
  std::function<Texts(const Config& config)> get = nullptr;
};

// The place of a value in Config: Member<&Config::probes, &ProbeOptions::flows_max>.
template <auto... kPath>
struct Member {
  static auto& Of(Config& config) { return (config.*....*kPath); }
  static const auto& Of(const Config& config) { return (config.*....*kPath); }
};

// "text", escaped.
std::string Quoted(const std::string& text);
// The entries of a list that is written as one text.
Texts SplitValue(const ValueType& type, const std::string& text);

absl::StatusOr<bool> ParseSwitch(const std::string& text);
absl::StatusOr<int64_t> ParseNumber(const std::string& text, int64_t min, int64_t max);
// "64K", "8M", "1G" and also "8MiB" are sizes in bytes.
absl::StatusOr<uint64_t> ParseBytes(const std::string& text);
// A size that a BPF ring buffer can have: a power of two, at least a page (kernel/bpf/ringbuf.c).
absl::StatusOr<uint32_t> ParseRingSize(const std::string& text);
// The shortest text that ParseBytes reads as `bytes`.
std::string FormatBytes(uint64_t bytes);

// A type with one text as its value, from the parser and the formatter of this text.
template <typename Place, typename Parse, typename Format>
ValueType SingleValue(Place, std::string metavar, Parse parse, Format format) {
  return {.metavar = std::move(metavar),
          .set = [parse](const Texts& value, Config* config) -> absl::Status {
            if (value.size() != 1)
              return absl::InvalidArgumentError("expected one value, not a list");
            auto parsed = parse(value[0]);
            if (parsed.ok())
              Place::Of(*config) = *std::move(parsed);
            return parsed.status();
          },
          .get = [format](const Config& config) -> Texts { return {format(Place::Of(config))}; }};
}

template <typename Place>
ValueType Switch(Place place) {
  ValueType type = SingleValue(place, "", ParseSwitch,
                               [](bool value) { return std::string(value ? "true" : "false"); });
  type.is_switch = true;
  return type;
}

template <typename Place>
ValueType Number(Place place, int64_t min, int64_t max) {
  ValueType type = SingleValue(
      place, "N", [min, max](const std::string& text) { return ParseNumber(text, min, max); },
      [](auto value) { return absl::StrCat(value); });
  type.range = {min, max};
  return type;
}

// A time that is written in whole units, and stored as milliseconds.
template <typename Unit, typename Place>
ValueType Duration(Place place, int64_t min, int64_t max) {
  ValueType type = SingleValue(
      place, "N",
      [min, max](const std::string& text) -> absl::StatusOr<std::chrono::milliseconds> {
        const absl::StatusOr<int64_t> count = ParseNumber(text, min, max);
        if (!count.ok())
          return count.status();
        return Unit(*count);
      },
      [](std::chrono::milliseconds value) {
        return absl::StrCat(std::chrono::duration_cast<Unit>(value).count());
      });
  type.range = {min, max};
  return type;
}

template <typename Place>
ValueType Bytes(Place place) {
  return SingleValue(place, "SIZE", ParseBytes, FormatBytes);
}

template <typename Place>
ValueType RingBytes(Place place) {
  return SingleValue(place, "SIZE", ParseRingSize, FormatBytes);
}

template <typename Place>
ValueType Text(Place place, std::string metavar) {
  const auto unchanged = [](const std::string& text) { return absl::StatusOr<std::string>(text); };
  return SingleValue(place, std::move(metavar), unchanged,
                     [](const std::string& value) { return value; });
}

// One of a few words, each of which represents a value.
template <typename T, typename Place>
ValueType Choice(Place place, std::vector<std::pair<std::string, T>> choices) {
  std::string words;
  for (const auto& [word, unused] : choices)
    absl::StrAppend(&words, words.empty() ? "" : "|", word);
  return SingleValue(
      place, words,
      [choices, words](const std::string& text) -> absl::StatusOr<T> {
        for (const auto& [word, value] : choices) {
          if (word == text)
            return value;
        }
        return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " is not one of ", words));
      },
      [choices](T value) {
        const auto chosen =
            std::find_if(choices.begin(), choices.end(),
                         [value](const auto& choice) { return choice.second == value; });
        return chosen == choices.end() ? std::string() : chosen->first;
      });
}

// A list of texts. `check` returns the error of one entry.
using CheckText = absl::Status (*)(const std::string& text);
template <typename Place>
ValueType List(Place, std::string metavar, char separator = '\0', CheckText check = nullptr) {
  return {.metavar = std::move(metavar),
          .is_list = true,
          .separator = separator,
          .set = [check](const Texts& value, Config* config) -> absl::Status {
            for (const std::string& entry : value) {
              const absl::Status status = check ? check(entry) : absl::OkStatus();
              if (!status.ok())
                return status;
            }
            Place::Of(*config) = {value.begin(), value.end()};
            return absl::OkStatus();
          },
          .get = [](const Config& config) -> Texts {
            const auto& list = Place::Of(config);
            return {list.begin(), list.end()};
          }};
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_VALUE_TYPE_H_
