#include "models/snapshot/family_parts.h"

#include <utility>

#include "base/status.h"

namespace spar::models {
namespace {

struct ActivationName {
  std::string_view name = {};
  Activation activation = Activation::kGeluTanh;
};

constexpr ActivationName kActivations[] = {
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu", Activation::kGeluErf},
    {"gelu_python", Activation::kGeluErf},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"relu", Activation::kRelu},
};

}  // namespace

Affine Linear(const std::string& module, bool bias) {
  Affine affine;
  affine.weight.tensor = module + ".weight";
  if (bias) affine.bias.tensor = module + ".bias";
  return affine;
}

Affine Conv1d(const std::string& module) {
  Affine affine = Linear(module, /*bias=*/true);
  affine.weight.transposed = true;
  return affine;
}

Affine Part(Affine fused, int groups, int parts, int part) {
  for (WeightRef* const ref : {&fused.weight, &fused.bias}) {
    ref->groups = groups;
    ref->parts = parts;
    ref->part = part;
  }
  return fused;
}

Activation ReadActivation(ConfigReader& config,
                          std::string_view field,
                          std::string_view fallback) {
  const std::string name =
      config.OptionalText(field).value_or(std::string(fallback));
  for (const ActivationName& known : kActivations) {
    if (known.name == name) return known.activation;
  }
  config.Refuse(field,
                "known are gelu_new, gelu_pytorch_tanh, gelu_fast, gelu, "
                "gelu_python, silu, swish and relu");
  return Activation::kGeluTanh;
}

int EvenHeadDim(ConfigReader& config,
                std::string_view width_field,
                int width,
                int num_heads) {
  if (width % num_heads != 0) {
    config.Refuse(width_field,
                  base::Cat("not divisible by the ", num_heads, " heads"));
  }
  return width < num_heads ? 1 : width / num_heads;
}

void ReadTying(ConfigReader& config,
               bool tied_by_default,
               std::string_view head,
               DecoderSpec* spec) {
  spec->tied_embeddings =
      config.OptionalBool("tie_word_embeddings").value_or(tied_by_default);
  if (spec->tied_embeddings) {
    spec->unembedding.weight = spec->token_embedding;
  } else {
    spec->unembedding.weight.tensor = std::string(head);
  }
}

}  // namespace spar::models
