#include "models/train/training_plots.h"

#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

#include "base/status.h"
#include "base/svg_chart.h"

namespace spar::models {
namespace {

using base::ChartSeries;
using base::LineChart;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr size_t kMostPoints = 1'000;    // of a line
constexpr size_t kMostModules = 11;      // with a line of their own
constexpr char kLossPrefix[] = "loss/";  // of a field's name

// One phase's numbers over its steps, by the name of their field.
using Course = std::map<std::string, std::vector<std::pair<double, double>>>;

// The warm-up's course, then training's.
std::pair<Course, Course> ReadCourses(const fs::path& file) {
  std::pair<Course, Course> courses;
  std::ifstream lines(file, std::ios::binary);
  for (std::string line; std::getline(lines, line);) {
    const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object()) continue;
    const auto phase = json.find("phase");
    const auto step = json.find("step");
    if (phase == json.end() || step == json.end() || !step->is_number()) {
      continue;
    }
    Course& course = *phase == "training" ? courses.second : courses.first;
    for (const auto& [name, value] : json.items()) {
      if (!value.is_number()) continue;
      course[name].emplace_back(step->get<double>(), value.get<double>());
    }
  }
  return courses;
}

// Every so-manieth point, the last one always.
ChartSeries Line(std::string name,
                 const std::vector<std::pair<double, double>>& points) {
  const size_t stride = points.size() / kMostPoints + 1;
  ChartSeries series{.name = std::move(name), .marks = points.size() == 1};
  for (size_t i = 0; i < points.size(); i += stride) {
    series.points.push_back(points[i]);
  }
  if ((points.size() - 1) % stride != 0) series.points.push_back(points.back());
  return series;
}

// A line for `all`, and one for each field that begins with `prefix`.
LineChart ChartOf(const Course& course,
                  const std::string& all,
                  const std::string& prefix,
                  LineChart chart) {
  chart.x.label = "step";
  if (const auto found = course.find(all); found != course.end()) {
    chart.series.push_back(Line(all, found->second));
  }
  for (const auto& [name, points] : course) {
    if (!name.starts_with(prefix)) continue;
    chart.series.push_back(Line(name.substr(prefix.size()), points));
  }
  return chart;
}

LineChart LossChart(const Course& course, std::string title) {
  return ChartOf(
      course, "total", kLossPrefix,
      {.title = std::move(title), .y = {.label = "loss", .logarithmic = true}});
}

LineChart ModuleChart(const Course& course,
                      const std::string& field,
                      std::string title) {
  LineChart chart =
      ChartOf(course, field, field + "/",
              {.title = std::move(title), .y = {.label = "subcomponents"}});
  if (chart.series.size() > kMostModules + 1) chart.series.resize(1);
  if (!chart.series.empty()) chart.series[0].name = "all modules";
  return chart;
}

}  // namespace

absl::Status WriteTrainingPlots(const fs::path& output) {
  const auto [warmup, course] = ReadCourses(output / "metrics.jsonl");
  std::map<std::string, LineChart> charts;
  charts["losses.svg"] = LossChart(course, "Losses");
  charts["l0.svg"] = ModuleChart(course, "l0", "L0: active by position");
  charts["alive.svg"] = ModuleChart(course, "alive", "Alive subcomponents");
  if (!warmup.empty()) {
    charts["faithfulness.svg"] = LossChart(warmup, "Warm-up on faithfulness");
  }
  const fs::path folder = output / "plots";
  std::error_code ignored;  // the files say so
  fs::create_directories(folder, ignored);
  for (const auto& [name, chart] : charts) {
    std::ofstream file(folder / name, std::ios::binary);
    file << SvgOf(chart);
    file.close();
    if (file) continue;
    return base::Error(absl::StatusCode::kUnavailable,
                       base::Cat("cannot write ", (folder / name).string()),
                       {.reason = "CANNOT_WRITE"});
  }
  return absl::OkStatus();
}

}  // namespace spar::models
