// L1t. The margin of a row by a second code path, for certificates and tests.
#include "models/torch/dense_checker.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/dense_components.h"
#include "models/torch/dense_forward.h"
#include "models/torch/dense_rows.h"
#include "models/torch/errors.h"

namespace spar::models {
namespace {

absl::Status CheckTokens(const DecoderSpec& spec,
                         std::span<const TokenId> tokens,
                         std::string_view field) {
  const int length = static_cast<int>(tokens.size());
  if (length < 1 || length > spec.context_length) {
    return base::InvalidArgument(
        length < 1 ? "EMPTY_PROMPT" : "PROMPT_TOO_LONG", field,
        base::Cat("a prompt of ", length, " tokens; want 1 to ",
                  spec.context_length),
        {{"tokens", base::Cat(length)},
         {"max_tokens", base::Cat(spec.context_length)}});
  }
  for (const TokenId token : tokens) {
    if (token >= 0 && token < spec.vocab_size) continue;
    return base::InvalidArgument(
        "TOKEN_OUT_OF_RANGE", field,
        base::Cat("token ", token, "; want [0, ", spec.vocab_size, ")"),
        {{"token", base::Cat(token)},
         {"vocab_size", base::Cat(spec.vocab_size)}});
  }
  return absl::OkStatus();
}

}  // namespace

struct DenseChecker::MeanActivations {
  std::vector<DenseMean> heads;
  std::vector<DenseMean> neurons;
};

DenseChecker::DenseChecker(std::shared_ptr<const Snapshot> snapshot,
                           std::vector<std::vector<TokenId>> reference_prompts,
                           std::span<const NamedDecomposition> decompositions)
    : snapshot_(std::move(snapshot)),
      units_(MakeUnitTable(snapshot_->spec())),
      reference_prompts_(std::move(reference_prompts)),
      weights_(std::make_unique<DenseWeights>(snapshot_)) {
  for (const NamedDecomposition& one : decompositions) {
    components_.emplace(one.name,
                        std::make_unique<DenseComponents>(
                            one.decomposition, *weights_, reference_prompts_));
  }
}

DenseChecker::~DenseChecker() = default;

absl::StatusOr<std::unique_ptr<DenseChecker>> DenseChecker::Make(
    std::shared_ptr<const Snapshot> snapshot,
    std::vector<std::vector<TokenId>> reference_prompts,
    std::span<const NamedDecomposition> decompositions) {
  for (const std::vector<TokenId>& prompt : reference_prompts) {
    RETURN_IF_ERROR(CheckTokens(snapshot->spec(), prompt, "reference_prompts"));
  }
  return std::unique_ptr<DenseChecker>(new DenseChecker(
      std::move(snapshot), std::move(reference_prompts), decompositions));
}

absl::StatusOr<int64_t> DenseChecker::CountUnitsOf(const Prompt& prompt) const {
  if (prompt.space == UnitSpace::kHeadsAndNeurons) return units_.size();
  const auto found = components_.find(prompt.decomposition);
  if (found != components_.end()) {
    return CountUnits(found->second->spec(), prompt.space,
                      static_cast<int>(prompt.tokens.size()));
  }
  return base::Error(absl::StatusCode::kNotFound,
                     base::Cat("no decomposition '", prompt.decomposition, "'"),
                     {.reason = "DECOMPOSITION_NOT_FOUND",
                      .field = "decomposition",
                      .metadata = {{"decomposition", prompt.decomposition}}});
}

absl::Status DenseChecker::Check(const Row& row) const {
  const DecoderSpec& spec = snapshot_->spec();
  if (row.prompt == nullptr) {
    return base::InvalidArgument("EMPTY_PROMPT", "prompt",
                                 "a row of no prompt");
  }
  const Prompt& prompt = *row.prompt;
  RETURN_IF_ERROR(CheckTokens(spec, prompt.tokens, "tokens"));
  RETURN_IF_ERROR(CheckTokens(spec, {&prompt.target, 1}, "target"));
  const int length = static_cast<int>(prompt.tokens.size());
  ASSIGN_OR_RETURN(const int64_t num_units, CountUnitsOf(prompt));
  if (row.units.universe() != num_units || row.positions.universe() != length) {
    return base::InvalidArgument(
        "ROW_OUT_OF_RANGE", "",
        base::Cat("sets over ", row.units.universe(), " units and ",
                  row.positions.universe(), " positions; want ", num_units,
                  " and ", length),
        {{"units", base::Cat(num_units)}, {"positions", base::Cat(length)}});
  }
  if (!row.positions.Contains(length - 1)) {
    return base::InvalidArgument(
        "READOUT_REMOVED", "positions",
        base::Cat("T lacks the last position, ", length - 1),
        {{"position", base::Cat(length - 1)}});
  }
  if (prompt.reference == ReferenceKind::kMean && reference_prompts_.empty()) {
    return base::Error(
        absl::StatusCode::kFailedPrecondition,
        "a mean reference of a model without reference prompts",
        {.reason = "NO_REFERENCE_PROMPTS", .field = "reference"});
  }
  return absl::OkStatus();
}

const DenseChecker::MeanActivations& DenseChecker::Mean() {
  if (mean_ != nullptr) return *mean_;
  const DecoderSpec& spec = snapshot_->spec();
  size_t longest = 1;
  for (const auto& prompt : reference_prompts_) {
    longest = std::max(longest, prompt.size());
  }
  auto mean = std::make_unique<MeanActivations>();
  for (int i = 0; i < spec.num_layers; ++i) {
    const int64_t length = static_cast<int64_t>(longest);
    mean->heads.emplace_back(length, spec.num_heads * spec.head_dim);
    mean->neurons.emplace_back(length, spec.mlp_width);
  }
  DenseHooks listen;
  listen.on_heads = [&mean](int layer, const at::Tensor& values) {
    mean->heads[layer].Add(values);
    return values;
  };
  listen.on_neurons = [&mean](int layer, const at::Tensor& values) {
    mean->neurons[layer].Add(values);
    return values;
  };
  for (const std::vector<TokenId>& prompt : reference_prompts_) {
    const IndexSet all = IndexSet::All(static_cast<int>(prompt.size()));
    DenseLogits(*weights_, prompt, all, listen);
  }
  mean_ = std::move(mean);
  return *mean_;
}

at::Tensor DenseChecker::Run(const Row& row) {
  if (row.prompt->space != UnitSpace::kHeadsAndNeurons) {
    return components_.at(row.prompt->decomposition)->Logits(row);
  }
  const DensePrompt prompt = ArrangeDense(row);
  const int length = static_cast<int>(prompt.ids.size());
  const int64_t head_dim = snapshot_->spec().head_dim;
  const MeanActivations* mean =
      row.prompt->reference == ReferenceKind::kMean ? &Mean() : nullptr;

  // mask x own + (1 - mask) x reference, columns of one unit alike.
  const auto restrict = [&](UnitKind kind, int layer, const at::Tensor& own,
                            const DenseMean* outside) {
    const int64_t columns = kind == UnitKind::kHead ? head_dim : 1;
    at::Tensor mask = DenseZeros(1, own.size(1));
    double* masks = mask.mutable_data_ptr<double>();
    for (int64_t column = 0; column < own.size(1); ++column) {
      const Unit unit{.kind = kind,
                      .layer = layer,
                      .index = static_cast<int>(column / columns)};
      masks[column] = row.units.Contains(units_.Id(unit)) ? 1 : 0;
    }
    const at::Tensor kept = own * mask;
    return outside == nullptr ? kept : kept + outside->At(length) * (1 - mask);
  };
  DenseHooks hooks;
  hooks.on_heads = [&](int layer, const at::Tensor& values) {
    return restrict(UnitKind::kHead, layer, values,
                    mean != nullptr ? &mean->heads[layer] : nullptr);
  };
  hooks.on_neurons = [&](int layer, const at::Tensor& values) {
    return restrict(UnitKind::kNeuron, layer, values,
                    mean != nullptr ? &mean->neurons[layer] : nullptr);
  };
  return DenseLogits(*weights_, prompt.ids, prompt.kept, hooks);
}

absl::StatusOr<std::vector<double>> DenseChecker::Logits(const Row& row) {
  RETURN_IF_ERROR(Check(row));
  std::vector<double> logits;
  RETURN_IF_ERROR(CatchTorch("a float64 check", [&] {
    const at::Tensor row_logits = Run(row).contiguous();
    const double* first = row_logits.const_data_ptr<double>();
    logits.assign(first, first + row_logits.numel());
    return absl::OkStatus();
  }));
  return logits;
}

absl::StatusOr<double> DenseChecker::Margin(const Row& row) {
  ASSIGN_OR_RETURN(const std::vector<double> logits, Logits(row));
  const size_t target = static_cast<size_t>(row.prompt->target);
  double runner_up = -std::numeric_limits<double>::infinity();
  for (size_t token = 0; token < logits.size(); ++token) {
    if (token != target) runner_up = std::max(runner_up, logits[token]);
  }
  return logits[target] - runner_up;
}

}  // namespace spar::models
