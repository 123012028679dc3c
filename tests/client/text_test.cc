#include "client/text.h"

#include <string>

#include <gtest/gtest.h>

namespace spar::client {
namespace {

TEST(Escaped, LeavesOrdinaryTextAlone) {
  EXPECT_EQ(Escaped("naïve 東京 \\ \"x\""), "naïve 東京 \\ \"x\"");
}

TEST(Escaped, ShowsWhatATerminalWouldActOn) {
  EXPECT_EQ(Escaped("a\nb\tc\r"), "a\\nb\\tc\\r");
  EXPECT_EQ(Escaped("\x1b[31mred\x07"), "\\x1b[31mred\\x07");
  EXPECT_EQ(Escaped(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(Escaped("\x7f"), "\\x7f");
  EXPECT_EQ(Escaped("\xc2\x9b"), "\\x9b");  // the one-byte CSI
  EXPECT_EQ(Escaped("\xe2\x80\xae"
                    "abc"),
            "\\u202eabc");  // right-to-left
  EXPECT_EQ(Escaped("\xe2\x80\xa8"), "\\u2028");
}

TEST(Escaped, ShowsBytesThatAreNoUtf8) {
  EXPECT_EQ(Escaped("\xff"), "\\xff");
  EXPECT_EQ(Escaped("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(Escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  EXPECT_EQ(Escaped("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(Escaped("\xe6\x9d"), "\\xe6\\x9d");  // cut off
}

TEST(Width, CountsColumnsRatherThanBytes) {
  EXPECT_EQ(Width(""), 0);
  EXPECT_EQ(Width("abc"), 3);
  EXPECT_EQ(Width("naïve"), 5);
  EXPECT_EQ(Width("東京"), 4);
  EXPECT_EQ(Width("🙂"), 2);
  EXPECT_EQ(Width("e\xcc\x81"), 1);  // e and a combining accent
}

TEST(Clipped, FitsWithItsEllipsis) {
  EXPECT_EQ(Clipped("abcdef", 6, "…"), "abcdef");
  EXPECT_EQ(Clipped("abcdef", 5, "…"), "abcd…");
  EXPECT_EQ(Clipped("abcdef", 5, "..."), "ab...");
}

TEST(Clipped, DoesNotCutAWideCharacterInHalf) {
  EXPECT_EQ(Clipped("東京都", 4, "…"), "東…");
}

TEST(Padded, CountsColumns) {
  EXPECT_EQ(Padded("東", 4), "東  ");
  EXPECT_EQ(Padded("abcde", 4), "abcde");
}

Piece Word(const std::string& text) {
  return {text, Width(text), true};
}

TEST(Wrapped, BreaksLinesBehindTheIndent) {
  const std::vector<Piece> pieces = {Word("one"), Word("two"), Word("three")};
  EXPECT_EQ(Wrapped(pieces, 2, 0), "one two three");
  EXPECT_EQ(Wrapped(pieces, 2, 9), "one two\n  three");
  EXPECT_EQ(Wrapped(pieces, 2, 8), "one\n  two\n  three");
}

TEST(Wrapped, PutsAPieceThatFitsNowhereOnItsOwnLine) {
  EXPECT_EQ(Wrapped({Word("a"), Word("muchtoolong"), Word("b")}, 1, 5),
            "a\n muchtoolong\n b");
}

TEST(Wrapped, JoinsPiecesWithoutSpaces) {
  EXPECT_EQ(Wrapped({Word("a=1"), {",2", 2, false}, Word("b")}, 0, 0),
            "a=1,2 b");
}

TEST(Numbers, AreWrittenForPeople) {
  EXPECT_EQ(WithCommas(0), "0");
  EXPECT_EQ(WithCommas(999), "999");
  EXPECT_EQ(WithCommas(2064), "2,064");
  EXPECT_EQ(WithCommas(1234567), "1,234,567");
  EXPECT_EQ(WithCommas(-1234), "-1,234");
  EXPECT_EQ(Signed(3.2141), "+3.214");
  EXPECT_EQ(Signed(-0.5), "-0.500");
  EXPECT_EQ(Percent(0), "0 %");
  EXPECT_EQ(Percent(0.5), "50 %");
  EXPECT_EQ(Percent(0.0291), "2.9 %");
  EXPECT_EQ(Percent(0.0029), "0.29 %");
  EXPECT_EQ(Percent(0.00001), "< 0.01 %");
  EXPECT_EQ(Seconds(0.414), "0.41 s");
  EXPECT_EQ(Seconds(12.34), "12.3 s");
  EXPECT_EQ(Seconds(75.4), "75 s");
}

TEST(Quoted, Escapes) {
  EXPECT_EQ(Quoted("a\n"), "\"a\\n\"");
}

}  // namespace
}  // namespace spar::client
