#include "base/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/status.h"
#include "base/text.h"

namespace spar::base {
namespace {

constexpr double kChartWidth = 640, kChartHeight = 360;
constexpr double kLeft = 70, kRight = 16, kTop = 34, kBottom = 48;
constexpr double kBarHeight = 16;
constexpr const char* kColours[] = {"#2f6fb0", "#c8553d", "#3c8d5a", "#8a5aa6",
                                    "#b8862b", "#4a4a4a", "#1b9aaa", "#d46a9f",
                                    "#7a9e1f", "#5b5fc7", "#a34a28", "#9a9a9a"};

std::string Fixed(double value) {
  return Printed("%.1f", value);
}

std::string TextAt(double x,
                   double y,
                   std::string_view anchor,
                   std::string_view text,
                   std::string_view more = "") {
  return Cat("<text x=\"", Fixed(x), "\" y=\"", Fixed(y), "\" text-anchor=\"",
             anchor, "\"", more, ">", EscapedXml(text), "</text>\n");
}

std::string LineAt(double x1, double y1, double x2, double y2) {
  return Cat("<line x1=\"", Fixed(x1), "\" y1=\"", Fixed(y1), "\" x2=\"",
             Fixed(x2), "\" y2=\"", Fixed(y2), "\" stroke=\"#ddd\"/>\n");
}

std::string Begin(double height, std::string_view title) {
  return Cat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"",
             Fixed(kChartWidth), "\" height=\"", Fixed(height),
             "\" viewBox=\"0 0 ", Fixed(kChartWidth), " ", Fixed(height),
             "\" font-family=\"sans-serif\" font-size=\"12\">\n"
             "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
             TextAt(kChartWidth / 2, 20, "middle", title,
                    " font-size=\"14\" font-weight=\"bold\""));
}

// From values to places along one direction.
class ChartScale {
 public:
  ChartScale(const ChartAxis& axis, double begin, double end)
      : axis_(axis), begin_(begin), end_(end) {}

  bool Takes(double value) const {
    return std::isfinite(value) && (!axis_.logarithmic || value > 0);
  }
  void Add(double value) {
    low_ = std::min(low_, Linear(value));
    high_ = std::max(high_, Linear(value));
  }
  bool empty() const { return low_ > high_; }
  // All values are there: a little room around them.
  void Close() {
    if (!axis_.logarithmic && low_ > 0 && low_ < 0.5 * high_) low_ = 0;
    if (high_ - low_ > 1e-12 * std::max(std::abs(low_), std::abs(high_))) {
      return;
    }
    const double room = low_ == 0 ? 1 : 0.5 * std::abs(low_);
    low_ -= room;
    high_ += room;
  }
  double At(double value) const {
    return begin_ + (Linear(value) - low_) / (high_ - low_) * (end_ - begin_);
  }
  // Values of about six marks.
  std::vector<double> Ticks() const {
    std::vector<double> ticks;
    double step = std::pow(10.0, std::floor(std::log10((high_ - low_) / 5)));
    for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
      if ((high_ - low_) / (step * factor) > 7) continue;
      step *= factor;
      break;
    }
    if (axis_.logarithmic) step = std::max(1.0, std::round(step));
    const double first = std::ceil(low_ / step - 1e-9);
    for (int i = 0; i < 12; ++i) {
      const double at = (first + i) * step;
      if (at > high_ + 1e-9 * (high_ - low_)) break;
      ticks.push_back(axis_.logarithmic ? std::pow(10.0, at) : at);
    }
    return ticks;
  }

 private:
  double Linear(double value) const {
    return axis_.logarithmic ? std::log10(value) : value;
  }

