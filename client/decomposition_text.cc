#include "client/decomposition_text.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <set>
#include <string_view>
#include <vector>

#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kPositionColumns = 5;
constexpr int kMaxTokenColumns = 18;
constexpr int kWidthColumns = 7;
constexpr int kNormColumns = 10;

// "IMPORTANCE_FUNCTION_KIND_SHARED_MLP" without its prefix, as words are in
// docs/formats.md: "shared_mlp".
std::string Word(const std::string& name, std::string_view prefix) {
  std::string word =
      name.starts_with(prefix) ? name.substr(prefix.size()) : "unknown";
  for (char& c : word) c = static_cast<char>(std::tolower(c));
  return word;
}

std::string Function(const v1::ImportanceFunction& function) {
  std::string text =
      base::Cat(Word(v1::ImportanceFunctionKind_Name(function.kind()),
                     "IMPORTANCE_FUNCTION_KIND_"),
                ", ",
                Word(v1::ImportanceSigmoid_Name(function.sigmoid()),
                     "IMPORTANCE_SIGMOID_"));
  if (function.max_token_count() > 0) {
    text += base::Cat(", prompts of up to ",
                      WithCommas(function.max_token_count()), " tokens");
  }
  return text;
}

int NameColumns(const v1::Decomposition& decomposition) {
  int columns = Width("module");
  for (const v1::DecompositionModule& module : decomposition.modules()) {
    columns = std::max(columns, Width(Escaped(module.name())));
  }
  return columns;
}

std::string ModuleLine(const v1::DecompositionModule& module, int columns) {
  const std::string alive =
      module.has_alive_count() ? WithCommas(module.alive_count()) : "?";
  return base::Cat(
      "  ", Padded(Escaped(module.name()), columns),
      RightAligned(WithCommas(module.input_width()), kWidthColumns),
      RightAligned(WithCommas(module.output_width()), kWidthColumns),
      RightAligned(WithCommas(module.subcomponent_count()), kWidthColumns),
      RightAligned(alive, kWidthColumns),
      RightAligned(Printed("%.3f", module.weight_norm()), kNormColumns),
      RightAligned(Printed("%.3f", module.delta_norm()), kNormColumns), "\n");
}

// "5 0.98 (+1.23)", each behind a comma but the first; strongest first.
std::vector<Piece> AlivePieces(std::vector<AliveSubcomponent> alive) {
  std::stable_sort(alive.begin(), alive.end(),
                   [](const AliveSubcomponent& a, const AliveSubcomponent& b) {
                     return a.importance > b.importance;
                   });
  std::vector<Piece> pieces;
  for (size_t i = 0; i < alive.size(); ++i) {
    const std::string text =
        base::Cat(alive[i].number, " ", Printed("%.2f", alive[i].importance),
                  " (", Printed("%+.3g", alive[i].activation),
                  i + 1 < alive.size() ? ")," : ")");
    pieces.push_back({text, Width(text), i > 0});
  }
  return pieces;
}

}  // namespace

std::string FormatDecomposition(const v1::Decomposition& decomposition,
                                const Style& style) {
  std::string text = base::Cat(
      Paint(style, Tone::kLit, Escaped(decomposition.name())), "\n  ",
      WithCommas(decomposition.subcomponent_count()), " subcomponents of ",
      WithCommas(decomposition.module_count()), " modules, trained ",
      decomposition.has_delta() ? "with" : "without", " Delta, ",
      Word(v1::MaskSampling_Name(decomposition.sampling()), "MASK_SAMPLING_"),
      " masks\n  importances by ",
      Function(decomposition.importance_function()), "\n  ",
      WithCommas(decomposition.memory_bytes()), " bytes in ",
      Escaped(decomposition.dtype()), ", with all masks 1 within ",
      Printed("%.1e", decomposition.identity_error()),
      " of its model\n  digest ", Escaped(decomposition.digest()), "\n");
  if (decomposition.modules().empty()) return text;
  const int columns = NameColumns(decomposition);
  text += base::Cat(
      "\n  ", Padded("module", columns), RightAligned("reads", kWidthColumns),
      RightAligned("writes", kWidthColumns), RightAligned("C", kWidthColumns),
      RightAligned("alive", kWidthColumns), RightAligned("|W|", kNormColumns),
      RightAligned("|Delta|", kNormColumns), "\n");
  for (const v1::DecompositionModule& module : decomposition.modules()) {
    text += ModuleLine(module, columns);
  }
  return text;
}

std::string FormatImportances(const v1::ImportancesStart& start,
                              const PromptLists& prompt,
                              const Style& style) {
  std::string text = "prompt  ";
  int token_columns = 0;
  for (const v1::Token& token : prompt.tokens) {
    text += base::Cat(text.size() > 8 ? " " : "", Escaped(token.text()));
    token_columns = std::max(token_columns, Width(Quoted(token.text())));
  }
  token_columns = std::min(token_columns, kMaxTokenColumns);
  text += base::Cat("\nalive   ", WithCommas(prompt.num_entries),
                    " at all positions of ", start.modules_size(), " modules");
  if (prompt.num_cut > 0) {
    text += base::Cat(", ", WithCommas(prompt.num_cut), " weaker left out");
  }
  text += "\n";
  const int indent = 2 + kPositionColumns + 1 + token_columns + 2;
  for (size_t m = 0; m < prompt.modules.size(); ++m) {
    const auto& positions = prompt.modules[m];
    if (positions.empty()) continue;
    std::set<int32_t> numbers;
    for (const auto& [position, alive] : positions) {
      for (const AliveSubcomponent& one : alive) numbers.insert(one.number);
    }
    const v1::ImportancesModule& module = start.modules(static_cast<int>(m));
    text += base::Cat("\n", Paint(style, Tone::kLit, Escaped(module.name())),
                      "  ", numbers.size(), " of ",
                      WithCommas(module.subcomponent_count()), " alive\n");
    for (const auto& [position, alive] : positions) {
      const std::string token =
          Clipped(Quoted(prompt.tokens[static_cast<size_t>(position)].text()),
                  token_columns, style.unicode ? "…" : "...");
      text += base::Cat(
          "  ", RightAligned(std::to_string(position), kPositionColumns), " ",
          Padded(token, token_columns), "  ",
          Wrapped(AlivePieces(alive), indent, style.columns), "\n");
    }
  }
  return text + "\n";
}

}  // namespace spar::client
