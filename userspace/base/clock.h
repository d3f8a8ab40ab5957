// SPDX-License-Identifier: Apache-2.0
// Clocks. Events have times of CLOCK_BOOTTIME, and records have Unix time. Both are in nanoseconds.
#ifndef SANDPIPER_USERSPACE_BASE_CLOCK_H_
#define SANDPIPER_USERSPACE_BASE_CLOCK_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>

namespace sandpiper {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kMillisecond = 1'000'000;

inline uint64_t Nanoseconds(std::chrono::milliseconds ms) {
  return static_cast<uint64_t>(ms.count()) * kMillisecond;
}

inline uint64_t ReadClock(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

inline uint64_t BootNow() { return ReadClock(CLOCK_BOOTTIME); }

// Boot time plus this offset is Unix time. The offset changes when the wall clock is set, so
// callers read it again instead of keeping it.
inline int64_t UnixOffset() {
  return static_cast<int64_t>(ReadClock(CLOCK_REALTIME)) - static_cast<int64_t>(BootNow());
}

// Formats by RFC 3339 in UTC with nanoseconds, as 2026-01-02T03:04:05.000000006Z.
std::array<char, 30> FormatTime(uint64_t unix_ns);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_CLOCK_H_
