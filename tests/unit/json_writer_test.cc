// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/json_writer.h"

#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <random>
#include <string>

namespace sandpiper {
namespace {

template <typename Value>
std::string Json(const Value& value) {
  JsonWriter json(1);  // grows
  json.Value(value);
  return std::string(json.view());
}

std::string Read(const std::string& json) {
  rapidjson::Document document;
  EXPECT_FALSE(document.Parse(json.data(), json.size()).HasParseError()) << json;
  return document.IsString() ? std::string(document.GetString(), document.GetStringLength())
                             : "no text";
}

TEST(JsonWriter, TextRoundTrips) {
  std::mt19937 random(1);
  const std::string letters = std::string("\0\x01\x1a\x1f\x20\"\\\x7f/", 9) + "ae\n\t";
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (size_t left = random() % 40; left > 0; --left)
      text += random() % 20 == 0
                  ? "\u00e9\u2028"
                  : std::string(1, random() % 4 == 0 ? letters[random() % letters.size()] : 'x');
    const std::string json = Json(std::string_view(text));
    ASSERT_EQ(Read(json), text) << json;
    for (const char c : json)
      ASSERT_GE(static_cast<unsigned char>(c), 0x20) << json;
  }
}

TEST(JsonWriter, NumbersHaveExpectedText) {
  EXPECT_EQ(Json(std::numeric_limits<int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(Json(int64_t{0}), "0");
  EXPECT_EQ(Json(0.175247), "0.175247");
  EXPECT_EQ(Json(3.0), "3.0");
  EXPECT_EQ(Json(-0.0), "-0.0");
  EXPECT_EQ(Json(1e300), "1e+300");
  EXPECT_EQ(Json(std::nan("")), "null");
  EXPECT_EQ(Json(-std::numeric_limits<double>::infinity()), "null");
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    const double number = std::bit_cast<double>(random());
    if (std::isfinite(number) && std::fpclassify(number) != FP_SUBNORMAL) {
      ASSERT_EQ(std::stod(Json(number)), number);
    }
  }
}

// Durations have their own way, and must look as any other number.
TEST(JsonWriter, NumbersHaveShortestTextThatRoundTrips) {
  std::mt19937_64 random(1);
  const auto shortest = [](double number) {
    char digits[32];
    std::string text(digits, std::to_chars(std::begin(digits), std::end(digits), number).ptr);
    return text.find_first_of(".e") == text.npos ? text + ".0" : text;
  };
  for (const double number :
       {0.0, 1e-6, 0.5, 999'999'999.999999, 1e9, 1e9 + 1e-6, 4.35, 0.1 + 0.2, 1e-7, 1e-300}) {
    ASSERT_EQ(std::stod(Json(number)), number);
    if (number == 0 || number >= 1e-3) {  // below, to_chars has exponents
      ASSERT_EQ(Json(number), shortest(number));
    }
  }
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t most = uint64_t{1} << (random() % 50 + 1);
    const double duration = static_cast<double>(random() % most + 1000) / 1e6,
                 other = static_cast<double>(random() % most + 10) / 1e4;
    const double close = std::nextafter(duration, i % 2 ? 0.0 : 1e300);
    for (const double number : {duration, other, close}) {
      ASSERT_EQ(Json(number), shortest(number)) << duration;
    }
  }
}

TEST(JsonWriter, BoolsAreTrueAndFalse) { EXPECT_EQ(Json(true) + Json(false), "truefalse"); }

}  // namespace
}  // namespace sandpiper
