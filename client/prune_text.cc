#include "client/prune_text.h"

#include <algorithm>
#include <string_view>

#include "client/module_map.h"
#include "client/named_line.h"
#include "client/pruned_rows.h"
#include "client/share_bar.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kRowColumns = 6;
constexpr int kPriceColumns = 13;
constexpr int kFigureColumns = 9;
constexpr int kMarkColumns = 3;
constexpr int kCertifiedColumns = 11;
constexpr int kMostBarColumns = 12;
// Row, price, nodes, L0, CE, KL, margin, mark, certified, and a space for each
// bar.
constexpr int kPlainColumns = kRowColumns + kPriceColumns + 5 * kFigureColumns +
                              kMarkColumns + kCertifiedColumns + 2;

// What a table's bars are measured against.
struct Scale {
  int bar_columns = 0;
  double most_nodes = 0;
  double largest_loss = 0;
};

double LossOf(const v1::PruneCurvePoint& point, v1::PruneLoss loss) {
  return loss == v1::PRUNE_LOSS_DIVERGENCE ? point.kl_divergence()
                                           : point.cross_entropy();
}

Scale ScaleOf(const v1::PruneCurve& curve,
              v1::PruneLoss loss,
              const Style& style) {
  Scale scale;
  scale.bar_columns =
      style.columns == 0
          ? kMostBarColumns
          : std::clamp((style.columns - kPlainColumns) / 2, 0, kMostBarColumns);
  for (const v1::PruneCurvePoint& point : curve.points()) {
    scale.most_nodes =
        std::max(scale.most_nodes, static_cast<double>(point.node_count()));
    scale.largest_loss = std::max(scale.largest_loss, LossOf(point, loss));
  }
  return scale;
}

std::string BarColumn(double value,
                      double most,
                      Tone tone,
                      const Scale& scale,
                      const Style& style) {
  if (scale.bar_columns == 0) return " ";
  const double share = most > 0 ? value / most : 0;
  return base::Cat(
      " ", Paint(style, tone, ShareBar(share, scale.bar_columns, style)));
}

std::string Heading(const Scale& scale, v1::PruneLoss loss, bool certified) {
  const bool by_divergence = loss == v1::PRUNE_LOSS_DIVERGENCE;
  const std::string space(static_cast<size_t>(scale.bar_columns + 1), ' ');
  return base::Cat(
      RightAligned("row", kRowColumns),
      RightAligned("coefficient", kPriceColumns),
      RightAligned("nodes", kFigureColumns), space,
      RightAligned("L0", kFigureColumns), RightAligned("CE", kFigureColumns),
      by_divergence ? "" : space, RightAligned("KL", kFigureColumns),
      by_divergence ? space : "", RightAligned("margin", kFigureColumns),
      certified ? RightAligned("certified", kMarkColumns + kCertifiedColumns)
                : "");
}

std::string_view Mark(const Style& style) {
  return style.unicode ? "●" : "*";
}

std::string PointLine(const v1::PruneCurvePoint& point,
                      const PruneAnswer& answer,
                      int row,
                      const Scale& scale,
                      const Style& style) {
  const v1::PruneLoss loss = answer.header.options().loss();
  const std::string loss_bar = BarColumn(
      LossOf(point, loss), scale.largest_loss, Tone::kDoubtful, scale, style);
  const bool by_divergence = loss == v1::PRUNE_LOSS_DIVERGENCE;
  const double price = answer.header.coefficients(point.coefficient_index());
  const std::string certified =
      point.has_crystallized_node_count()
          ? WithCommas(point.crystallized_node_count())
          : std::string("-");
  // Nothing stands at the end of a line.
  const int marked =
      point.on_frontier() || !answer.explanations.empty() ? kMarkColumns : 0;
  return base::Cat(
      RightAligned(std::to_string(row), kRowColumns),
      RightAligned(Printed("%g", price), kPriceColumns),
      RightAligned(WithCommas(point.node_count()), kFigureColumns),
      BarColumn(static_cast<double>(point.node_count()), scale.most_nodes,
                Tone::kLit, scale, style),
      RightAligned(
          Printed("%.2f", answer.rows[static_cast<size_t>(row)].mean_l0()),
          kFigureColumns),
      RightAligned(Printed("%.4f", point.cross_entropy()), kFigureColumns),
      by_divergence ? "" : loss_bar,
      RightAligned(Printed("%.4f", point.kl_divergence()), kFigureColumns),
      by_divergence ? loss_bar : "",
      Paint(style, point.margin() > 0 ? Tone::kGood : Tone::kBad,
            RightAligned(Signed(point.margin()), kFigureColumns)),
      RightAligned(point.on_frontier() ? Mark(style) : "", marked),
      answer.explanations.empty() ? ""
                                  : RightAligned(certified, kCertifiedColumns),
      "\n");
}

