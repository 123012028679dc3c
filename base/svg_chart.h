// L0. Small charts as SVG, for reports. One file, no scripts, no fonts of its
// own; every text is escaped.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spar::base {

// How one direction of a chart is divided.
struct ChartAxis {
  std::string label = {};
  bool logarithmic = false;  // what is not above 0 is left out
};

struct ChartSeries {
  std::string name = {};
  std::vector<std::pair<double, double>> points = {};  // x, y; in their order
  bool marks = true;                                   // a dot at each point
};

struct LineChart {
  std::string title = {};
  ChartAxis x = {};
  ChartAxis y = {};
  std::vector<ChartSeries> series = {};
};

struct BarChart {
  std::string title = {};
  std::string value_label = {};
  std::vector<std::pair<std::string, double>> bars = {};  // name, 0 or more
};

// A whole SVG document. Points that are no finite numbers are left out; a chart
// without any says so.
std::string SvgOf(const LineChart& chart);
std::string SvgOf(const BarChart& chart);

// Text between tags or in an attribute; control characters become U+FFFD.
std::string EscapedXml(std::string_view text);

}  // namespace spar::base
