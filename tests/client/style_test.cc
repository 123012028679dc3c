#include "client/style.h"

#include <gtest/gtest.h>

namespace spar::client {
namespace {

Surroundings Screen() {
  Surroundings screen;
  screen.is_terminal = true;
  screen.columns = 100;
  screen.term = "xterm-256color";
  screen.locale = "en_GB.UTF-8";
  return screen;
}

TEST(StyleFor, ColoursAScreen) {
  const Style style = StyleFor(Screen(), ColorWhen::kAuto);
  EXPECT_TRUE(style.color);
  EXPECT_TRUE(style.live);
  EXPECT_TRUE(style.unicode);
  EXPECT_EQ(style.columns, 100);
}

TEST(StyleFor, IsPlainInAPipe) {
  Surroundings pipe = Screen();
  pipe.is_terminal = false;
  const Style style = StyleFor(pipe, ColorWhen::kAuto);
  EXPECT_FALSE(style.color);
  EXPECT_FALSE(style.live);
  EXPECT_EQ(style.columns, 0);
}

TEST(StyleFor, ObeysNoColorOnAScreen) {
  Surroundings screen = Screen();
  screen.no_color = true;
  EXPECT_FALSE(StyleFor(screen, ColorWhen::kAuto).color);
  EXPECT_TRUE(StyleFor(screen, ColorWhen::kAuto).live);
  EXPECT_TRUE(StyleFor(screen, ColorWhen::kAlways).color);
}

TEST(StyleFor, NeverMeansNever) {
  EXPECT_FALSE(StyleFor(Screen(), ColorWhen::kNever).color);
}

TEST(StyleFor, ADumbTerminalIsNoScreen) {
  Surroundings dumb = Screen();
  dumb.term = "dumb";
  EXPECT_FALSE(StyleFor(dumb, ColorWhen::kAuto).color);
  EXPECT_FALSE(StyleFor(dumb, ColorWhen::kAuto).live);
}

TEST(StyleFor, DrawsWithAsciiWhereTheLocaleIsNotUtf8) {
  Surroundings screen = Screen();
  screen.locale = "POSIX";
  EXPECT_FALSE(StyleFor(screen, ColorWhen::kAuto).unicode);
  screen.locale = "C.utf8";
  EXPECT_TRUE(StyleFor(screen, ColorWhen::kAuto).unicode);
}

TEST(StyleFor, KeepsTinyScreensUsable) {
  Surroundings screen = Screen();
  screen.columns = 3;
  EXPECT_EQ(StyleFor(screen, ColorWhen::kAuto).columns, 40);
}

TEST(Paint, AddsAndEndsColour) {
  Style style;
  style.color = true;
  EXPECT_EQ(Paint(style, Tone::kLit, "x"), "\x1b[1;36mx\x1b[0m");
  EXPECT_EQ(Paint(style, Tone::kPlain, "x"), "x");
  EXPECT_EQ(Paint(style, Tone::kLit, ""), "");
  style.color = false;
  EXPECT_EQ(Paint(style, Tone::kLit, "x"), "x");
}

}  // namespace
}  // namespace spar::client
