// Qwen2: Llama with biases on q, k and v, and a sliding window in the later
// layers of some checkpoints.
#include "base/status.h"
#include "models/snapshot/family_parts.h"
#include "models/snapshot/limits.h"

namespace spar::models {
namespace {

// The layers that `layer_types` lists, or else those from max_window_layers on.
std::vector<bool> ReadWindowedLayers(ConfigReader& config, int num_layers) {
  constexpr IntRange kFirstRange{.min = 0, .max = 1 << 20};
  const int first =
      config.OptionalInt("max_window_layers", kFirstRange).value_or(28);
  std::vector<bool> windowed;
  for (int l = 0; l < num_layers; ++l) windowed.push_back(l >= first);
  const std::optional<std::vector<std::string>> types =
      config.OptionalTexts("layer_types");
  if (!types.has_value()) return windowed;
  if (types->size() != windowed.size()) {
    config.Refuse("layer_types",
                  base::Cat("want one for each of ", num_layers, " layers"));
    return windowed;
  }
  for (size_t l = 0; l < windowed.size(); ++l) {
    windowed[l] = (*types)[l] == "sliding_attention";
    if (!windowed[l] && (*types)[l] != "full_attention") {
      config.Refuse("layer_types",
                    "known are full_attention and sliding_attention");
    }
  }
  return windowed;
}

// Without use_sliding_window, the window that the file states is not used.
int ReadQwen2Window(ConfigReader& config) {
  const int window =
      config.OptionalInt("sliding_window", kContextRange)
          .value_or(config.IsWritten("sliding_window") ? 0 : 4096);
  return config.OptionalBool("use_sliding_window").value_or(false) ? window : 0;
}

DecoderSpec ReadQwen2(ConfigReader& config, const std::string& prefix) {
  LlamaTraits traits;
  traits.qkv_bias = true;
  traits.default_kv_heads = 32;
  DecoderSpec spec = ReadLlamaLike(config, prefix, traits);
  const int window = ReadQwen2Window(config);
  const std::vector<bool> windowed =
      ReadWindowedLayers(config, spec.num_layers);
  for (int l = 0; l < spec.num_layers; ++l) {
    if (windowed[l]) spec.layers[l].sliding_window = window;
    if (windowed[l] && window == 0 && config.IsSet("layer_types")) {
      config.Refuse("layer_types",
                    "names sliding layers, but no sliding window is in use");
    }
  }
  return spec;
}

}  // namespace

constinit const Family kQwen2Family = {
    .model_type = "qwen2",
    .prefix = "model.",
    .embedding = "embed_tokens.weight",
    .head = "lm_head.weight",
    .buffers = kLlamaLikeBuffers,
    .read = ReadQwen2,
};

}  // namespace spar::models
