// SPDX-License-Identifier: Apache-2.0
// sandpiper top: a live view of the sandboxes of the running collector.
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <limits>
#include <string>

#include "userspace/api/api_client.h"
#include "userspace/base/clock.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/signals.h"
#include "userspace/command/top_screen.h"

namespace sandpiper {
namespace {

constexpr uint32_t kDestinations = 3;  // shown for each sandbox

// Shows frames on stdout. On a terminal each frame replaces the one before, and keys can be read
// without Enter. The destructor restores the terminal.
class Screen {
 public:
  Screen()
      : terminal_(isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) &&
                  tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!terminal_)
      return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fputs("\x1b[?1049h\x1b[?25l", stdout);  // xterm's alternate screen, without a cursor
  }
  ~Screen() {
    if (!terminal_)
      return;
    fputs("\x1b[?25h\x1b[?1049l", stdout);
    fflush(stdout);
    tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  bool terminal() const { return terminal_; }

  // Unlimited unless stdout is a terminal.
  TopView Size() const {
    winsize size = {};
    if (!terminal_ || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 4)
      return {.rows = std::numeric_limits<size_t>::max(),
              .columns = std::numeric_limits<size_t>::max()};
    return {.rows = size.ws_row, .columns = size.ws_col};
  }

  // False if stdout is closed.
  bool Show(const std::vector<std::string>& lines) const {
    if (terminal_)
      fputs("\x1b[H", stdout);
    for (size_t i = 0; i < lines.size(); ++i)
      printf("%s%s%s", lines[i].c_str(), terminal_ ? "\x1b[K" : "",
             terminal_ && i + 1 == lines.size() ? "" : "\n");
    if (terminal_)
      fputs("\x1b[J", stdout);
    return fflush(stdout) == 0;
  }

 private:
  termios before_ = {};
  bool terminal_;
};

// Waits for at most `limit`. True if a signal or the key q asks to quit.
bool QuitsWithin(std::chrono::milliseconds limit, int signals, bool keys) {
  pollfd polled[] = {{.fd = signals, .events = POLLIN, .revents = 0},
                     {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
  const uint64_t end = BootNow() + Nanoseconds(limit);
  while (true) {
    const uint64_t now = BootNow();
    if (now >= end)
      return false;
    poll(polled, 2, static_cast<int>((end - now + kMillisecond - 1) / kMillisecond));
    if (polled[0].revents != 0)
      return true;
    if (polled[1].revents == 0)
      continue;
    char key = 0;
    if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
      return true;
  }
}

}  // namespace

int RunTop(const Config& config, const TopOptions& options) {
  const UniqueFd signals = TakeSignals({SIGINT, SIGTERM});
  ApiClient client(config.api_socket);
  auto before = client.ListSandboxes(kDestinations);
  if (!before.ok())
    return Fail(before.status(), kExitFailure);
  uint64_t before_ns = BootNow();
  absl::Status status;
  {
    const Screen screen;
    uint64_t frames = options.frames;
    if (frames == 0)
      frames = screen.terminal() ? std::numeric_limits<uint64_t>::max() : 1;
    for (uint64_t i = 0;
         i < frames && !QuitsWithin(options.interval, signals.get(), screen.terminal()); ++i) {
      auto now = client.ListSandboxes(kDestinations);
      if (!now.ok()) {
        status = now.status();
        break;
      }
      const uint64_t now_ns = BootNow();
      TopView view = screen.Size();
      view.seconds = static_cast<double>(now_ns - before_ns) / static_cast<double>(kSecond);
      view.now_unix_ns = ReadClock(CLOCK_REALTIME);
      if (!screen.Show(TopScreen(*before, *now, view)))
        break;
      before = std::move(now);
      before_ns = now_ns;
    }
  }
  return status.ok() ? 0 : Fail(status, kExitFailure);
}

}  // namespace sandpiper
