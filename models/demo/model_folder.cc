// L1t. See model_folder.h.
#include "models/demo/model_folder.h"

#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/status.h"
#include "models/demo/query_files.h"
#include "models/snapshot/safetensors_writer.h"
#include "models/torch/aten.h"

namespace spar::demo {
namespace {

absl::Status WriteConfig(const DecoderShape& shape,
                         const std::filesystem::path& folder) {
  const nlohmann::ordered_json config = {
      {"model_type", "llama_simple_mlp"},
      {"block_size", shape.context_length},
      {"vocab_size", shape.vocab_size},
      {"n_layer", shape.num_layers},
      {"n_head", shape.num_heads},
      {"n_embd", shape.width},
      {"n_intermediate", shape.mlp_width},
      {"mlp_bias", false},
      {"attn_bias", false},
      {"rotary_adjacent_pairs", false},
      {"rotary_dim", shape.width / shape.num_heads},
      {"rotary_base", shape.rotary_base},
      {"n_ctx", shape.context_length},
      {"n_key_value_heads", shape.num_heads},
      {"use_grouped_query_attention", true},
      {"rms_norm_eps", shape.norm_epsilon}};
  return WriteText(folder / "config.json", config.dump(2) + "\n");
}

absl::Status WriteWeights(const DemoDecoder& decoder,
                          const std::filesystem::path& folder) {
  std::vector<models::NamedTensor> tensors;
  const auto add = [&](std::string name, const at::Tensor& tensor) {
    models::NamedTensor named;
    named.name = std::move(name);
    named.shape = tensor.sizes().vec();
    named.values =
        std::span<const float>(tensor.const_data_ptr<float>(), tensor.numel());
    tensors.push_back(std::move(named));
  };
  for (size_t i = 0; i < decoder.names().size(); ++i) {
    add(decoder.names()[i], decoder.parameters()[i]);
  }
  // Files of this kind hold the tied weight under both names.
  add("lm_head.weight", decoder.parameters()[0]);
  return models::WriteSafetensors(folder / "model.safetensors",
                                  std::move(tensors));
}

}  // namespace

absl::Status WriteModelFolder(const DemoDecoder& decoder,
                              const Vocabulary& vocabulary,
                              const std::filesystem::path& folder) {
  std::error_code ignored;  // writing the first file says what is wrong
  std::filesystem::create_directories(folder, ignored);
  RETURN_IF_ERROR(WriteConfig(decoder.shape(), folder));
  RETURN_IF_ERROR(WriteWeights(decoder, folder));
  RETURN_IF_ERROR(vocabulary.Write(folder));
  RETURN_IF_ERROR(
      WriteText(folder / "reference_prompts.txt", ReferencePromptsText()));
  return WriteText(folder / ".." / "queries.txt", QueriesText());
}

}  // namespace spar::demo
