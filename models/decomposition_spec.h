// L1. A trained parameter decomposition described by plain values: which
// modules of its target it factorises, into how many subcomponents, and what
// arithmetic its causal importance (CI) function does. docs/formats.md has the
// formulas and the names of the tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spar::models {

// Which weight of the decoder a module is. kQkv is the fused projection of a
// checkpoint that stores q, k and v in one tensor.
enum class ModuleSite {
  kEmbedding,
  kQ,
  kK,
  kV,
  kQkv,
  kO,
  kGate,
  kUp,
  kDown,
};

// What a module reads. Modules of one layer with the same stream read the same
// tensor: q, k, v share the normed attention input, gate and up the normed MLP
// input.
enum class InputStream {
  kTokens,          // the token's one-hot row
  kAttentionInput,  // after the attention norm
  kMixedValues,     // attention's output before the o projection
  kMlpInput,        // after the MLP norm
  kHidden,          // what the down projection multiplies
};

constexpr InputStream InputStreamOf(ModuleSite site) {
  switch (site) {
    case ModuleSite::kEmbedding:
      return InputStream::kTokens;
    case ModuleSite::kQ:
    case ModuleSite::kK:
    case ModuleSite::kV:
    case ModuleSite::kQkv:
      return InputStream::kAttentionInput;
    case ModuleSite::kO:
      return InputStream::kMixedValues;
    case ModuleSite::kGate:
    case ModuleSite::kUp:
      return InputStream::kMlpInput;
    case ModuleSite::kDown:
      return InputStream::kHidden;
  }
  return InputStream::kTokens;
}

// One decomposed weight W = sum_c U[c] V[c]^T + Delta, of [d_out, d_in].
struct DecomposedModule {
  std::string name = {};  // the weight tensor's, without ".weight"
  ModuleSite site = ModuleSite::kQ;
  int layer = -1;               // -1: the embedding
  int d_in = 0;                 // of the embedding: the vocabulary
  int d_out = 0;                // kQkv: rows as the checkpoint's output axis
  int num_components = 0;       // C
  int64_t first_component = 0;  // of the flat numbering of all subcomponents
  std::optional<int> num_alive = {};  // as the writer counted

  friend bool operator==(const DecomposedModule&,
                         const DecomposedModule&) = default;
};

enum class CiKind {
  kMlp,                      // layerwise, per subcomponent, on its activation
  kVectorMlp,                // layerwise, per subcomponent, on the input
  kSharedMlp,                // layerwise, one for the module, on the input
  kSequenceMlp,              // kVectorMlp behind one attention head
  kGlobalSharedMlp,          // one for all modules
  kGlobalSharedTransformer,  // the same, bidirectional over positions
  kGlobalReverseResidual,    // groups of modules along one stream
};

constexpr bool IsGlobal(CiKind kind) {
  return kind == CiKind::kGlobalSharedMlp ||
         kind == CiKind::kGlobalSharedTransformer ||
         kind == CiKind::kGlobalReverseResidual;
}

// Bidirectional attention with rotary positions (half split).
struct CiRotaryAttention {
  int num_heads = 0;
  int max_positions = 0;  // longer prompts are refused
  double rope_base = 10000.0;

  friend bool operator==(const CiRotaryAttention&,
                         const CiRotaryAttention&) = default;
};

enum class RelativePositions { kBias, kKey };

// The one head of kSequenceMlp.
struct CiRelativeAttention {
  int key_width = 0;
  int value_width = 0;
  int max_distance = 0;  // distances beyond count as this one
  RelativePositions relative = RelativePositions::kBias;
  bool causal = false;

  friend bool operator==(const CiRelativeAttention&,
                         const CiRelativeAttention&) = default;
};

struct CiGroup {
  std::string name = {};
  std::vector<int> modules = {};  // indices of DecompositionSpec::modules

  friend bool operator==(const CiGroup&, const CiGroup&) = default;
};

struct CiSpec {
  CiKind kind = CiKind::kMlp;
  std::vector<int> hidden = {};  // widths between the first and last map
  int width = 0;       // of the stream: transformer and reverse residual
  int num_blocks = 0;  // transformer
  std::optional<CiRotaryAttention> attention = {};  // those two; else absent
  std::optional<CiRelativeAttention> relative_attention = {};  // kSequenceMlp
  std::optional<int> transition_hidden = {};  // reverse residual
  std::vector<CiGroup> groups = {};           // reverse residual

  friend bool operator==(const CiSpec&, const CiSpec&) = default;
};

enum class CiSigmoid {
  kLeakyHard,
  kHard,
  kUpperLeakyHard,
  kSwishHard,
  kNormal
};

// How training drew masks. kBinomial also changes the importances.
enum class MaskSampling { kContinuous, kBinomial };

struct DecompositionSpec {
  std::string target_weights_digest = {};  // 64 hex digits
  // The embedding, then layer by layer in the order of ModuleSite.
  std::vector<DecomposedModule> modules = {};
  CiSpec ci = {};
  CiSigmoid sigmoid = CiSigmoid::kLeakyHard;
  MaskSampling sampling = MaskSampling::kContinuous;
  bool has_delta = true;  // whether training masked Delta or left it out
  // A JSON object as the writer left it: where the decomposition came from.
  std::string training_json = "{}";

  int64_t num_components() const {
    if (modules.empty()) return 0;
    return modules.back().first_component + modules.back().num_components;
  }

  friend bool operator==(const DecompositionSpec&,
                         const DecompositionSpec&) = default;
};

}  // namespace spar::models
