#include "tests/attribution/edited_snapshot.h"

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/models/forwarding_snapshot.h"

namespace spar::models {
namespace {

class EditedSnapshot final : public ForwardingSnapshot {
 public:
  EditedSnapshot(std::shared_ptr<const Snapshot> inner,
                 QkvLayout layout,
                 const std::function<void(DecoderSpec&)>& edit)
      : ForwardingSnapshot(std::move(inner)),
        layout_(layout),
        spec_(ForwardingSnapshot::spec()) {
    if (layout != QkvLayout::kSeparate) {
      for (LayerSpec& layer : spec_.layers) Fuse(layer);
    }
    edit(spec_);
  }

  const DecoderSpec& spec() const override { return spec_; }
  const TensorView& Tensor(std::string_view name) const override {
    const auto found = fused_.find(std::string(name));
    return found != fused_.end() ? found->second.view
                                 : ForwardingSnapshot::Tensor(name);
  }

 private:
  struct Fused {
    std::vector<float> values = {};
    TensorView view = {};
  };

  void Fuse(LayerSpec& layer) {
    Affine* const parts[] = {&layer.q, &layer.k, &layer.v};
    std::vector<WeightRef> weights, biases;
    for (const Affine* part : parts) {
      weights.push_back(part->weight);
      if (part->bias.present()) biases.push_back(part->bias);
    }
    const bool transposed = layout_ == QkvLayout::kConcatenated;
    FuseTensors(layer.attention_module + ".qkv.weight", weights, transposed);
    if (!biases.empty()) {
      FuseTensors(layer.attention_module + ".qkv.bias", biases, false);
    }
    const int groups =
        layout_ == QkvLayout::kConcatenated ? 1 : spec_.num_heads;
    for (int i = 0; i < 3; ++i) {
      const WeightRef ref{.groups = groups, .parts = 3, .part = i};
      parts[i]->weight = ref;
      parts[i]->weight.tensor = layer.attention_module + ".qkv.weight";
      parts[i]->weight.transposed = transposed;
      if (biases.empty()) continue;
      parts[i]->bias = ref;
      parts[i]->bias.tensor = layer.attention_module + ".qkv.bias";
    }
  }

  // [out, ...] of every ref, in the layout's order of rows.
  void FuseTensors(const std::string& name,
                   const std::vector<WeightRef>& refs,
                   bool transposed) {
    const int64_t groups =
        layout_ == QkvLayout::kConcatenated ? 1 : spec_.num_heads;
    const TensorView& first = ForwardingSnapshot::Tensor(refs[0].tensor);
    const int64_t out = first.shape[0];
    const int64_t in = first.shape.size() == 2 ? first.shape[1] : 1;
    const int64_t rest = out / groups;
    Fused& fused = fused_[name];
    fused.values.resize(3 * out * in);
    for (int64_t row = 0; row < 3 * out; ++row) {
      const int64_t part = row / rest % 3;
      const int64_t from = row / (3 * rest) * rest + row % rest;
      const TensorView& view = ForwardingSnapshot::Tensor(refs[part].tensor);
      for (int64_t column = 0; column < in; ++column) {
        float value = 0;
        std::memcpy(&value,
                    view.bytes.data() + (from * in + column) * sizeof(float),
                    sizeof(float));
        fused.values[transposed ? column * 3 * out + row : row * in + column] =
            value;
      }
    }
    fused.view = {.dtype = Dtype::kFloat32,
                  .bytes = std::as_bytes(std::span<const float>(fused.values))};
    if (first.shape.size() == 1) {
      fused.view.shape = {3 * out};
    } else {
      fused.view.shape = {3 * out, in};
      if (transposed) std::swap(fused.view.shape[0], fused.view.shape[1]);
    }
  }

  const QkvLayout layout_;
  DecoderSpec spec_;
  std::map<std::string, Fused> fused_;
};

}  // namespace

std::shared_ptr<const Snapshot> EditSnapshot(
    std::shared_ptr<const Snapshot> snapshot,
    QkvLayout layout,
    const std::function<void(DecoderSpec&)>& edit) {
  return std::make_shared<EditedSnapshot>(std::move(snapshot), layout, edit);
}

}  // namespace spar::models
