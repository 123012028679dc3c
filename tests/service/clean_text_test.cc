#include "server/service/clean_text.h"

#include <string>

#include "gtest/gtest.h"

namespace spar::service {
namespace {

TEST(CleanText, KeepsValidUtf8) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  EXPECT_EQ(CleanText(text, 100), text);
}

TEST(CleanText, ReplacesEveryByteThatIsNoUtf8) {
  EXPECT_EQ(CleanText("a\xFF"
                      "b",
                      100),
            "a?b");
  EXPECT_EQ(CleanText("\xC3", 100), "?");                 // cut short
  EXPECT_EQ(CleanText("\xC0\xAF", 100), "??");            // overlong
  EXPECT_EQ(CleanText("\xED\xA0\x80", 100), "???");       // surrogate
  EXPECT_EQ(CleanText("\xF4\x90\x80\x80", 100), "????");  // past U+10FFFF
  EXPECT_EQ(CleanText("\x80", 100), "?");                 // no beginning
}

TEST(CleanText, CutsAtTheEndOfACharacter) {
  EXPECT_EQ(CleanText("abcdef", 6), "abcdef");
  EXPECT_EQ(CleanText("abcdefg", 6), "abc...");
  // The third euro sign would end at byte 9.
  EXPECT_EQ(CleanText("\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC", 8),
            "\xE2\x82\xAC...");
}

TEST(CleanText, NeverExceedsItsBound) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\xFFzzzz";
  for (size_t bound = 0; bound <= text.size() + 1; ++bound) {
    EXPECT_LE(CleanText(text, bound).size(), bound) << bound;
  }
}

}  // namespace
}  // namespace spar::service
