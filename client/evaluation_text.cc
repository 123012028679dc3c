#include "client/evaluation_text.h"

#include <algorithm>
#include <cmath>

#include "client/named_line.h"
#include "client/share_bar.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

using base::Cat;

constexpr int kMasksColumns = 12;
constexpr int kFigureWidth = 11;
constexpr int kLossBarColumns = 16;

std::string Cell(const std::string& text, int columns = kFigureWidth) {
  return RightAligned(text, columns);
}

std::string Loss(double difference) {
  return Printed("%+.4f", difference);
}

std::string Share(double part, double whole) {
  return whole > 0 ? Percent(part / whole) : "-";
}

std::string DimLine(const Style& style, const std::string& text) {
  return Cat(Paint(style, Tone::kDim, text), "\n");
}

std::string Heading(const EvaluationAnswer& answer, const Style& style) {
  const v1::EvaluationHeader& header = answer.header;
  const v1::DeltaShare& share = answer.faithfulness.all();
  const v1::EvaluatedSparsity& sparsity = answer.sparsity;
  return Cat(
      NamedLine("evaluated",
                Cat(Paint(style, Tone::kLit, Escaped(header.name())), ": ",
                    WithCommas(header.token_count()), " tokens in ",
                    WithCommas(header.row_count()), " rows and ",
                    WithCommas(header.batch_count()), " batches, ",
                    Seconds(answer.summary.elapsed())),
                style),
      NamedLine("faithful",
                Cat("Delta is ", Printed("%.2e", share.relative()),
                    " of the weights by mean square, ",
                    Printed("%.2e", share.delta_mean_square()), " an entry"),
                style),
      NamedLine(
          "sparse",
          Cat(Printed("%.1f", sparsity.mean_l0()), " active by position, ",
              Share(sparsity.mean_l0(),
                    static_cast<double>(sparsity.alive_count())),
              " of ", WithCommas(sparsity.alive_count()), " alive of ",
              WithCommas(sparsity.subcomponent_count())),
          style));
}

// Nothing stands at the end of a line.
std::string LossBar(double difference, double most, const Style& style) {
  const double share = most > 0 ? std::clamp(difference / most, 0.0, 1.0) : 0.0;
  std::string bar = ShareBar(share, kLossBarColumns, style);
  bar.erase(bar.find_last_not_of(' ') + 1);
  return bar.empty() ? "" : Cat("  ", Paint(style, Tone::kDoubtful, bar));
}

std::string Table(const EvaluationAnswer& answer,
                  size_t i,
                  const Style& style) {
  const v1::EvaluatedReconstruction& table = answer.reconstructions[i];
  std::string text = Cat(
      "\n", DimLine(style, Cat(Padded(Cat("masks of ", NameOfTable(answer, i)),
                                      kMasksColumns + 12),
                               Cell("CE"), Cell("loss"),
                               Cell("unrecovered", 13), Cell("KL"))));
  double most = 0;
  for (const v1::MaskedReading& reading : table.readings()) {
    most = std::max(most, reading.cross_entropy_difference());
  }
  for (const v1::MaskedReading& reading : table.readings()) {
    const bool target = reading.masks() == v1::EVALUATION_MASKS_TARGET;
    text += Cat("  ", Padded(NameOf(reading.masks()), kMasksColumns + 10),
                Cell(Printed("%.4f", reading.cross_entropy())));
    if (target) {
      text += "\n";
      continue;
    }
    text += Cat(Cell(Loss(reading.cross_entropy_difference())),
                Cell(reading.has_cross_entropy_unrecovered()
                         ? Percent(reading.cross_entropy_unrecovered())
                         : "-",
                     13),
                Cell(Printed("%.4f", reading.kl_divergence())),
                LossBar(reading.cross_entropy_difference(), most, style), "\n");
  }
  return text;
}

double RelativeError(const v1::OutputError& error) {
  return error.mean_square() > 0
             ? error.mean_square_error() / error.mean_square()
             : 0;
}

std::string Modules(const EvaluationAnswer& answer, const Style& style) {
  int columns = Width("module");
  for (const v1::EvaluatedModule& module : answer.header.modules()) {
    columns = std::max(columns, Width(Escaped(module.name())));
  }
  std::string text = Cat(
      "\n",
      DimLine(style, Cat(Padded("module", columns + 2), Cell("C", 8),
                         Cell("alive", 8), Cell("L0", 9), Cell("L0/alive", 10),
                         Cell("Delta/W", kFigureWidth), Cell("CI error"),
                         Cell("stoch. error", 14))));
  for (int m = 0; m < answer.header.modules_size(); ++m) {
    const v1::EvaluatedModuleSparsity& sparsity =
        answer.modules[static_cast<size_t>(m)];
    text += Cat(
        "  ", Padded(Escaped(answer.header.modules(m).name()), columns),
        Cell(WithCommas(answer.header.modules(m).subcomponent_count()), 8),
        Cell(WithCommas(sparsity.alive_count()), 8),
        Cell(Printed("%.2f", sparsity.mean_l0()), 9),
        Cell(Share(sparsity.mean_l0(),
                   static_cast<double>(sparsity.alive_count())),
             10),
        Cell(Printed("%.1e", answer.faithfulness.modules(m).relative())),
        Cell(
            Printed("%.4f", RelativeError(answer.output_errors[0].modules(m)))),
        Cell(Printed("%.4f", RelativeError(answer.output_errors[1].modules(m))),
             14),
        "\n");
  }
  return Cat(text,
             DimLine(style,
                     "  errors: squared, of what a module writes, over what "
                     "it writes in the model"));
}

