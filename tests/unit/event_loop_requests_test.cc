// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/event_loop_requests.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>
#include <vector>

namespace sandpiper {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{30'000};

bool IsReadable(int fd) {
  pollfd state = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&state, 1, 0) == 1;
}

void WaitForRequest(const EventLoopRequests<int>& requests) {
  pollfd state = {.fd = requests.event_fd(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&state, 1, static_cast<int>(kLong.count())), 1);
}

TEST(EventLoopRequests, CallReturnsTheResponseOfTheLoop) {
  EventLoopRequests<int> requests;
  EXPECT_FALSE(IsReadable(requests.event_fd()));
  std::optional<int> response;
  std::thread caller([&] { response = requests.Call(kLong); });
  WaitForRequest(requests);
  requests.Serve([] { return 7; });
  caller.join();
  EXPECT_EQ(response, 7);
  EXPECT_FALSE(IsReadable(requests.event_fd()));
}

TEST(EventLoopRequests, ServeWithoutRequestDoesNothing) {
  EventLoopRequests<int> requests;
  bool is_called = false;
  requests.Serve([&] {
    is_called = true;
    return 7;
  });
  EXPECT_FALSE(is_called);
}

TEST(EventLoopRequests, CallReturnsNothingAfterItsLimit) {
  EventLoopRequests<int> requests;
  EXPECT_EQ(requests.Call(milliseconds(1)), std::nullopt);
  // The response to a caller that left is dropped.
  requests.Serve([] { return 7; });
}

TEST(EventLoopRequests, CloseEndsWaitingCallsAndRejectsLaterOnes) {
  EventLoopRequests<int> requests;
  std::optional<int> response;
  std::thread caller([&] { response = requests.Call(kLong); });
  WaitForRequest(requests);
  requests.Close();
  caller.join();
  EXPECT_EQ(response, 0);
  EXPECT_EQ(requests.Call(kLong), std::nullopt);
}

}  // namespace
}  // namespace sandpiper
