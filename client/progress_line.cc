#include "client/progress_line.h"

#include <cmath>
#include <cstdint>

#include "client/explanation_text.h"
#include "client/text.h"
#include "client/training_text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kPhaseColumns = 21;  // of the longest phase name

std::string Spinner(int64_t frame, const Style& style) {
  constexpr const char* kFrames[] = {"⠋", "⠙", "⠸", "⠴", "⠦", "⠇"};
  if (!style.live || !style.unicode) return "";
  return base::Cat(kFrames[static_cast<uint64_t>(frame) % 6], " ");
}

std::string ClippedToScreen(const std::string& line, const Style& style) {
  if (style.columns == 0) return line;
  // The last column stays free: some terminals wrap when it is written.
  return Clipped(line, style.columns - 1, style.unicode ? "…" : "...");
}

}  // namespace

std::string FormatProgress(const v1::CrystallizeEvent& event,
                           const Style& style) {
  const v1::Effort& effort = event.effort();
  return ClippedToScreen(
      base::Cat(Spinner(event.sequence(), style),
                Padded(PhaseName(event.phase()), kPhaseColumns), "  margin ",
                Signed(event.margin()), "  |S| ",
                WithCommas(event.kept_unit_count()), "/",
                WithCommas(event.unit_count()), "  |T| ",
                event.positions_size(), "  ", WithCommas(effort.row_count()),
                " rows  ", Seconds(effort.elapsed())),
      style);
}

std::string FormatProgress(const v1::PruneProgress& progress,
                           const Style& style) {
  const double seconds = SecondsOf(progress.elapsed());
  char loss[32];
  std::snprintf(loss, sizeof loss, "%.4f", progress.mean_losses().total());
  std::string line = base::Cat(
      Spinner(static_cast<int64_t>(10 * seconds), style), "rows ",
      WithCommas(progress.ended_row_count()), "/",
      WithCommas(progress.row_count()), "  steps ",
      WithCommas(progress.step_count()), "/",
      WithCommas(progress.max_step_count()), "  nodes ",
      WithCommas(std::llround(progress.mean_node_count())), "  loss ", loss);
  if (progress.crystallized_row_count() > 0) {
    line +=
        base::Cat("  searched ", WithCommas(progress.crystallized_row_count()));
  }
  return ClippedToScreen(base::Cat(line, "  ", Seconds(seconds)), style);
}

std::string FormatProgress(const v1::EvaluationProgress& progress,
                           const Style& style) {
  const double seconds = SecondsOf(progress.elapsed());
  const double whole = static_cast<double>(progress.max_step_count());
  const char* const phase =
      progress.phase() == v1::EVALUATION_PHASE_ATTACK   ? "attacks"
      : progress.phase() == v1::EVALUATION_PHASE_SUBSET ? "subsets"
                                                        : "masks";
  return ClippedToScreen(
      base::Cat(
          Spinner(static_cast<int64_t>(10 * seconds), style), Padded(phase, 8),
          " runs ", WithCommas(progress.step_count()), "/",
          WithCommas(progress.max_step_count()), "  ",
          Percent(whole > 0 ? static_cast<double>(progress.step_count()) / whole
                            : 0),
          "  ", Seconds(seconds)),
      style);
}

std::string FormatProgress(const v1::TrainingProgress& progress,
                           const Style& style) {
  return ClippedToScreen(TrainingText(progress), style);
}

ProgressLine::ProgressLine(std::FILE* out, const Style& style)
    : out_(out), style_(style) {}

ProgressLine::~ProgressLine() {
  Clear();
}

void ProgressLine::Show(const std::string& line) {
  const char* const format = style_.live ? "\r%s\x1b[K" : "%s\n";
  std::fprintf(out_, format, line.c_str());
  std::fflush(out_);
  dirty_ = style_.live;
}

void ProgressLine::Clear() {
  if (!dirty_) return;
  std::fputs("\r\x1b[K", out_);
  std::fflush(out_);
  dirty_ = false;
}

}  // namespace spar::client