std::string Reading(const v1::PruneReading& reading, const Style& style) {
  return base::Cat("margin ",
                   Paint(style, reading.margin() > 0 ? Tone::kGood : Tone::kBad,
                         Signed(reading.margin())),
                   "   p ", Percent(reading.probability()), "   CE ",
                   Printed("%.4f", reading.cross_entropy()), "   KL ",
                   Printed("%.4f", reading.kl_divergence()));
}

std::string Steps(const v1::PrunedRow& row) {
  return base::Cat(WithCommas(row.step_count()),
                   row.step_count() == 1 ? " step" : " steps",
                   row.stopped_early() ? ", ended early" : "");
}

// The chosen row: why, what its runs say, its nodes.
std::string Chosen(const PruneAnswer& answer,
                   const v1::PruneCurvePoint& point,
                   int number,
                   const Style& style) {
  const v1::PrunedRow& row = answer.rows[static_cast<size_t>(number)];
  const v1::PrunedPrompt& prompt = answer.header.prompts(row.prompt_index());
  const std::string target = Quoted(row.target().text());
  const bool says = point.on_frontier() && point.margin() > 0;
  std::string text = NamedLine(
      "chosen",
      says ? base::Cat("row ", number,
                       ": the smallest set on the frontier that still says ",
                       target)
           : base::Cat("row ", number, ": no set on the frontier says ", target,
                       ", this one comes closest"),
      style);
  text += NamedLine("nodes",
                    base::Cat(WithCommas(row.node_count()), " of ",
                              WithCommas(row.start_node_count()),
                              " that it started from, after ", Steps(row)),
                    style);
  text += NamedLine("masked", Reading(row.masked_run(), style), style);
  text += NamedLine("rounded", Reading(row.rounded_run(), style), style);
  if (row.has_attacked_run()) {
    text += NamedLine("attacked", Reading(row.attacked_run(), style), style);
  }
  if (!row.has_nodes()) {
    return text + NamedLine("map", "too many nodes to be told", style);
  }
  return base::Cat(text, "\n",
                   FormatModuleMap(UnitsOf(answer.header, row.nodes()),
                                   prompt.tokens(), style));
}

}  // namespace

std::string FormatPruning(const PruneAnswer& answer, const Style& style) {
  const int num_prompts = answer.header.prompts_size();
  const int num_prices = answer.header.coefficients_size();
  int64_t num_steps = 0;
  for (const v1::PrunedRow& row : answer.rows) num_steps += row.step_count();
  return NamedLine(
      "pruned",
      base::Cat(WithCommas(num_prompts),
                num_prompts == 1 ? " prompt" : " prompts", " at ",
                WithCommas(num_prices), num_prices == 1 ? " price" : " prices",
                ", nodes of ", Escaped(answer.header.decomposition()), "; ",
                WithCommas(num_steps), " steps, ",
                Seconds(answer.summary.elapsed())),
      style);
}

std::string FormatPrunedPrompt(const PruneAnswer& answer,
                               int prompt_index,
                               const Style& style) {
  const v1::PrunedPrompt& prompt = answer.header.prompts(prompt_index);
  const v1::PruneCurve& curve = answer.summary.curves(prompt_index);
  const v1::PrunedRow& first =
      answer.rows[static_cast<size_t>(answer.RowOf(prompt_index, 0))];
  const v1::PruneLoss loss = answer.header.options().loss();
  std::string tokens;
  for (const v1::Token& token : prompt.tokens()) {
    tokens += base::Cat(tokens.empty() ? "" : " ", Escaped(token.text()));
  }
  std::string text = base::Cat("\n", NamedLine("prompt", tokens, style));
  std::string target =
      Paint(style, Tone::kTarget, Quoted(first.target().text()));
  if (prompt.position() + 1 < prompt.tokens_size()) {
    target += base::Cat(" after position ", prompt.position());
  }
  text += NamedLine("target", target, style);
  text += NamedLine("model", Reading(first.target_run(), style), style);
  const Scale scale = ScaleOf(curve, loss, style);
  text += base::Cat("\n",
                    Paint(style, Tone::kDim,
                          Heading(scale, loss, !answer.explanations.empty())),
                    "\n");
  for (const v1::PruneCurvePoint& point : curve.points()) {
    text += PointLine(point, answer,
                      answer.RowOf(prompt_index, point.coefficient_index()),
                      scale, style);
  }
  const v1::PruneCurvePoint& chosen = curve.points(ChosenPoint(curve));
  return base::Cat(
      text,
      Paint(style, Tone::kDim,
            base::Cat("  ", Mark(style),
                      " on the frontier: nothing with fewer nodes, or as many, "
                      "loses less")),
      "\n\n", Chosen(answer, chosen, ChosenRow(answer, prompt_index), style));
}

int ChosenRow(const PruneAnswer& answer, int prompt_index) {
  const v1::PruneCurve& curve = answer.summary.curves(prompt_index);
  return answer.RowOf(prompt_index,
                      curve.points(ChosenPoint(curve)).coefficient_index());
}

}  // namespace spar::client
