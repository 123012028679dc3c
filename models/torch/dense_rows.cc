#include "models/torch/dense_rows.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Positions that fewer prompts reach take the mean over all later positions.
constexpr int kFewestPrompts = 8;

}  // namespace

DensePrompt ArrangeDense(const Row& row) {
  const std::vector<TokenId>& tokens = row.prompt->tokens;
  DensePrompt prompt;
  if (row.prompt->position_mode == PositionMode::kKeepIds) {
    prompt.ids = tokens;
    prompt.kept = row.positions;
    for (int32_t i = 0; i < row.positions.universe(); ++i) {
      prompt.positions.push_back(i);
    }
    return prompt;
  }
  prompt.positions = row.positions.Members();
  for (const int32_t position : prompt.positions) {
    prompt.ids.push_back(tokens[position]);
  }
  prompt.kept = IndexSet::All(static_cast<int>(prompt.ids.size()));
  return prompt;
}

at::Tensor DenseZeros(int64_t rows, int64_t columns) {
  return at::zeros({rows, columns}, at::TensorOptions().dtype(at::kDouble));
}

DenseMean::DenseMean(int64_t positions, int64_t width)
    : sum_(DenseZeros(positions, width)), count_(positions, 0) {}

void DenseMean::Add(const at::Tensor& values) {
  sum_.narrow(0, 0, values.size(0)) += values;
  for (int64_t i = 0; i < values.size(0); ++i) ++count_[i];
}

at::Tensor DenseMean::At(int length) const {
  at::Tensor mean = DenseZeros(length, sum_.size(1));
  const at::Tensor pooled = Pooled();
  for (int i = 0; i < length; ++i) {
    const bool enough = i == 0 || Count(i) >= kFewestPrompts;
    mean[i].copy_(enough ? sum_[i] / Count(i) : pooled);
  }
  return mean;
}

double DenseMean::Count(int64_t position) const {
  return position < static_cast<int64_t>(count_.size()) ? count_[position] : 0;
}

at::Tensor DenseMean::Pooled() const {
  double count = 0;
  for (size_t i = 1; i < count_.size(); ++i) count += count_[i];
  const at::Tensor later = sum_.narrow(0, 1, sum_.size(0) - 1).sum(0);
  return count > 0 ? later / count : later;
}

}  // namespace spar::models
