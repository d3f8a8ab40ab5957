// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/outage.h"

#include "absl/strings/str_cat.h"

namespace sandpiper {
namespace {

// Time between attempts while the process is about to end.
constexpr std::chrono::milliseconds kFlushPause{200};

}  // namespace

void Outage::Update(const Delivered& delivered, const std::string& meanwhile) {
  const auto now = std::chrono::steady_clock::now();
  if (delivered.wait && !is_active_) {
    is_active_ = true;
    since_ = now;
    warn_(absl::StrCat(what_, " cannot be sent: ", delivered.error, "; ", meanwhile));
  } else if (delivered.requests > 0 && is_active_) {
    is_active_ = false;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - since_).count();
    warn_(absl::StrCat(what_, " are sent again, after ", seconds, " s"));
  }
}

void WaitBeforeRetry(const Delivered::Wait& wait, std::condition_variable* wake,
                     std::unique_lock<std::mutex>* lock, const bool& stopping,
                     const bool& flushing) {
  const bool already = flushing;
  const auto time = already && !wait.asked ? kFlushPause : wait.time;
  wake->wait_for(*lock, time, [&] { return stopping || (!wait.asked && flushing != already); });
}

}  // namespace sandpiper
