#include "models/torch/prune/torch_pruning.h"

#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/torch/errors.h"
#include "models/torch/prune/ended_rows.h"
#include "models/torch/prune/optimisation.h"
#include "models/torch/prune/prompt_nodes.h"
#include "models/torch/prune/row_batch.h"

namespace spar::models {
namespace {

using base::Cat;

// Of one node of one row: logits, moments, slopes, importances and indices,
// with what a step makes of them on the way.
constexpr int64_t kNodeBytes = 96;

absl::Status CheckFits(int64_t bytes,
                       int64_t limit,
                       const std::string& field,
                       const std::string& what) {
  if (bytes <= limit) return absl::OkStatus();
  return base::Error(
      absl::StatusCode::kResourceExhausted,
      Cat(what, ": ", bytes, " bytes are needed, ", limit, " may be used"),
      {.reason = "PRUNING_TOO_LARGE",
       .field = field,
       .metadata = {{"bytes", Cat(bytes)}, {"max_bytes", Cat(limit)}}});
}

class TorchPruning final : public Pruning {
 public:
  TorchPruning(const PruneSubject& subject,
               const PruneRequest& request,
               const PruneLimits& limits)
      : subject_(subject), request_(request), limits_(limits) {
    const int prompts = static_cast<int>(request.prompts.size());
    const int coefficients = static_cast<int>(request.coefficients.size());
    for (int p = 0; p < prompts; ++p) {
      for (int c = 0; c < coefficients; ++c) {
        states_.push_back({.prompt = p, .coefficient = c});
      }
    }
    nodes_.reserve(request.prompts.size());  // rows point into it
  }

  bool done() const override { return given_ == states_.size(); }
  const std::vector<PruneState>& states() const override { return states_; }

  absl::StatusOr<std::vector<PrunedRow>> Next() override {
    std::vector<PrunedRow> rows;
    if (done()) return rows;
    RETURN_IF_ERROR(failed_);
    failed_ = CatchTorch("pruning", [&] {
      if (nodes_.size() < request_.prompts.size()) return Prepare();
      if (ended_.empty()) {
        End(optimisation_->Advance());
      } else {
        rows = ended_.front().Advance();
        if (!rows.empty()) ended_.pop_front();
      }
      return absl::OkStatus();
    });
    RETURN_IF_ERROR(failed_);
    given_ += rows.size();
    return rows;
  }

 private:
  // The next prompt; after the last the optimisation.
  absl::Status Prepare() {
    nodes_.push_back(
        FindPromptNodes(subject_, request_, request_.prompts[nodes_.size()]));
    num_nodes_ += nodes_.back().num_nodes() *
                  static_cast<int64_t>(request_.coefficients.size());
    RETURN_IF_ERROR(CheckFits(num_nodes_ * kNodeBytes, limits_.max_state_bytes,
                              "prompts",
                              Cat("the parameters of the first ", nodes_.size(),
                                  " prompts at all prices")));
    RETURN_IF_ERROR(CheckFits(
        RowBytes(subject_, nodes_.back()), limits_.max_batch_bytes,
        Cat("prompts[", nodes_.size() - 1, "]"), "a run of this prompt"));
    if (nodes_.size() < request_.prompts.size()) return absl::OkStatus();
    std::vector<PruneRow> rows;
    for (PruneState& state : states_) {
      const PromptNodes& nodes = nodes_[state.prompt];
      const double price = request_.coefficients[state.coefficient];
      state.size = nodes.num_nodes();
      rows.push_back({.prompt = state.prompt,
                      .coefficient = state.coefficient,
                      .price = price,
                      .nodes = &nodes,
                      .key = RowKey(request_.seed, nodes, price)});
    }
    optimisation_.emplace(subject_, request_, limits_, std::move(rows),
                          states_);
    return absl::OkStatus();
  }

  // Rows that have done their steps, to be read batch by batch.
  void End(std::vector<EndedRow> ended) {
    std::vector<PruneRow> rows;
    for (const EndedRow& row : ended) rows.push_back(row.row);
    for (const auto& [first, last] : SplitRows(subject_, limits_, rows)) {
      ended_.emplace_back(
          subject_, request_,
          std::vector<EndedRow>(ended.begin() + static_cast<long>(first),
                                ended.begin() + static_cast<long>(last)));
    }
  }

  const PruneSubject subject_;
  const PruneRequest request_;
  const PruneLimits limits_;
  std::vector<PruneState> states_ = {};
  std::vector<PromptNodes> nodes_ = {};  // [prompt]
  int64_t num_nodes_ = 0;                // of all rows so far
  std::optional<Optimisation> optimisation_ = {};
  std::deque<EndedRows> ended_ = {};
  size_t given_ = 0;                        // rows
  absl::Status failed_ = absl::OkStatus();  // final
};

}  // namespace

std::unique_ptr<Pruning> MakeTorchPruning(const PruneSubject& subject,
                                          const PruneRequest& request,
                                          const PruneLimits& limits) {
  return std::make_unique<TorchPruning>(subject, request, limits);
}

}  // namespace spar::models
