#include "client/progress_line.h"

#include <cstdio>
#include <memory>
#include <string>

#include "client/text.h"
#include <gtest/gtest.h>

namespace spar::client {
namespace {

v1::CrystallizeEvent SampleEvent() {
  v1::CrystallizeEvent event;
  event.set_sequence(1);
  event.set_phase(v1::PHASE_DELETION);
  event.set_margin(2.714);
  event.set_kept_unit_count(12);
  event.set_unit_count(2064);
  event.add_positions();
  event.mutable_effort()->set_row_count(1204);
  event.mutable_effort()->mutable_elapsed()->set_seconds(3);
  return event;
}

// What `write` leaves in a file.
template <typename Write>
std::string Written(const Write& write) {
  std::FILE* const file = std::tmpfile();
  write(file);
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  std::fclose(file);
  return text;
}

TEST(FormatProgress, SaysPhaseMarginSizesAndWork) {
  EXPECT_EQ(FormatProgress(SampleEvent(), Style()),
            "deletion               margin +2.714  |S| 12/2,064  |T| 1  "
            "1,204 rows  3.00 s");
}

TEST(FormatProgress, NeverReachesTheLastColumn) {
  Style style;
  style.columns = 40;
  EXPECT_EQ(Width(FormatProgress(SampleEvent(), style)), 39);
}

TEST(FormatProgress, SaysRowsStepsNodesLossAndSearchesOfAPruning) {
  v1::PruneProgress progress;
  progress.set_row_count(8);
  progress.set_ended_row_count(3);
  progress.set_step_count(12'400);
  progress.set_max_step_count(16'000);
  progress.set_mean_node_count(213.6);
  progress.mutable_mean_losses()->set_total(0.43121);
  progress.mutable_elapsed()->set_seconds(3);
  EXPECT_EQ(FormatProgress(progress, Style()),
            "rows 3/8  steps 12,400/16,000  nodes 214  loss 0.4312  3.00 s");
  progress.set_crystallized_row_count(2);
  EXPECT_EQ(FormatProgress(progress, Style()),
            "rows 3/8  steps 12,400/16,000  nodes 214  loss 0.4312  "
            "searched 2  3.00 s");
  Style screen;
  screen.columns = 40;
  screen.live = true;
  const std::string line = FormatProgress(progress, screen);
  EXPECT_EQ(Width(line), 39);
  EXPECT_TRUE(line.starts_with("⠋ rows 3/8")) << line;
}

TEST(ProgressLine, RewritesItsLineOnAScreenAndClearsIt) {
  Style style;
  style.live = true;
  style.unicode = false;
  const std::string line = FormatProgress(SampleEvent(), style);
  EXPECT_EQ(Written([&](std::FILE* file) {
              ProgressLine progress(file, style);
              progress.Show(line);
              progress.Show(line);
            }),
            "\r" + line + "\x1b[K\r" + line + "\x1b[K\r\x1b[K");
}

TEST(ProgressLine, WritesALineAnEventElsewhere) {
  const std::string line = FormatProgress(SampleEvent(), Style());
  EXPECT_EQ(Written([&](std::FILE* file) {
              ProgressLine progress(file, Style());
              progress.Show(line);
            }),
            line + "\n");
}

TEST(ProgressLine, WritesNothingWithoutEvents) {
  Style style;
  style.live = true;
  EXPECT_EQ(Written([&](std::FILE* file) { ProgressLine line(file, style); }),
            "");
}

}  // namespace
}  // namespace spar::client
