// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/shared_text.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace sandpiper {
namespace {

TEST(SharedText, CopyOutlivesItsSource) {
  SharedText kept;
  {
    std::string text = "/usr/bin/python3";
    const SharedText first = text;
    text = "overwritten long ago";
    kept = first;
  }
  EXPECT_EQ(kept, "/usr/bin/python3");
}

TEST(SharedText, CopiesShareTheCharacters) {
  const SharedText first = std::string("/usr/bin/python3");
  const SharedText second = first;
  EXPECT_EQ(first.view().data(), second.view().data());
  SharedText third = second;
  const SharedText fourth = std::move(third);
  EXPECT_EQ(first.view().data(), fourth.view().data());
  const char literal[] = "stays";
  EXPECT_EQ(SharedText(literal).view().data(), literal);
}

TEST(SharedText, TailKeepsTheCharactersAlive) {
  SharedText tail;
  {
    const SharedText whole = std::string("/usr/bin/python3");
    tail = whole.Tail(9);
    EXPECT_EQ(whole, "/usr/bin/python3");
  }
  EXPECT_EQ(tail, "python3");
  EXPECT_TRUE(tail.Tail(7).empty());
}

TEST(SharedText, SelfAssignmentKeepsTheText) {
  SharedText text = std::string("a text that is no literal");
  const SharedText& same = text;
  text = same;
  EXPECT_EQ(text, "a text that is no literal");
  text = {};
  EXPECT_TRUE(text.empty());
}

TEST(SharedText, PlainTextNeedsNoEscape) {
  EXPECT_TRUE(SharedText().is_plain());
  EXPECT_TRUE(SharedText(std::string("~ all of /printable, ASCII")).is_plain());
  for (const char* text : {"a\nb", "\x7f", "back\\slash", "quo\"te", "ümlaut", "\xff"})
    EXPECT_FALSE(SharedText(std::string(text)).is_plain()) << text;
}

// The sanitizers (tsan, asan) check this one.
TEST(SharedText, ThreadsShareOneText) {
  std::vector<std::thread> threads;
  {
    const SharedText text = std::string("held by all threads, and freed by the last one");
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([text] {
        for (int round = 0; round < 10'000; ++round) {
          SharedText copy = text;
          ASSERT_EQ(copy.Tail(5).view().substr(0, 2), "by");
        }
      });
    }
  }
  for (std::thread& thread : threads)
    thread.join();
}

}  // namespace
}  // namespace sandpiper
