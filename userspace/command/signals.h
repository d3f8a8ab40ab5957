// SPDX-License-Identifier: Apache-2.0
// Signals as a file descriptor that can be polled.
#ifndef SANDPIPER_USERSPACE_COMMAND_SIGNALS_H_
#define SANDPIPER_USERSPACE_COMMAND_SIGNALS_H_

#include <signal.h>
#include <sys/signalfd.h>

#include <initializer_list>

#include "userspace/base/fd.h"

namespace sandpiper {

// Blocks these signals and returns a descriptor that becomes readable when one arrives. Call this
// before any thread starts, so that all threads inherit the blocked signals.
inline UniqueFd TakeSignals(std::initializer_list<int> wanted) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : wanted)
    sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC));
}

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_COMMAND_SIGNALS_H_
