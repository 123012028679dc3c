#include <utility>

#include "models/snapshot/snapshot.h"

namespace spar::models {

// Counts rows of [out, in] weights with their biases, and columns of the
// weights that lead back into the residual stream. The output biases of o and
// down belong to no unit: they are scaffold.
UnitTable MakeUnitTable(const DecoderSpec& spec) {
  const int64_t width = spec.width;
  const int64_t head_dim = spec.head_dim;
  const int64_t group = spec.num_heads / spec.num_kv_heads;
  const auto row = [&](const Affine& affine) {
    if (!affine.weight.present()) return int64_t{0};
    return width + (affine.bias.present() ? 1 : 0);
  };
  std::vector<LayerUnits> layers;
  for (const LayerSpec& layer : spec.layers) {
    LayerUnits units;
    units.num_heads = spec.num_heads;
    units.num_neurons = spec.mlp_width;
    units.attention_module = layer.attention_module;
    units.mlp_module = layer.mlp_module;
    const int64_t shared = head_dim * (row(layer.k) + row(layer.v)) / group;
    units.parameters_per_head = head_dim * (row(layer.q) + width) + shared;
    units.parameters_per_neuron = row(layer.up) + row(layer.gate) + width;
    layers.push_back(std::move(units));
  }
  return UnitTable(std::move(layers));
}

}  // namespace spar::models
