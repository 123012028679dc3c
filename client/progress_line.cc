#include "client/progress_line.h"

#include "client/explanation_text.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kPhaseColumns = 21;  // of the longest phase name

std::string Spinner(const v1::CrystallizeEvent& event, const Style& style) {
  constexpr const char* kFrames[] = {"⠋", "⠙", "⠸", "⠴", "⠦", "⠇"};
  if (!style.live || !style.unicode) return "";
  return base::Cat(kFrames[event.sequence() % 6], " ");
}

}  // namespace

std::string FormatProgress(const v1::CrystallizeEvent& event,
                           const Style& style) {
  const v1::Effort& effort = event.effort();
  const double seconds = static_cast<double>(effort.elapsed().seconds()) +
                         1e-9 * effort.elapsed().nanos();
  const std::string line = base::Cat(
      Spinner(event, style), Padded(PhaseName(event.phase()), kPhaseColumns),
      "  margin ", Signed(event.margin()), "  |S| ",
      WithCommas(event.kept_unit_count()), "/", WithCommas(event.unit_count()),
      "  |T| ", event.positions_size(), "  ", WithCommas(effort.row_count()),
      " rows  ", Seconds(seconds));
  if (style.columns == 0) return line;
  // The last column stays free: some terminals wrap when it is written.
  return Clipped(line, style.columns - 1, style.unicode ? "…" : "...");
}

ProgressLine::ProgressLine(std::FILE* out, const Style& style)
    : out_(out), style_(style) {}

ProgressLine::~ProgressLine() {
  Clear();
}

void ProgressLine::Show(const v1::CrystallizeEvent& event) {
  const std::string line = FormatProgress(event, style_);
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