std::string Patterns(const EvaluationAnswer& answer, const Style& style) {
  std::string text = Cat(
      "\n", DimLine(style, "KL of attention patterns, by layer, then of all"));
  for (const v1::EvaluatedPatternErrors& errors : answer.pattern_errors) {
    text += Cat("  ", Padded(NameOf(errors.masks()), kMasksColumns));
    for (const double layer : errors.layers()) {
      text += Cell(Printed("%.4f", layer), 9);
    }
    text += Cat(Cell(Printed("%.4f", errors.all())), "\n");
  }
  return text;
}

std::string Curve(const EvaluationAnswer& answer,
                  size_t i,
                  const Style& style) {
  const v1::EvaluatedSparsityCurve& curve = answer.curves[i];
  std::string text = Cat(
      "\n",
      DimLine(style, Cat(Padded(Cat("rounded above, ", NameOfTable(answer, i)),
                                kMasksColumns + 12),
                         Cell("L0"), Cell("parameters", 13), Cell("CE"),
                         Cell("loss"), Cell("KL"))));
  double most = 0;
  for (const v1::SparsityPoint& point : curve.points()) {
    most = std::max(most, point.cross_entropy_difference());
  }
  for (const v1::SparsityPoint& point : curve.points()) {
    text +=
        Cat("  ", Padded(Printed("%g", point.threshold()), kMasksColumns + 10),
            Cell(Printed("%.2f", point.mean_l0())),
            Cell(WithCommas(std::llround(point.active_parameter_count())), 13),
            Cell(Printed("%.4f", point.cross_entropy())),
            Cell(Loss(point.cross_entropy_difference())),
            Cell(Printed("%.4f", point.kl_divergence())),
            LossBar(point.cross_entropy_difference(), most, style), "\n");
  }
  return text;
}

std::string Attacks(const EvaluationAnswer& answer, const Style& style) {
  if (answer.attacks.empty()) return "";
  std::string text = Cat(
      "\n",
      DimLine(style, Cat(Padded("attack", kMasksColumns + 12), Cell("steps"),
                         Cell("CE"), Cell("loss"), Cell("KL"))));
  double most = 0;
  for (const v1::EvaluatedAttackCurve& attack : answer.attacks) {
    for (const v1::EvaluatedAttackPoint& point : attack.points()) {
      most = std::max(most, point.cross_entropy_difference());
    }
  }
  for (const v1::EvaluatedAttackCurve& attack : answer.attacks) {
    for (const v1::EvaluatedAttackPoint& point : attack.points()) {
      text += Cat("  ", Padded(NameOf(attack.scope()), kMasksColumns + 10),
                  Cell(WithCommas(point.step_count())),
                  Cell(Printed("%.4f", point.cross_entropy())),
                  Cell(Loss(point.cross_entropy_difference())),
                  Cell(Printed("%.4f", point.kl_divergence())),
                  LossBar(point.cross_entropy_difference(), most, style), "\n");
    }
  }
  return text;
}

}  // namespace

std::string_view NameOf(v1::EvaluationMasks masks) {
  switch (masks) {
    case v1::EVALUATION_MASKS_TARGET:
      return "target";
    case v1::EVALUATION_MASKS_UNMASKED:
      return "unmasked";
    case v1::EVALUATION_MASKS_CAUSAL_IMPORTANCE:
      return "CI";
    case v1::EVALUATION_MASKS_ROUNDED:
      return "CI rounded";
    case v1::EVALUATION_MASKS_STOCHASTIC:
      return "stochastic";
    case v1::EVALUATION_MASKS_RANDOM:
      return "random";
    case v1::EVALUATION_MASKS_ZERO:
      return "zero";
    default:
      return "unknown";
  }
}

std::string_view NameOf(v1::EvaluationAttackScope scope) {
  switch (scope) {
    case v1::EVALUATION_ATTACK_SCOPE_SHARED_ACROSS_BATCH:
      return "shared across batch";
    case v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT:
      return "per datapoint";
    default:
      return "unknown";
  }
}

std::string NameOfTable(const EvaluationAnswer& answer, size_t i) {
  if (i == 0) return "all modules";
  const int subset = static_cast<int>(i) - 1;
  const std::string& name = answer.header.options().subsets(subset).name();
  return name.empty() ? Cat("subset ", i) : Escaped(name);
}

std::string FormatEvaluation(const EvaluationAnswer& answer,
                             const Style& style) {
  std::string text = Heading(answer, style);
  for (size_t i = 0; i < answer.reconstructions.size(); ++i) {
    text += Table(answer, i, style);
  }
  text += Modules(answer, style);
  text += Patterns(answer, style);
  for (size_t i = 0; i < answer.curves.size(); ++i) {
    text += Curve(answer, i, style);
  }
  return text + Attacks(answer, style);
}

}  // namespace spar::client
