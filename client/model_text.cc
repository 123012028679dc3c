#include "client/model_text.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kBarColumns = 24;
constexpr int kIndexColumns = 5;
constexpr int kTokenColumns = 16;
constexpr int kMostFindings = 20;

std::string Scientific(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.1e", value);
  return buffer;
}

// One line a candidate: token, probability, bar.
std::string CandidateLine(const v1::TokenScore& score, const Style& style) {
  const double probability = std::exp(score.log_probability());
  const int cells = static_cast<int>(
      std::lround(std::clamp(probability, 0.0, 1.0) * kBarColumns));
  std::string bar;
  for (int i = 0; i < cells; ++i) bar += style.unicode ? "█" : "#";
  std::string line =
      base::Cat(Padded(Quoted(score.token().text()), kTokenColumns), " ",
                RightAligned(Percent(probability), 8));
  if (!bar.empty()) line += "  " + Paint(style, Tone::kLit, bar);
  return line + "\n";
}

std::string_view NameOf(v1::CertificateVerdict verdict) {
  switch (verdict) {
    case v1::CERTIFICATE_VERDICT_VALID:
      return "VALID";
    case v1::CERTIFICATE_VERDICT_VALID_WITH_BORDERLINE:
      return "VALID WITH BORDERLINE";
    case v1::CERTIFICATE_VERDICT_INVALID:
      return "INVALID";
    default:
      return "UNSPECIFIED";
  }
}

Tone ToneOf(v1::CertificateVerdict verdict) {
  switch (verdict) {
    case v1::CERTIFICATE_VERDICT_VALID:
      return Tone::kGood;
    case v1::CERTIFICATE_VERDICT_VALID_WITH_BORDERLINE:
      return Tone::kDoubtful;
    default:
      return Tone::kBad;
  }
}

}  // namespace

std::string FormatModels(const std::vector<v1::Model>& models,
                         const Style& style) {
  std::string text;
  for (const v1::Model& model : models) {
    text += base::Cat(
        Paint(style, Tone::kLit, Escaped(model.name())), "\n  ",
        Escaped(model.family()), ", ", model.layer_count(), " layers of ",
        model.head_count(), " heads and ", WithCommas(model.neuron_count()),
        " neurons: ", WithCommas(model.unit_count()), " units\n  width ",
        WithCommas(model.width()), ", vocabulary ",
        WithCommas(model.vocab_size()), ", prompts of up to ",
        WithCommas(model.context_length()), " tokens\n  ",
        WithCommas(model.parameter_count()), " parameters, ",
        Escaped(model.dtype()), " on ", Escaped(model.device()),
        ", noise floor ", Scientific(model.noise_floor()), " logits\n  ",
        model.has_reference_prompts() ? "with" : "without",
        " reference prompts\n  digest ", Escaped(model.digest()), "\n");
    for (const v1::ModelDecomposition& one : model.decompositions()) {
      text += base::Cat("  ", Escaped(one.name()), ", ",
                        WithCommas(one.memory_bytes()), " bytes\n");
    }
  }
  return text;
}

std::string FormatTokens(const v1::TokenizeResponse& response) {
  std::string text;
  for (int i = 0; i < response.tokens_size(); ++i) {
    const v1::Token& token = response.tokens(i);
    text += base::Cat(RightAligned(std::to_string(i), kIndexColumns), "  ",
                      RightAligned(std::to_string(token.id()), kIndexColumns),
                      "  ", Quoted(token.text()), "\n");
  }
  return text;
}

std::string FormatPrediction(const v1::PredictResponse& response,
                             const Style& style) {
  std::string text;
  for (const v1::PositionPrediction& prediction : response.predictions()) {
    const std::string head = base::Cat(
        RightAligned(std::to_string(prediction.position()), kIndexColumns),
        "  ", Padded(Quoted(prediction.token().text()), kTokenColumns),
        style.unicode ? " → " : " -> ");
    const std::string indent(static_cast<size_t>(Width(head)), ' ');
    bool first = true;
    for (const v1::TokenScore& score : prediction.top()) {
      text += (first ? head : indent) + CandidateLine(score, style);
      first = false;
    }
  }
  return text;
}

std::string FormatVerification(const v1::VerifyResponse& response,
                               const Style& style) {
  std::string text = base::Cat(
      Paint(style, ToneOf(response.verdict()), NameOf(response.verdict())),
      "  margin ", Signed(response.margin()), " re-computed in ",
      WithCommas(response.row_count()), " rows; largest difference ",
      Scientific(response.largest_difference()), " logits\n");
  const int told = std::min(response.findings_size(), kMostFindings);
  for (int i = 0; i < told; ++i) {
    text += base::Cat("  ", Escaped(response.findings(i)), "\n");
  }
  if (told < response.findings_size()) {
    text += base::Cat("  and ", WithCommas(response.findings_size() - told),
                      " more findings, which --output json has\n");
  }
  return text;
}

}  // namespace spar::client
