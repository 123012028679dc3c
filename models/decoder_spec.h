// L1. A decoder-only transformer described by plain values: what arithmetic it
// does, and which checkpoint tensors hold its weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spar::models {

enum class NormKind { kLayerNorm, kRmsNorm };
enum class Activation { kGeluTanh, kGeluErf, kSilu, kRelu };
enum class PositionKind { kLearned, kRotary };
enum class RopeScalingKind { kNone, kLinear, kLlama3 };

// Rotary embedding. Frequencies are theta^(-2j/dim), j < dim/2, scaled.
struct Rotary {
  int dim = 0;  // leading coordinates of each head that rotate; even
  double theta = 10000.0;
  bool adjacent_pairs = false;  // pairs (2j, 2j+1) instead of halves
  RopeScalingKind scaling = RopeScalingKind::kNone;
  double factor = 1.0;                 // linear and llama3
  double low_frequency_factor = 1.0;   // llama3
  double high_frequency_factor = 4.0;  // llama3
  int original_context = 0;            // llama3
};

// Where one weight lives in the checkpoint. Read as: take the tensor, transpose
// it if `transposed` (GPT-2's Conv1D), so that it is [out, in] (or [out] for a
// bias); view `out` as [groups, parts, out / (groups * parts)] and take `part`
// of every group. GPT-2's c_attn: groups 1, parts 3. GPT-NeoX's
// query_key_value: groups = heads, parts 3. An empty name means absent.
struct WeightRef {
  std::string tensor = {};
  bool transposed = false;
  int groups = 1;
  int parts = 1;
  int part = 0;

  bool present() const { return !tensor.empty(); }
};

struct Affine {
  WeightRef weight = {};  // [out, in] (norms: [width])
  WeightRef bias = {};    // [out]; may be absent
};

struct LayerSpec {
  Affine attention_norm = {};
  Affine q = {}, k = {}, v = {}, o = {};
  Affine mlp_norm = {};
  Affine gate = {};  // absent without a gated MLP
  Affine up = {}, down = {};
  std::string attention_module = {};  // "transformer.h.3.attn"
  std::string mlp_module = {};        // "transformer.h.3.mlp"
  double attention_scale = 0;         // multiplies q.k
  int sliding_window = 0;             // 0: none; else keys > q - window
};

struct DecoderSpec {
  std::string family = {};  // model_type
  int num_layers = 0;
  int width = 0;
  int num_heads = 0;
  int num_kv_heads = 0;  // divides num_heads; head h reads kv head h / group
  int head_dim = 0;
  int mlp_width = 0;
  int vocab_size = 0;
  int context_length = 0;
  NormKind norm = NormKind::kLayerNorm;
  double norm_epsilon = 1e-5;
  Activation activation = Activation::kGeluTanh;
  bool gated_mlp = false;          // down(act(gate x) * up x)
  bool parallel_residual = false;  // attention and MLP read the same stream
  PositionKind positions = PositionKind::kLearned;
  Rotary rotary = {};
  bool tied_embeddings = false;

  WeightRef token_embedding = {};     // [vocab, width]
  WeightRef position_embedding = {};  // [context, width]; learned only
  Affine final_norm = {};
  Affine unembedding = {};  // weight [vocab, width]; the embedding's when tied
  std::vector<LayerSpec> layers = {};
};

}  // namespace spar::models
