// SPDX-License-Identifier: Apache-2.0
#include "userspace/base/text.h"

#include <gtest/gtest.h>

#include <random>

namespace sandpiper {
namespace {

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    if (length == 0)
      return false;
    text.remove_prefix(length);
  }
  return true;
}

// The scan reads words of eight bytes and then the rest. So each length and each place is tested.
TEST(PlainLength, StopsAtTheFirstCharacterThatIsNotPlain) {
  for (size_t size = 0; size < 30; ++size) {
    const std::string plain(size, 'a');
    EXPECT_EQ((PlainLength<true, '"'>(plain)), size);
    for (size_t at = 0; at < size; ++at) {
      for (int c = 0; c < 256; ++c) {
        std::string text = plain;
        text[at] = static_cast<char>(c);
        const bool control = c < 0x20 || c == '"';
        ASSERT_EQ((PlainLength<false, '"'>(text)), control ? at : size)
            << size << " " << at << " " << c;
        ASSERT_EQ((PlainLength<true, '"'>(text)), control || c >= 0x80 ? at : size)
            << size << " " << at << " " << c;
      }
    }
  }
}

TEST(Escape, PrintableTextIsUnchanged) {
  for (const char* text : {"", "plain", "with blank", "ümlaut", "雪", "🚀", "quote\"'"})
    EXPECT_EQ(Escape(text), text);
}

TEST(Escape, ControlCharactersBecomeHex) {
  EXPECT_EQ(Escape("a\nb\t\x1b[31m\x7f"), "a\\x0ab\\x09\\x1b[31m\\x7f");
  EXPECT_EQ(Escape(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(Escape("\xc2\x85"), "\\xc2\\x85");           // NEL, a C1 control
  EXPECT_EQ(Escape("\xe2\x80\xa8"), "\\xe2\\x80\\xa8");  // line separator
}

TEST(Escape, PlainTextHasNothingToEscape) {
  EXPECT_TRUE(IsPlain("") && IsPlain("plain, with blanks"));
  for (const char* text : {"\n", "\x7f", "\\", "\"", "\u00fc"})
    EXPECT_FALSE(IsPlain(text)) << text;
}

TEST(Escape, BackslashIsDoubled) {
  EXPECT_EQ(Escape("\\x0a"), "\\\\x0a");
  EXPECT_NE(Escape("\\x0a"), Escape("\n"));
}

TEST(Escape, InvalidUtf8BecomesHex) {
  EXPECT_EQ(Escape("\xff"), "\\xff");
  EXPECT_EQ(Escape("\xc0\xaf"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(Escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(Escape("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // over U+10FFFF
  EXPECT_EQ(Escape("\xe2\x82"), "\\xe2\\x82");                    // incomplete
}

TEST(Escape, RandomBytesBecomeValidTextAndUnescape) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    std::string raw(random() % 24, '\0');
    for (char& c : raw)
      c = static_cast<char>(i % 2 ? random() : "\\x0\xc3\xa9\xe2"[random() % 7]);
    const std::string escaped = Escape(raw);
    ASSERT_TRUE(IsValidUtf8(escaped)) << escaped;
    ASSERT_EQ(Unescape(escaped), raw) << escaped;
    ASSERT_EQ(escaped.find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace sandpiper
