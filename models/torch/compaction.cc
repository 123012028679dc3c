#include "models/torch/compaction.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// Sets this close to all units run on the whole weights.
constexpr double kNearlyAll = 0.85;
// A remembered set serves a smaller one when it is at most this much larger.
constexpr double kSlack = 1.25;
constexpr size_t kSlackUnits = 4;

std::vector<int32_t> AllUnits(int count) {
  std::vector<int32_t> units(count);
  std::iota(units.begin(), units.end(), 0);
  return units;
}

at::Tensor ToIndex(const std::vector<int64_t>& rows, at::Device device) {
  return at::tensor(rows, at::dtype(at::kLong)).to(device);
}

// Rows first * size .. of each unit, for units of `size` rows.
void AppendRows(const std::vector<int32_t>& units,
                int64_t size,
                int64_t offset,
                std::vector<int64_t>& rows) {
  for (const int32_t unit : units) {
    for (int64_t i = 0; i < size; ++i) rows.push_back(offset + unit * size + i);
  }
}

at::Tensor Gather(const at::Tensor& tensor, int dim, const at::Tensor& index) {
  return tensor.defined() ? tensor.index_select(dim, index) : tensor;
}

int64_t Bytes(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
}

}  // namespace

ReferenceFold FoldReference(const Decoder& decoder, ReferenceValues values) {
  ReferenceFold fold{.values = std::move(values)};
  for (size_t i = 0; i < decoder.weights.layers.size(); ++i) {
    const LayerWeights& layer = decoder.weights.layers[i];
    const auto add = [&](const at::Tensor& bias, const at::Tensor& reference,
                         const at::Tensor& weight) {
      return at::addmm(bias, reference.to(decoder.dtype), weight);
    };
    fold.heads_out.push_back(
        add(layer.o_bias, fold.values.heads[i], layer.attention.o));
    fold.neurons_out.push_back(
        add(layer.down_bias, fold.values.neurons[i], layer.mlp.down));
  }
  return fold;
}

template <typename Kept>
const Kept* Compaction::Find(Entries<Kept>& entries,
                             const Key& key,
                             const std::vector<int32_t>& wanted,
                             bool exact) {
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    const std::vector<int32_t>& units = entry->kept.units;
    const size_t most =
        exact
            ? wanted.size()
            : static_cast<size_t>(kSlack * static_cast<double>(wanted.size())) +
                  kSlackUnits;
    if (entry->key == key && units.size() <= most &&
        std::includes(units.begin(), units.end(), wanted.begin(),
                      wanted.end())) {
      entries.splice(entries.begin(), entries, entry);
      return &entries.front().kept;
    }
  }
  return nullptr;
}

template <typename Kept>
void Compaction::Remember(Entries<Kept>& entries,
                          const Key& key,
                          int64_t bytes,
                          const Kept& kept) {
  entries.push_front({.key = key, .bytes = bytes, .kept = kept});
  bytes_ += bytes;
  while (bytes_ > max_bytes_ && !entries.empty()) {
    bytes_ -= entries.back().bytes;
    entries.pop_back();
  }
}

KeptHeads Compaction::GatherHeads(int layer,
                                  const std::vector<int32_t>& units) {
  const AttentionWeights& all = decoder_.weights.layers[layer].attention;
  const int64_t dim = decoder_.spec.head_dim;
  const int group = all.heads / all.kv_heads;
  std::vector<int32_t> kv_units;
  std::vector<int64_t> kv_of_head;
  for (const int32_t head : units) {
    if (kv_units.empty() || kv_units.back() != head / group) {
      kv_units.push_back(head / group);
    }
    kv_of_head.push_back(static_cast<int64_t>(kv_units.size()) - 1);
  }
  std::vector<int64_t> rows, o_rows;
  AppendRows(units, dim, 0, o_rows);
  rows = o_rows;
  AppendRows(kv_units, dim, all.heads * dim, rows);
  AppendRows(kv_units, dim, (all.heads + all.kv_heads) * dim, rows);
  const at::Tensor index = ToIndex(rows, decoder_.device);
  KeptHeads kept{.units = units};
  kept.weights.heads = static_cast<int>(units.size());
  kept.weights.kv_heads = static_cast<int>(kv_units.size());
  kept.weights.qkv = Gather(all.qkv, 0, index);
  kept.weights.qkv_bias = Gather(all.qkv_bias, 0, index);
  kept.weights.o = Gather(all.o, 0, ToIndex(o_rows, decoder_.device));
  if (group > 1) {
    kept.weights.kv_of_head = ToIndex(kv_of_head, decoder_.device);
  }
  return kept;
}

KeptNeurons Compaction::GatherNeurons(int layer,
                                      const std::vector<int32_t>& units) {
  const MlpWeights& all = decoder_.weights.layers[layer].mlp;
  std::vector<int64_t> rows(units.begin(), units.end());
  const at::Tensor down_index = ToIndex(rows, decoder_.device);
  if (decoder_.spec.gated_mlp) AppendRows(units, 1, all.neurons, rows);
  const at::Tensor up_index = ToIndex(rows, decoder_.device);
  KeptNeurons kept{.units = units};
  kept.weights.neurons = static_cast<int>(units.size());
  kept.weights.up = Gather(all.up, 0, up_index);
  kept.weights.up_bias = Gather(all.up_bias, 0, up_index);
  kept.weights.down = Gather(all.down, 0, down_index);
  return kept;
}

KeptHeads Compaction::Heads(int layer,
                            const std::vector<int32_t>& wanted,
                            const ReferenceFold* reference,
                            bool exact) {
  const AttentionWeights& all = decoder_.weights.layers[layer].attention;
  const at::Tensor means =
      reference != nullptr ? reference->values.heads[layer] : at::Tensor();
  if (static_cast<double>(wanted.size()) >= kNearlyAll * all.heads) {
    return {.units = AllUnits(all.heads), .weights = all, .reference = means};
  }
  const Key key{.layer = layer, .mean = means.defined()};
  if (const KeptHeads* found = Find(heads_, key, wanted, exact)) return *found;
  KeptHeads kept = GatherHeads(layer, wanted);
  if (means.defined()) {
    std::vector<int64_t> columns;
    AppendRows(wanted, decoder_.spec.head_dim, 0, columns);
    kept.reference = Gather(means, 1, ToIndex(columns, decoder_.device));
  }
  Remember(
      heads_, key,
      Bytes(kept.weights.qkv) + Bytes(kept.weights.o) + Bytes(kept.reference),
      kept);
  return kept;
}

KeptNeurons Compaction::Neurons(int layer,
                                const std::vector<int32_t>& wanted,
                                const ReferenceFold* reference,
                                bool exact) {
  const MlpWeights& all = decoder_.weights.layers[layer].mlp;
  const at::Tensor means =
      reference != nullptr ? reference->values.neurons[layer] : at::Tensor();
  if (static_cast<double>(wanted.size()) >= kNearlyAll * all.neurons) {
    return {.units = AllUnits(all.neurons), .weights = all, .reference = means};
  }
  const Key key{.layer = layer, .mean = means.defined()};
  if (const KeptNeurons* found = Find(neurons_, key, wanted, exact))
    return *found;
  KeptNeurons kept = GatherNeurons(layer, wanted);
  if (means.defined()) {
    const std::vector<int64_t> columns(wanted.begin(), wanted.end());
    kept.reference = Gather(means, 1, ToIndex(columns, decoder_.device));
  }
  Remember(
      neurons_, key,
      Bytes(kept.weights.up) + Bytes(kept.weights.down) + Bytes(kept.reference),
      kept);
  return kept;
}

}  // namespace spar::models
