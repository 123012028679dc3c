// Small random decoders of every kind of arithmetic, for the torch tests.
#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "models/row.h"
#include "models/snapshot/random_snapshot.h"

namespace spar::models {

struct NamedModel {
  std::string name = {};
  DecoderSpec shape = {};
  bool biases = false;
};

inline void PrintTo(const NamedModel& model, std::ostream* out) {
  *out << model.name;
}

// Learned positions and layer norms; grouped queries, rotary and gated;
// parallel residual with partial rotary; sliding window.
inline std::vector<NamedModel> SmallModels() {
  DecoderSpec base;
  base.num_layers = 3;
  base.width = 24;
  base.num_heads = 4;
  base.num_kv_heads = 4;
  base.head_dim = 6;
  base.mlp_width = 40;
  base.vocab_size = 50;
  base.context_length = 40;
  base.tied_embeddings = true;

  DecoderSpec llama = base;
  llama.norm = NormKind::kRmsNorm;
  llama.activation = Activation::kSilu;
  llama.gated_mlp = true;
  llama.num_kv_heads = 2;
  llama.positions = PositionKind::kRotary;
  llama.rotary = {.dim = 6, .theta = 100};
  llama.tied_embeddings = false;

  DecoderSpec neox = base;
  neox.activation = Activation::kGeluErf;
  neox.parallel_residual = true;
  neox.positions = PositionKind::kRotary;
  neox.rotary = {.dim = 4, .theta = 50};
  neox.tied_embeddings = false;

  DecoderSpec window = llama;
  window.num_kv_heads = 1;
  window.rotary.adjacent_pairs = true;
  window.layers.resize(3);
  for (int i = 0; i < 3; ++i) window.layers[i].sliding_window = 4 + i;

  return {{.name = "Gpt2", .shape = base, .biases = true},
          {.name = "Llama", .shape = llama},
          {.name = "NeoX", .shape = neox, .biases = true},
          {.name = "SlidingWindow", .shape = window}};
}

}  // namespace spar::models
