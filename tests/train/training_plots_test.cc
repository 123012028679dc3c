// Charts of a training's course, from its log.
#include "models/train/training_plots.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "models/train/metrics_log.h"

namespace spar::models {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

fs::path PlotFolder(const std::string& name) {
  const fs::path folder = fs::path(testing::TempDir()) / ("plots-" + name);
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

std::string TextOf(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Points of the n-th line of a chart.
size_t PointsOfLine(const std::string& svg, int n) {
  size_t at = 0;
  for (int i = 0; i <= n; ++i) at = svg.find("points=\"", at) + 8;
  const std::string points = svg.substr(at, svg.find('"', at) - at);
  return static_cast<size_t>(std::ranges::count(points, ','));
}

TrainProgress StepOf(int64_t step, int modules) {
  TrainProgress progress{.step = step,
                         .terms = {{.name = "A<Loss", .value = 10.0 * step}},
                         .total = static_cast<double>(step)};
  for (int i = 0; i < modules; ++i) {
    progress.modules.push_back({.name = "m" + std::to_string(i),
                                .l0 = static_cast<double>(step),
                                .alive = 7});
  }
  return progress;
}

TEST(TrainingPlots, DrawTheCourseOfEachPhase) {
  const fs::path output = PlotFolder("course");
  const MetricsLog log(output / "metrics.jsonl");
  TrainProgress warmup{.warming_up = true, .step = 1, .total = 3};
  ASSERT_TRUE(log.Append(warmup).ok());
  for (const int64_t step : {1, 10, 100}) {
    ASSERT_TRUE(log.Append(StepOf(step, 2)).ok());
  }
  ASSERT_TRUE(WriteTrainingPlots(output).ok());
  const std::string losses = TextOf(output / "plots" / "losses.svg");
  EXPECT_THAT(losses, HasSubstr("A&lt;Loss"));
  // Losses 1 to 1,000 on a logarithmic axis, over steps 1 to 100: the total is
  // a third of the way up at step 10 and two thirds at the end.
  EXPECT_THAT(losses,
              HasSubstr("points=\"75.5,312.0 125.4,219.3 624.0,126.7\""));
  EXPECT_THAT(losses,
              HasSubstr("points=\"75.5,219.3 125.4,126.7 624.0,34.0\""));
  const std::string l0 = TextOf(output / "plots" / "l0.svg");
  EXPECT_THAT(l0, HasSubstr(">all modules</text>"));
  EXPECT_THAT(l0, HasSubstr(">m1</text>"));
  EXPECT_THAT(TextOf(output / "plots" / "alive.svg"), HasSubstr(">m0</text>"));
  EXPECT_THAT(TextOf(output / "plots" / "faithfulness.svg"),
              HasSubstr("<polyline"));
}

TEST(TrainingPlots, LeaveOutBadLinesAndThinManyOut) {
  const fs::path output = PlotFolder("many");
  {
    std::ofstream file(output / "metrics.jsonl");
    file << "[1]\n{\"step\": 1}\n{\"phase\": 3, \"step\": \"x\"}\n{\"pha\n";
    for (int step = 1; step <= 4'999; ++step) {
      file << MetricsLine(StepOf(step, 12)) << "\n";
    }
  }
  ASSERT_TRUE(WriteTrainingPlots(output).ok());
  const std::string losses = TextOf(output / "plots" / "losses.svg");
  EXPECT_EQ(PointsOfLine(losses, 0), 1'001);  // every fifth, and the last
  EXPECT_THAT(losses, HasSubstr("624.0,"));
  EXPECT_THAT(TextOf(output / "plots" / "l0.svg"), Not(HasSubstr("m11")));
  EXPECT_FALSE(fs::exists(output / "plots" / "faithfulness.svg"));
}

TEST(TrainingPlots, SayWhatCannotBeWritten) {
  const fs::path output = PlotFolder("blocked");
  std::ofstream(output / "plots") << "a file";
  const absl::Status status = WriteTrainingPlots(output);
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

}  // namespace
}  // namespace spar::models
