#include "client/explanation_text.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string_view>
#include <vector>

#include "client/module_map.h"
#include "client/named_line.h"
#include "client/text.h"
#include "client/unit_map.h"

#include "base/status.h"

namespace spar::client {
namespace {

using Tokens = google::protobuf::RepeatedPtrField<v1::Token>;

// Tokenizers that keep spaces put them into the tokens; word tokenizers drop
// them, and reading needs one between words.
bool KeepsSpaces(const Tokens& tokens) {
  return std::any_of(tokens.begin(), tokens.end(), [](const v1::Token& token) {
    return token.text().starts_with(' ');
  });
}

// A token as one piece: a leading space becomes the piece's own, white space
// alone becomes visible.
Piece PieceOf(const v1::Token& token, bool keeps_spaces, const Style& style) {
  std::string_view text = token.text();
  Piece piece;
  piece.space_before = !keeps_spaces;
  if (keeps_spaces && text.starts_with(' ') && text.size() > 1) {
    piece.space_before = true;
    text.remove_prefix(1);
  }
  piece.text = Escaped(text);
  if (text.find_first_not_of(' ') == std::string_view::npos) {
    piece.text.clear();
    for (size_t i = 0; i < text.size(); ++i) {
      piece.text += style.unicode ? "␣" : "_";
    }
  }
  return piece;
}

// The token for a sentence: without the space in front of it.
std::string Named(const v1::Token& token) {
  std::string_view text = token.text();
  if (text.size() > 1 && text.starts_with(' ')) text.remove_prefix(1);
  return Quoted(text);
}

// Words of a sentence behind a label.
std::string Sentence(std::string_view name,
                     std::string_view sentence,
                     const Style& style) {
  std::vector<Piece> words;
  const std::string safe = Escaped(sentence);
  for (size_t start = 0; start < safe.size();) {
    const size_t end = std::min(safe.find(' ', start), safe.size());
    const std::string word = safe.substr(start, end - start);
    if (!word.empty()) words.push_back({word, Width(word), true});
    start = end + 1;
  }
  return NamedLine(name, Wrapped(words, kNameColumns, style.columns), style);
}

std::string Share(const v1::Estimate& estimate, std::string_view of_what) {
  if (estimate.sample_count() == 0) return "could not be estimated";
  return base::Cat(Percent(estimate.value()), "  [", Percent(estimate.low()),
                   ", ", Percent(estimate.high()), "] of ",
                   WithCommas(estimate.sample_count()), " ", of_what);
}

Tone ToneOf(const v1::Explanation& explanation) {
  switch (explanation.verdict()) {
    case v1::VERDICT_CRYSTALLIZED:
      return explanation.telling() ? Tone::kGood : Tone::kDoubtful;
    case v1::VERDICT_UNSTABLE:
      return Tone::kBad;
    default:
      return Tone::kDoubtful;
  }
}

std::string Sizes(const v1::Explanation& explanation) {
  return base::Cat(WithCommas(explanation.kept_unit_count()), " of ",
                   WithCommas(explanation.unit_count()), " units, from ",
                   explanation.positions_size(), " of ",
                   explanation.prompt_size(), " positions");
}

std::string VerdictSentence(const v1::Explanation& explanation) {
  const std::string target = Named(explanation.target());
  switch (explanation.verdict()) {
    case v1::VERDICT_CRYSTALLIZED:
      return base::Cat(Sizes(explanation), ", still say ", target);
    case v1::VERDICT_PRIOR:
      return base::Cat("without any unit the scaffold already says ", target);
    case v1::VERDICT_DISTRIBUTED:
      return base::Cat("no sparse set was found; the best: ",
                       Sizes(explanation));
    case v1::VERDICT_UNSTABLE:
      return base::Cat("the full model does not say ", target,
                       " by the margin asked for");
    case v1::VERDICT_BUDGET_EXHAUSTED:
      return base::Cat(
          "the budget ended in the phase ", PhaseName(explanation.last_phase()),
          explanation.positions().empty()
              ? std::string("; nothing is verified")
              : base::Cat("; the best verified: ", Sizes(explanation)));
    default:
      return "";
  }
}

std::string PositionList(const v1::Explanation& explanation,
                         const Style& style) {
  std::vector<Piece> pieces;
  for (const v1::Position& position : explanation.positions()) {
    const std::string text = base::Cat(
        position.index(), " ", Named(position.token()),
        static_cast<int>(pieces.size()) + 1 < explanation.positions_size()
            ? ","
            : "");
    pieces.push_back({text, Width(text), true});
  }
  return Wrapped(pieces, kNameColumns, style.columns);
}

std::string Margins(const v1::Explanation& explanation) {
  std::string text =
      base::Cat("full ", Signed(explanation.full_margin()), "   no units ",
                Signed(explanation.empty_margin()), "   kept ",
                Signed(explanation.margin()));
  if (explanation.has_certificate()) {
    text += base::Cat("   needed ",
                      Signed(explanation.certificate().required_margin()));
  }
  return text;
}

// The best order's margin at a few shares of the units.
std::string Curve(const v1::Explanation& explanation, const Style& style) {
  std::vector<Piece> pieces;
  for (const v1::MarginPoint& point : explanation.margin_curve()) {
    const std::string text = base::Cat(Percent(point.kept_share()), ": ",
                                       Signed(point.margin()), ";");
    pieces.push_back({text, Width(text), true});
  }
  return Wrapped(pieces, kNameColumns, style.columns);
}

std::string Steps(int count) {
  return base::Cat(WithCommas(count), count == 1 ? " step" : " steps");
}

std::string AttackCurve(
    const google::protobuf::RepeatedPtrField<v1::AttackPoint>& curve) {
  std::string text;
  for (const v1::AttackPoint& point : curve) {
    text += base::Cat(text.empty() ? "" : ", ", point.step_count(), ": ",
                      Signed(point.worst_margin()));
  }
  return text;
}

// Always with the attack's three numbers: a set is robust to nothing else.
std::string AttackSentence(const v1::Robustness& robustness) {
  const std::string attack =
      base::Cat(Steps(robustness.step_count()), " of ", robustness.step_size(),
                " from ", WithCommas(robustness.restart_count()),
                robustness.restart_count() == 1 ? " start" : " starts");
  std::string text;
  if (robustness.holds()) {
    text = base::Cat("holds against this attack: ", attack,
                     "; worst margin after so many steps ",
                     AttackCurve(robustness.curve()), ". ");
  } else {
    text = base::Cat(
        "no set that holds against this attack was found: ", attack, ". ");
  }
  return base::Cat(text, "The plain set of ",
                   WithCommas(robustness.plain_unit_count()),
                   " units: ", AttackCurve(robustness.plain_curve()));
}

std::string Necessity(double complement_margin) {
  return base::Cat("all units but these, on the whole prompt, ",
                   complement_margin > 0 ? "say it too: " : "do not say it: ",
                   Signed(complement_margin));
}

std::string EffortText(const v1::Effort& effort) {
  return base::Cat(WithCommas(effort.row_count()), " rows, ",
                   WithCommas(effort.gradient_row_count()), " gradients, ",
                   WithCommas(effort.round_count()), " batches, ",
                   Seconds(effort.elapsed()));
}

// The enum value's name without its prefix, in words.
std::string WithoutPrefix(const std::string& name, std::string_view prefix) {
  std::string words =
      name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

}  // namespace

std::string VerdictName(v1::Verdict verdict) {
  return WithoutPrefix(v1::Verdict_Name(verdict), "VERDICT_");
}

std::string PhaseName(v1::Phase phase) {
  std::string name = WithoutPrefix(v1::Phase_Name(phase), "PHASE_");
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return name;
}

std::string FormatPrompt(const v1::Explanation& explanation,
                         int indent,
                         const Style& style) {
  std::set<int> kept;
  for (const v1::Position& position : explanation.positions()) {
    kept.insert(position.index());
  }
  const bool keeps_spaces = KeepsSpaces(explanation.prompt());
  std::vector<Piece> pieces;
  for (int i = 0; i < explanation.prompt_size(); ++i) {
    Piece piece = PieceOf(explanation.prompt(i), keeps_spaces, style);
    const bool lit = kept.count(i) > 0;
    if (lit && !style.color) piece.text = base::Cat("[", piece.text, "]");
    piece.columns = Width(piece.text);
    piece.text = Paint(style, lit ? Tone::kLit : Tone::kDim, piece.text);
    pieces.push_back(piece);
  }
  Piece arrow = PieceOf(explanation.target(), keeps_spaces, style);
  arrow.text = base::Cat(style.unicode ? "→ " : "-> ", arrow.text);
  arrow.columns = Width(arrow.text);
  arrow.text = Paint(style, Tone::kTarget, arrow.text);
  arrow.space_before = true;
  pieces.push_back(arrow);
  return Wrapped(pieces, indent, style.columns);
}

std::string FormatExplanation(const v1::Explanation& explanation,
                              const v1::Model& model,
                              const Style& style) {
  std::string text = "\n";
  text += NamedLine("prompt", FormatPrompt(explanation, kNameColumns, style),
                    style);
  text += NamedLine("verdict",
                    base::Cat(Paint(style, ToneOf(explanation),
                                    VerdictName(explanation.verdict())),
                              "  ", VerdictSentence(explanation)),
                    style);
  if (!explanation.units().empty()) {
    const bool of_modules = !explanation.units(0).module().empty();
    text += base::Cat(
        "\n",
        of_modules
            ? FormatModuleMap(explanation.units(), explanation.prompt(), style)
            : FormatUnitMap(explanation.units(), explanation.unit_count(),
                            model, style),
        "\n");
  }
  if (explanation.kept_unit_count() > 0) {
    text += NamedLine(
        "units",
        base::Cat(WithCommas(explanation.kept_unit_count()), " of ",
                  WithCommas(explanation.unit_count()), ", holding ",
                  Percent(explanation.parameter_share()), " of the parameters"),
        style);
  }
  if (!explanation.positions().empty()) {
    text += NamedLine("positions", PositionList(explanation, style), style);
  }
  text += NamedLine("margin", Margins(explanation), style);
  if (!explanation.margin_curve().empty()) {
    text += NamedLine("kept share", Curve(explanation, style), style);
  }
  if (explanation.has_complement_margin()) {
    text +=
        Sentence("without", Necessity(explanation.complement_margin()), style);
  }
  if (explanation.has_robustness()) {
    text += Sentence("attack", AttackSentence(explanation.robustness()), style);
  }
  if (!explanation.positions().empty()) {
    text += NamedLine("precision",
                      Share(explanation.precision(), "prompts that agree on T"),
                      style);
    text += NamedLine(
        "contrast", Share(explanation.contrast(), "prompts that say otherwise"),
        style);
  }
  if (!explanation.remark().empty()) {
    text += Sentence("remark", explanation.remark(), style);
  }
  text += NamedLine("effort", EffortText(explanation.effort()), style);
  return text;
}

}  // namespace spar::client
