#include "client/prune_answer.h"

#include <string_view>
#include <utility>

#include "base/status.h"

namespace spar::client {
namespace {

absl::Status BrokenPruning(std::string_view what) {
  return absl::DataLossError(
      base::AbslView(base::Cat("the stream of a pruning ", what)));
}

bool IsIn(int index, int size) {
  return index >= 0 && index < size;
}

}  // namespace

absl::Status PruneReader::Add(const v1::PruneResponse& message) {
  if (message.has_header() == started_) {
    return BrokenPruning(started_ ? "has two headers"
                                  : "does not begin with a header");
  }
  if (ended_) return BrokenPruning("goes on after its summary");
  switch (message.content_case()) {
    case v1::PruneResponse::kHeader:
      return AddHeader(message.header());
    case v1::PruneResponse::kRow:
      return AddRow(message.row());
    case v1::PruneResponse::kExplanation: {
      const v1::PrunedExplanation& explanation = message.explanation();
      ASSIGN_OR_RETURN(const int row, RowOf(explanation.prompt_index(),
                                            explanation.coefficient_index()));
      if (!answer_.explanations.emplace(row, explanation).second) {
        return BrokenPruning("explains a row twice");
      }
      return absl::OkStatus();
    }
    case v1::PruneResponse::kSummary:
      return AddSummary(message.summary());
    case v1::PruneResponse::kProgress:
    case v1::PruneResponse::CONTENT_NOT_SET:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status PruneReader::AddHeader(const v1::PruneHeader& header) {
  const size_t num_rows = static_cast<size_t>(header.prompts_size()) *
                          static_cast<size_t>(header.coefficients_size());
  if (num_rows == 0) return BrokenPruning("has no rows");
  started_ = true;
  answer_.header = header;
  answer_.rows.resize(num_rows);
  has_row_.resize(num_rows);
  return absl::OkStatus();
}

absl::StatusOr<int> PruneReader::RowOf(int prompt_index,
                                       int coefficient_index) const {
  if (!IsIn(prompt_index, answer_.header.prompts_size()) ||
      !IsIn(coefficient_index, answer_.header.coefficients_size())) {
    return BrokenPruning("has rows that its header lacks");
  }
  return answer_.RowOf(prompt_index, coefficient_index);
}

absl::Status PruneReader::CheckNodes(const v1::PrunedRow& row) const {
  const v1::PrunedNodes& nodes = row.nodes();
  const int size = nodes.sites_size();
  if (nodes.positions_size() != size || nodes.subcomponents_size() != size ||
      nodes.importances_size() != size) {
    return BrokenPruning("has columns of different lengths");
  }
  const int num_sites = answer_.header.sites_size();
  const int num_tokens =
      answer_.header.prompts(row.prompt_index()).tokens_size();
  for (int i = 0; i < size; ++i) {
    if (!IsIn(nodes.sites(i), num_sites) ||
        !IsIn(nodes.positions(i), num_tokens) || nodes.subcomponents(i) < 0) {
      return BrokenPruning("has nodes that its header lacks");
    }
  }
  return absl::OkStatus();
}

absl::Status PruneReader::AddRow(const v1::PrunedRow& row) {
  ASSIGN_OR_RETURN(const int number,
                   RowOf(row.prompt_index(), row.coefficient_index()));
  RETURN_IF_ERROR(CheckNodes(row));
  const size_t place = static_cast<size_t>(number);
  if (has_row_[place]) return BrokenPruning("has a row twice");
  has_row_[place] = true;
  answer_.rows[place] = row;
  ++num_rows_;
  return absl::OkStatus();
}

absl::Status PruneReader::AddSummary(const v1::PruneSummary& summary) {
  const int num_prompts = answer_.header.prompts_size();
  const int num_coefficients = answer_.header.coefficients_size();
  if (summary.curves_size() != num_prompts)
    return BrokenPruning("lacks curves");
  for (int i = 0; i < num_prompts; ++i) {
    const v1::PruneCurve& curve = summary.curves(i);
    if (curve.prompt_index() != i || curve.points_size() != num_coefficients) {
      return BrokenPruning("has curves that do not fit its prompts");
    }
    for (const v1::PruneCurvePoint& point : curve.points()) {
      if (!IsIn(point.coefficient_index(), num_coefficients)) {
        return BrokenPruning("has curves that do not fit its coefficients");
      }
    }
  }
  answer_.summary = summary;
  ended_ = true;
  return absl::OkStatus();
}

absl::StatusOr<PruneAnswer> PruneReader::Finish() && {
  if (!ended_) return BrokenPruning("ended without its summary");
  if (num_rows_ != answer_.rows.size()) return BrokenPruning("lacks rows");
  if (!answer_.explanations.empty() &&
      answer_.explanations.size() != answer_.rows.size()) {
    return BrokenPruning("lacks explanations");
  }
  return std::move(answer_);
}

}  // namespace spar::client