  const ChartAxis& axis_;
  const double begin_, end_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

std::string Axes(const LineChart& chart,
                 const ChartScale& x,
                 const ChartScale& y) {
  const double bottom = kChartHeight - kBottom;
  std::string svg;
  for (const double tick : x.Ticks()) {
    svg += LineAt(x.At(tick), kTop, x.At(tick), bottom);
    svg += TextAt(x.At(tick), bottom + 16, "middle", Printed("%.4g", tick));
  }
  for (const double tick : y.Ticks()) {
    svg += LineAt(kLeft, y.At(tick), kChartWidth - kRight, y.At(tick));
    svg += TextAt(kLeft - 6, y.At(tick) + 4, "end", Printed("%.4g", tick));
  }
  svg += TextAt((kLeft + kChartWidth - kRight) / 2, kChartHeight - 10, "middle",
                chart.x.label);
  const double middle = (kTop + bottom) / 2;
  svg += TextAt(16, middle, "middle", chart.y.label,
                Cat(" transform=\"rotate(-90 16 ", Fixed(middle), ")\""));
  return svg;
}

std::string SeriesLine(const ChartSeries& series,
                       const char* colour,
                       const ChartScale& x,
                       const ChartScale& y) {
  std::string path, dots;
  for (const auto& [at_x, at_y] : series.points) {
    if (!x.Takes(at_x) || !y.Takes(at_y)) continue;
    const std::string px = Fixed(x.At(at_x)), py = Fixed(y.At(at_y));
    path += Cat(path.empty() ? "" : " ", px, ",", py);
    if (!series.marks) continue;
    dots += Cat("<circle cx=\"", px, "\" cy=\"", py, "\" r=\"3\" fill=\"",
                colour, "\"/>\n");
  }
  if (path.empty()) return "";
  return Cat("<polyline points=\"", path, "\" fill=\"none\" stroke=\"", colour,
             "\" stroke-width=\"1.8\"/>\n", dots);
}

}  // namespace

std::string EscapedXml(std::string_view text) {
  std::string escaped;
  for (size_t i = 0; i < text.size();) {
    const Utf8Character character = FirstCharacter(text.substr(i));
    const char32_t c = character.code;
    if (!character.valid || c < 0x20 || c == 0x7f) {
      escaped += "\xef\xbf\xbd";
    } else if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>') {
      escaped += "&gt;";
    } else if (c == '"') {
      escaped += "&quot;";
    } else {
      escaped += text.substr(i, character.bytes);
    }
    i += character.bytes;
  }
  return escaped;
}

std::string SvgOf(const LineChart& chart) {
  ChartScale x(chart.x, kLeft, kChartWidth - kRight);
  ChartScale y(chart.y, kChartHeight - kBottom, kTop);
  for (const ChartSeries& series : chart.series) {
    for (const auto& [at_x, at_y] : series.points) {
      if (!x.Takes(at_x) || !y.Takes(at_y)) continue;
      x.Add(at_x);
      y.Add(at_y);
    }
  }
  std::string svg = Begin(kChartHeight, chart.title);
  if (x.empty()) {
    return Cat(
        svg,
        TextAt(kChartWidth / 2, kChartHeight / 2, "middle", "nothing to show"),
        "</svg>\n");
  }
  x.Close();
  y.Close();
  svg += Axes(chart, x, y);
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const char* const colour = kColours[i % std::size(kColours)];
    svg += SeriesLine(chart.series[i], colour, x, y);
    if (chart.series.size() < 2) continue;
    const double row = kTop + 14 + 16 * static_cast<double>(i);
    svg += TextAt(kChartWidth - kRight - 6, row, "end", chart.series[i].name,
                  Cat(" fill=\"", colour, "\""));
  }
  return svg + "</svg>\n";
}

std::string SvgOf(const BarChart& chart) {
  const double height =
      kTop + kBottom + kBarHeight * static_cast<double>(chart.bars.size());
  double most = 0;
  size_t longest = 4;
  for (const auto& [name, value] : chart.bars) {
    if (std::isfinite(value)) most = std::max(most, value);
    longest = std::max(longest, name.size());
  }
  const double left =
      std::min(0.5 * kChartWidth, 16 + 7 * static_cast<double>(longest));
  const double room = kChartWidth - left - 80;
  std::string svg = Begin(height, chart.title);
  if (chart.bars.empty()) {
    svg += TextAt(kChartWidth / 2, kTop + 16, "middle", "nothing to show");
  }
  double y = kTop;
  for (const auto& [name, value] : chart.bars) {
    const double shown = std::isfinite(value) && most > 0 ? value / most : 0;
    svg += TextAt(left - 6, y + 12, "end", name);
    svg += Cat("<rect x=\"", Fixed(left), "\" y=\"", Fixed(y + 2),
               "\" width=\"", Fixed(shown * room), "\" height=\"",
               Fixed(kBarHeight - 4), "\" fill=\"", kColours[0], "\"/>\n");
    svg += TextAt(left + shown * room + 5, y + 12, "start",
                  Printed("%.4g", value));
    y += kBarHeight;
  }
  svg += TextAt((left + kChartWidth) / 2, height - 14, "middle",
                chart.value_label);
  return svg + "</svg>\n";
}

}  // namespace spar::base
