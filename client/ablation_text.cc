#include "client/ablation_text.h"

#include <cmath>
#include <cstdio>
#include <string_view>

#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kPartColumns = 34;
constexpr int kNumberColumns = 9;
constexpr int kProbabilityColumns = 11;

std::string Nats(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.4f", value);
  return buffer;
}

// "tokyo" 93 %, "paris" 4.1 %
std::string Candidates(const v1::AblatedPosition& position,
                       const Style& style) {
  std::string text;
  for (const v1::TokenScore& score : position.top()) {
    if (!text.empty()) text += ", ";
    const bool target = score.token().id() == position.target().id();
    text += base::Cat(Paint(style, target ? Tone::kTarget : Tone::kPlain,
                            Quoted(score.token().text())),
                      " ", Percent(std::exp(score.log_probability())));
  }
  return text;
}

std::string PositionLine(const std::string& head,
                         const v1::AblatedPosition& position,
                         const Style& style) {
  const Tone tone = position.margin() > 0 ? Tone::kGood : Tone::kBad;
  return base::Cat(
      Padded(head, kPartColumns),
      RightAligned(std::to_string(position.position()), 5),
      RightAligned(Nats(position.kl_divergence()), kNumberColumns), " ",
      Paint(style, tone,
            RightAligned(Signed(position.margin()), kNumberColumns)),
      RightAligned(Percent(std::exp(position.target_log_probability())),
                   kProbabilityColumns),
      "  ", Candidates(position, style), "\n");
}

std::string Changed(const v1::AblationRow& row) {
  if (row.has_generated()) {
    return base::Cat(row.step() + 1, " ", Quoted(row.generated().text()));
  }
  std::string text = row.has_step() ? Escaped(row.part()) : "as asked";
  if (row.has_part_position()) text += base::Cat(" @", row.part_position());
  if (row.sample() > 0) text += base::Cat(" ~", row.sample());
  return text;
}

}  // namespace

std::string FormatAblationStart(const v1::AblationStart& start,
                                const Style& style) {
  std::string prompt;
  for (const v1::Token& token : start.prompt()) {
    prompt += base::Cat(prompt.empty() ? "" : " ", Escaped(token.text()));
  }
  std::string text = base::Cat("prompt  ", prompt, "\n");
  if (start.baseline_size() == 1) {
    text +=
        base::Cat("target  ", Quoted(start.baseline(0).target().text()), "\n");
  }
  text += base::Cat(Padded("run", kPartColumns), "  pos",
                    RightAligned("KL", kNumberColumns), " ",
                    RightAligned("margin", kNumberColumns),
                    RightAligned("p(target)", kProbabilityColumns), "  says\n");
  for (const v1::AblatedPosition& position : start.baseline()) {
    text += PositionLine("the model itself", position, style);
  }
  return text;
}

std::string FormatAblationRow(const v1::AblationRow& row, const Style& style) {
  std::string text;
  for (const v1::AblatedPosition& position : row.positions()) {
    text += PositionLine(text.empty() ? Changed(row) : "", position, style);
  }
  return text;
}

}  // namespace spar::client
