// Mistral: Llama with a sliding window in every layer.
#include "models/snapshot/family_parts.h"
#include "models/snapshot/limits.h"

namespace spar::models {
namespace {

// Null: no window. Absent: the library's default.
int ReadMistralWindow(ConfigReader& config) {
  const int fallback = config.IsWritten("sliding_window") ? 0 : 4096;
  return config.OptionalInt("sliding_window", kContextRange).value_or(fallback);
}

DecoderSpec ReadMistral(ConfigReader& config, const std::string& prefix) {
  const int window = ReadMistralWindow(config);
  const std::string_view want =
      window > 0 ? "sliding_attention" : "full_attention";
  for (const std::string& type : config.OptionalTexts("layer_types")
                                     .value_or(std::vector<std::string>{})) {
    if (type != want) {
      config.Refuse("layer_types",
                    "mistral attends alike in every layer, as sliding_window "
                    "says");
    }
  }
  LlamaTraits traits;
  traits.default_kv_heads = 8;
  DecoderSpec spec = ReadLlamaLike(config, prefix, traits);
  for (LayerSpec& layer : spec.layers) layer.sliding_window = window;
  return spec;
}

}  // namespace

constinit const Family kMistralFamily = {
    .model_type = "mistral",
    .prefix = "model.",
    .embedding = "embed_tokens.weight",
    .head = "lm_head.weight",
    .buffers = kLlamaLikeBuffers,
    .read = ReadMistral,
};

}  // namespace spar::models
