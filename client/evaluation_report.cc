#include "client/evaluation_report.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "client/evaluation_text.h"
#include "client/text.h"

#include "base/status.h"
#include "base/svg_chart.h"

namespace spar::client {
namespace {

using base::BarChart;
using base::Cat;
using base::ChartSeries;
using base::LineChart;

constexpr size_t kMostDensityPoints = 400;

// Text in a table's cell: what Markdown would act on is escaped.
std::string InCell(std::string_view text) {
  std::string cell;
  for (const char c : Escaped(text)) {
    if (std::string_view("\\`*_{}[]<>|#").find(c) != std::string_view::npos) {
      cell.push_back('\\');
    }
    cell.push_back(c);
  }
  return cell;
}

std::string Row(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) row += Cat(" ", cell, " |");
  return row + "\n";
}

// The first column is text, the others are numbers.
std::string TableHead(const std::vector<std::string>& cells) {
  std::string rule = "| --- |";
  for (size_t i = 1; i < cells.size(); ++i) rule += " ---: |";
  return Cat("\n", Row(cells), rule, "\n");
}

std::string Four(double value) {
  return Printed("%.4f", value);
}

std::string Picture(std::string_view name, std::string_view what) {
  return Cat("\n![", what, "](", name, ")\n");
}

std::string Summary(const EvaluationAnswer& answer) {
  const v1::EvaluationHeader& header = answer.header;
  const v1::EvaluationOptions& options = header.options();
  const v1::EvaluatedSparsity& sparsity = answer.sparsity;
  return Cat("# Evaluation of ", InCell(header.name()), "\n\nDecomposition `",
             Escaped(header.digest()), "` of model `",
             Escaped(header.model_digest()), "`, on ",
             WithCommas(header.token_count()), " tokens in ",
             WithCommas(header.row_count()), " rows, ",
             WithCommas(header.batch_count()), " batches; seed ",
             static_cast<uint64_t>(options.seed()), ".\n\n* Delta is ",
             Printed("%.3e", answer.faithfulness.all().relative()),
             " of the weights by mean square, ",
             Printed("%.3e", answer.faithfulness.all().delta_mean_square()),
             " an entry.\n* ", Printed("%.2f", sparsity.mean_l0()),
             " subcomponents are active by position (importance above ",
             Printed("%g", options.alive_threshold()), "); ",
             WithCommas(sparsity.alive_count()), " of ",
             WithCommas(sparsity.subcomponent_count()),
             " are alive (mean importance above ",
             Printed("%g", options.alive_mean_importance()), ").\n");
}

std::string Tables(const EvaluationAnswer& answer) {
  std::string text = "\n## What masked runs say\n";
  for (size_t i = 0; i < answer.reconstructions.size(); ++i) {
    text += TableHead({Cat("masks of ", InCell(NameOfTable(answer, i))), "CE",
                       "loss", "unrecovered", "KL"});
    for (const v1::MaskedReading& reading :
         answer.reconstructions[i].readings()) {
      text += Row({std::string(NameOf(reading.masks())),
                   Four(reading.cross_entropy()),
                   Printed("%+.4f", reading.cross_entropy_difference()),
                   reading.has_cross_entropy_unrecovered()
                       ? Percent(reading.cross_entropy_unrecovered())
                       : "-",
                   Four(reading.kl_divergence())});
    }
  }
  return text + Cat("\nCross-entropy (CE) of the next token and KL(model || "
                    "run) in nats; CI rounded above ",
                    Printed("%g", answer.header.options().rounding_threshold()),
                    ".\n");
}

std::string ModuleTable(const EvaluationAnswer& answer) {
  std::string text = Cat(
      "\n## Modules\n",
      TableHead({"module", "C", "alive", "L0", "Delta/W", "CI error",
                 "CI error/own", "stochastic error", "stochastic error/own"}));
  const auto errors = [&](int m, int which) {
    const v1::OutputError& error =
        answer.output_errors[static_cast<size_t>(which)].modules(m);
    const double own = error.mean_square();
    return std::pair(Printed("%.3e", error.mean_square_error()),
                     own > 0 ? Printed("%.3e", error.mean_square_error() / own)
                             : std::string("-"));
  };
  for (int m = 0; m < answer.header.modules_size(); ++m) {
    const v1::EvaluatedModule& module = answer.header.modules(m);
    const v1::EvaluatedModuleSparsity& sparsity =
        answer.modules[static_cast<size_t>(m)];
    const auto ci = errors(m, 0), stochastic = errors(m, 1);
    text += Row({InCell(module.name()), WithCommas(module.subcomponent_count()),
                 WithCommas(sparsity.alive_count()),
                 Printed("%.2f", sparsity.mean_l0()),
                 Printed("%.2e", answer.faithfulness.modules(m).relative()),
                 ci.first, ci.second, stochastic.first, stochastic.second});
  }
  text +=
      "\nErrors are mean squares of what a module writes less what it writes "
      "in the model's own run, and that over the latter's mean square.\n";
  text += Picture("l0.svg", "Active subcomponents by module");
  return text + Picture("density.svg", "Activation density");
}

std::string PatternTable(const EvaluationAnswer& answer) {
  std::vector<std::string> head = {"masks"};
  const int layers = answer.pattern_errors[0].layers_size();
  for (int layer = 0; layer < layers; ++layer) {
    head.push_back(Cat("layer ", layer));
  }
  head.emplace_back("all");
  std::string text = Cat("\n## Attention patterns\n", TableHead(head));
  for (const v1::EvaluatedPatternErrors& errors : answer.pattern_errors) {
    std::vector<std::string> cells = {std::string(NameOf(errors.masks()))};
    for (const double layer : errors.layers()) cells.push_back(Four(layer));
    cells.push_back(Four(errors.all()));
    text += Row(cells);
  }
  return text + "\nKL(model's pattern || masked pattern), nats.\n";
}

std::string Curves(const EvaluationAnswer& answer) {
  std::string text = "\n## Cross-entropy against sparsity\n";
  for (size_t i = 0; i < answer.curves.size(); ++i) {
    text += TableHead({Cat("threshold, ", InCell(NameOfTable(answer, i))), "L0",
                       "active parameters", "CE", "loss", "KL"});
    for (const v1::SparsityPoint& point : answer.curves[i].points()) {
      text += Row({Printed("%g", point.threshold()),
                   Printed("%.2f", point.mean_l0()),
                   Printed("%.0f", point.active_parameter_count()),
                   Four(point.cross_entropy()),
                   Printed("%+.4f", point.cross_entropy_difference()),
                   Four(point.kl_divergence())});
    }
  }
  return text + Picture("sparsity.svg", "Cross-entropy against sparsity");
}

std::string AttackTable(const EvaluationAnswer& answer) {
  if (answer.attacks.empty()) return "";
  const v1::EvaluationAttack& attack = answer.header.options().attack();
  std::string text =
      Cat("\n## Attacks\n\nProjected gradient ascent on the masks, steps of ",
          Printed("%g", attack.step_size()), ", ", attack.restart_count(),
          attack.restart_count() == 1 ? " start" : " starts", ".\n",
          TableHead({"one source for", "steps", "CE", "loss", "KL"}));
  for (const v1::EvaluatedAttackCurve& curve : answer.attacks) {
    for (const v1::EvaluatedAttackPoint& point : curve.points()) {
      text += Row({std::string(NameOf(curve.scope())),
                   WithCommas(point.step_count()), Four(point.cross_entropy()),
                   Printed("%+.4f", point.cross_entropy_difference()),
                   Four(point.kl_divergence())});
    }
  }
  return text + Picture("attack.svg", "Damage by steps of attack");
}

std::string SparsitySvg(const EvaluationAnswer& answer) {
  LineChart chart{.title = "Cross-entropy against sparsity",
                  .x = {.label = "active subcomponents by position"},
                  .y = {.label = "cross-entropy above the model's, nats"}};
  for (size_t i = 0; i < answer.curves.size(); ++i) {
    ChartSeries& series =
        chart.series.emplace_back(ChartSeries{.name = NameOfTable(answer, i)});
    for (const v1::SparsityPoint& point : answer.curves[i].points()) {
      series.points.emplace_back(point.mean_l0(),
                                 point.cross_entropy_difference());
    }
    std::stable_sort(series.points.begin(), series.points.end());
  }
  return SvgOf(chart);
}

std::string AttackSvg(const EvaluationAnswer& answer) {
  LineChart chart{.title = "Damage by steps of attack",
                  .x = {.label = "steps", .logarithmic = true},
                  .y = {.label = "KL(model || run), nats"}};
  for (const v1::EvaluatedAttackCurve& curve : answer.attacks) {
    ChartSeries& series = chart.series.emplace_back(
        ChartSeries{.name = std::string(NameOf(curve.scope()))});
    for (const v1::EvaluatedAttackPoint& point : curve.points()) {
      series.points.emplace_back(point.step_count(), point.kl_divergence());
    }
  }
  return SvgOf(chart);
}

// Values by rank, the largest first; of many some.
ChartSeries Ranked(const std::string& name, std::vector<float> values) {
  std::sort(values.begin(), values.end(), std::greater<>());
  ChartSeries series{.name = name, .marks = false};
  const size_t step = std::max<size_t>(1, values.size() / kMostDensityPoints);
  for (size_t i = 0; i < values.size(); i += step) {
    series.points.emplace_back(static_cast<double>(i + 1), values[i]);
  }
  return series;
}

std::string DensitySvg(const EvaluationAnswer& answer) {
  std::vector<float> densities, means;
  for (const v1::EvaluatedModuleSparsity& module : answer.modules) {
    densities.insert(densities.end(), module.densities().begin(),
                     module.densities().end());
    means.insert(means.end(), module.mean_importances().begin(),
                 module.mean_importances().end());
  }
  return SvgOf(
      LineChart{.title = "Activation density and mean importance",
                .x = {.label = "subcomponents by rank"},
                .y = {.label = "share of positions; mean importance",
                      .logarithmic = true},
                .series = {Ranked("density", std::move(densities)),
                           Ranked("mean importance", std::move(means))}});
}

std::string L0Svg(const EvaluationAnswer& answer) {
  BarChart chart{.title = "Active subcomponents by module",
                 .value_label = "active by position"};
  for (int m = 0; m < answer.header.modules_size(); ++m) {
    chart.bars.emplace_back(answer.header.modules(m).name(),
                            answer.modules[static_cast<size_t>(m)].mean_l0());
  }
  return SvgOf(chart);
}

}  // namespace

std::map<std::string, std::string> ReportOf(const EvaluationAnswer& answer) {
  std::map<std::string, std::string> files;
  files["report.md"] =
      Cat(Summary(answer), Tables(answer), ModuleTable(answer),
          PatternTable(answer), Curves(answer), AttackTable(answer));
  files["sparsity.svg"] = SparsitySvg(answer);
  files["density.svg"] = DensitySvg(answer);
  files["l0.svg"] = L0Svg(answer);
  if (!answer.attacks.empty()) files["attack.svg"] = AttackSvg(answer);
  return files;
}

}  // namespace spar::client
