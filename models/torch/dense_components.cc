#include "models/torch/dense_components.h"

#include <algorithm>
#include <utility>

#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"
#include "models/torch/dense_forward.h"
#include "models/unit_table.h"

namespace spar::models {

DenseComponents::DenseComponents(
    std::shared_ptr<const Decomposition> decomposition,
    DenseWeights& weights,
    const std::vector<std::vector<TokenId>>& reference_prompts)
    : decomposition_(std::move(decomposition)),
      weights_(weights),
      reference_prompts_(reference_prompts) {
  const std::vector<DecomposedModule>& modules = spec().modules;
  for (size_t m = 0; m < modules.size(); ++m) {
    const int module = static_cast<int>(m);
    if (modules[m].site == ModuleSite::kEmbedding) {
      embedding_ = module;
    } else {
      module_of_[modules[m].name + ".weight"] = module;
    }
  }
}

DenseComponents::Masks DenseComponents::MasksOf(
    const Row& row, int module, const DensePrompt& prompt) const {
  const UnitSpace space = row.prompt->space;
  const UnitTable units =
      MakeUnitTable(spec(), space, static_cast<int>(row.prompt->tokens.size()));
  Masks masks;
  for (const int32_t position : prompt.positions) {
    Unit unit{.kind = UnitKind::kSubcomponent, .module = module};
    if (space == UnitSpace::kNodes) unit.position = position;
    std::vector<int32_t> kept;
    const int num_components = spec().modules[module].num_components;
    for (unit.index = 0; unit.index < num_components; ++unit.index) {
      if (row.units.Contains(units.Id(unit))) kept.push_back(unit.index);
    }
    unit.kind = UnitKind::kDelta;
    unit.index = 0;
    masks.kept.push_back(std::move(kept));
    masks.delta.push_back(row.units.Contains(units.Id(unit)));
  }
  return masks;
}

at::Tensor DenseComponents::Factor(const std::string& name) const {
  return ReadDense(decomposition_->Tensor(name));
}

at::Tensor DenseComponents::FactorRows(const std::string& name,
                                       const std::vector<int32_t>& rows) const {
  return ReadDenseRows(decomposition_->Tensor(name), rows);
}

at::Tensor DenseComponents::Whole(int module) {
  const DecomposedModule& described = spec().modules[module];
  const std::string tensor = described.name + ".weight";
  const DecoderSpec& decoder = weights_.spec();
  WeightRef whole{.tensor = tensor};
  for (const LayerSpec& layer : decoder.layers) {
    for (const Affine* const affine : {&layer.q, &layer.k, &layer.v, &layer.o,
                                       &layer.gate, &layer.up, &layer.down}) {
      if (affine->weight.tensor != tensor) continue;
      whole.transposed = affine->weight.transposed;
    }
  }
  return weights_.Read(whole);
}

at::Tensor DenseComponents::Delta(int module) {
  if (const auto found = deltas_.find(module); found != deltas_.end()) {
    return found->second;
  }
  const DecomposedModule& described = spec().modules[module];
  const at::Tensor delta =
      Whole(module) -
      Factor(UName(described)).t().matmul(Factor(VName(described)));
  const int64_t bytes = delta.numel() * int64_t{sizeof(double)};
  if (kept_bytes_ + bytes <= kKeptBytes) {
    kept_bytes_ += bytes;
    deltas_.emplace(module, delta);
  }
  return delta;
}

at::Tensor DenseComponents::Recomposed(int module,
                                       const std::vector<int32_t>& kept) const {
  const DecomposedModule& described = spec().modules[module];
  return FactorRows(UName(described), kept)
      .t()
      .matmul(FactorRows(VName(described), kept));
}

// y(t) = W'(t) x(t) + (W - W'(t)) mean x(t).
at::Tensor DenseComponents::Product(int module,
                                    const Masks& masks,
                                    const at::Tensor& x,
                                    const at::Tensor& mean_x) {
  at::Tensor y = DenseZeros(x.size(0), spec().modules[module].d_out);
  at::Tensor whole, delta, weight;
  if (mean_x.defined()) whole = Whole(module);
  for (int64_t t = 0; t < x.size(0); ++t) {
    const bool as_before = t > 0 && masks.kept[t] == masks.kept[t - 1] &&
                           masks.delta[t] == masks.delta[t - 1];
    if (!as_before) {
      weight = Recomposed(module, masks.kept[t]);
      if (masks.delta[t]) {
        if (!delta.defined()) delta = Delta(module);
        weight = weight + delta;
      }
    }
    y[t].copy_(weight.matmul(x[t]));
    if (mean_x.defined()) y[t] += (whole - weight).matmul(mean_x[t]);
  }
  return y;
}

at::Tensor DenseComponents::TokenActivations(
    const std::vector<TokenId>& ids) const {
  return ReadDenseColumns(
      decomposition_->Tensor(VName(spec().modules[embedding_])), ids);
}

// y(t) = sum_c [m a_c + (1-m) mean_c] U_c + d Delta x + (1-d) mean Delta x.
at::Tensor DenseComponents::Embedding(const Masks& masks,
                                      const std::vector<TokenId>& ids,
                                      const at::Tensor& rows,
                                      bool mean) {
  const int length = static_cast<int>(ids.size());
  const at::Tensor u = Factor(UName(spec().modules[embedding_]));
  const at::Tensor own = TokenActivations(ids);
  const at::Tensor own_delta = rows - own.matmul(u);
  at::Tensor other = DenseZeros(length, own.size(1));
  at::Tensor other_delta = DenseZeros(length, rows.size(1));
  if (mean) {
    const Means& means = MeansOf()[embedding_];
    other = means.input.At(length);
    other_delta = means.written.At(length) - other.matmul(u);
  }
  at::Tensor y = DenseZeros(length, rows.size(1));
  for (int t = 0; t < length; ++t) {
    at::Tensor activations = other[t].clone();
    for (const int c : masks.kept[t]) activations[c] = own[t][c];
    y[t].copy_(activations.matmul(u) +
               (masks.delta[t] ? own_delta[t] : other_delta[t]));
  }
  return y;
}

const std::vector<DenseComponents::Means>& DenseComponents::MeansOf() {
  if (!means_.empty()) return means_;
  size_t longest = 1;
  for (const auto& prompt : reference_prompts_) {
    longest = std::max(longest, prompt.size());
  }
  const int64_t length = static_cast<int64_t>(longest);
  std::vector<Means> means;
  for (const DecomposedModule& module : spec().modules) {
    const bool embedding = module.site == ModuleSite::kEmbedding;
    means.push_back(
        {.input = {length, embedding ? module.num_components : module.d_in}});
    if (embedding) means.back().written = {length, module.d_out};
  }
  for (const std::vector<TokenId>& prompt : reference_prompts_) {
    DenseHooks listen;
    listen.on_product = [&](const WeightRef& ref, const at::Tensor& x) {
      const auto found = module_of_.find(ref.tensor);
      // Of a fused weight, which is asked about part by part, once.
      if (found != module_of_.end() && ref.part == 0) {
        means[found->second].input.Add(x);
      }
      return at::Tensor();
    };
    listen.on_embedding = [&](const at::Tensor& rows) {
      if (embedding_ >= 0) {
        means[embedding_].input.Add(TokenActivations(prompt));
        means[embedding_].written.Add(rows);
      }
      return rows;
    };
    DenseLogits(weights_, prompt,
                IndexSet::All(static_cast<int>(prompt.size())), listen);
  }
  means_ = std::move(means);
  return means_;
}

at::Tensor DenseComponents::Logits(const Row& row) {
  const DensePrompt prompt = ArrangeDense(row);
  const int length = static_cast<int>(prompt.ids.size());
  const bool mean = row.prompt->reference == ReferenceKind::kMean;
  int at_hand = -1;  // module whose product of `read` is `written`
  at::Tensor read, written;
  DenseHooks hooks;
  hooks.on_product = [&](const WeightRef& ref, const at::Tensor& x) {
    const auto found = module_of_.find(ref.tensor);
    if (found == module_of_.end()) return at::Tensor();
    const int module = found->second;
    if (at_hand != module || !read.is_same(x)) {
      const at::Tensor mean_x =
          mean ? MeansOf()[module].input.At(length) : at::Tensor();
      written = Product(module, MasksOf(row, module, prompt), x, mean_x);
      at_hand = module;
      read = x;
    }
    return DensePart(written.t(), ref).t();
  };
  hooks.on_embedding = [&](const at::Tensor& rows) {
    if (embedding_ < 0) return rows;
    return Embedding(MasksOf(row, embedding_, prompt), prompt.ids, rows, mean);
  };
  return DenseLogits(weights_, prompt.ids, prompt.kept, hooks);
}

}  // namespace spar::models
