#include "base/svg_chart.h"

#include <cmath>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spar::base {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

TEST(EscapedXml, LeavesNothingToActOn) {
  EXPECT_EQ(EscapedXml("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
  EXPECT_EQ(EscapedXml("é漢"), "é漢");
  EXPECT_EQ(EscapedXml(std::string("a\x01\n\xff"
                                   "b")),
            "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
            "b");
}

TEST(LineChart, PutsPointsWhereTheirValuesAre) {
  const std::string svg =
      SvgOf(LineChart{.title = "T<1>",
                      .x = {.label = "steps"},
                      .y = {.label = "loss & more"},
                      .series = {{.name = "a", .points = {{0, 0}, {10, 100}}},
                                 {.name = "b", .points = {{5, 50}}}}});
  EXPECT_THAT(svg, HasSubstr("T&lt;1&gt;"));
  EXPECT_THAT(svg, HasSubstr("loss &amp; more"));
  // The corners of the plot, and its middle.
  EXPECT_THAT(svg, HasSubstr("points=\"70.0,312.0 624.0,34.0\""));
  EXPECT_THAT(svg, HasSubstr("cx=\"347.0\" cy=\"173.0\""));
  EXPECT_EQ(CountOf(svg, "<polyline"), 2u);
  EXPECT_EQ(CountOf(svg, "<circle"), 3u);
  EXPECT_EQ(CountOf(svg, "</svg>"), 1u);
}

TEST(LineChart, LeavesOutWhatIsNoNumberOrHasNoLogarithm) {
  const std::string svg = SvgOf(LineChart{
      .x = {.label = "x", .logarithmic = true},
      .y = {.label = "y"},
      .series = {
          {.name = "a",
           .points = {
               {0, 1}, {1, NAN}, {1, INFINITY}, {1, 2}, {100, 4}, {10, 3}}}}});
  EXPECT_THAT(svg, HasSubstr("points=\"70.0,312.0 624.0,34.0 347.0,173.0\""));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
  EXPECT_THAT(svg, HasSubstr(">100</text>"));
}

TEST(LineChart, SaysWhenThereIsNothingAndTakesOnePoint) {
  const std::string empty = SvgOf(LineChart{.series = {{.points = {}}}});
  EXPECT_THAT(empty, HasSubstr("nothing to show"));
  for (const double value : {0.0, 3.0, -1e-300, 1e300}) {
    const std::string svg =
        SvgOf(LineChart{.series = {{.points = {{value, value}}}}});
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_EQ(CountOf(svg, "<circle"), 1u);
  }
}

TEST(BarChart, BarsAreAsLongAsTheirShare) {
  const std::string svg = SvgOf(BarChart{
      .title = "L0", .bars = {{"a<", 4}, {"b", 1}, {"c", NAN}, {"d", 0}}});
  EXPECT_THAT(svg, HasSubstr("a&lt;"));
  EXPECT_THAT(svg, HasSubstr("width=\"516.0\""));
  EXPECT_THAT(svg, HasSubstr("width=\"129.0\""));
  EXPECT_EQ(CountOf(svg, "width=\"0.0\""), 2u);
  EXPECT_THAT(SvgOf(BarChart{}), HasSubstr("nothing to show"));
}

}  // namespace
}  // namespace spar::base
