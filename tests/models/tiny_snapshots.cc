#include "tests/models/tiny_snapshots.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <utility>

#include <stdlib.h>

#include "base/status.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;

constexpr int64_t kVocab = 7;
constexpr int64_t kContext = 16;
constexpr int64_t kWidth = 12;
constexpr int64_t kMlp = 20;
constexpr int kLayers = 2;

std::string LittleEndian64(uint64_t value) {
  std::string bytes(8, '\0');
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

// q and o have 2 heads of 6, k and v one.
void AddLlamaLayers(const std::string& prefix, bool qkv_bias, TinyModel* tiny) {
  tiny->Add(prefix + "embed_tokens.weight", {kVocab, kWidth});
  tiny->Add(prefix + "norm.weight", {kWidth});
  tiny->Add("lm_head.weight", {kVocab, kWidth});
  for (int l = 0; l < kLayers; ++l) {
    const std::string layer = base::Cat(prefix, "layers.", l, ".");
    tiny->Add(layer + "input_layernorm.weight", {kWidth});
    tiny->AddLinear(layer + "self_attn.q_proj", 12, kWidth, qkv_bias);
    tiny->AddLinear(layer + "self_attn.k_proj", 6, kWidth, qkv_bias);
    tiny->AddLinear(layer + "self_attn.v_proj", 6, kWidth, qkv_bias);
    tiny->AddLinear(layer + "self_attn.o_proj", kWidth, 12, false);
    tiny->Add(layer + "post_attention_layernorm.weight", {kWidth});
    tiny->AddLinear(layer + "mlp.gate_proj", kMlp, kWidth, false);
    tiny->AddLinear(layer + "mlp.up_proj", kMlp, kWidth, false);
    tiny->AddLinear(layer + "mlp.down_proj", kWidth, kMlp, false);
  }
}

Json LlamaConfig(const char* model_type) {
  return {{"model_type", model_type},
          {"hidden_size", kWidth},
          {"num_hidden_layers", kLayers},
          {"num_attention_heads", 2},
          {"num_key_value_heads", 1},
          {"intermediate_size", kMlp},
          {"vocab_size", kVocab},
          {"max_position_embeddings", kContext},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"rope_scaling", nullptr},
          {"hidden_act", "silu"},
          {"tie_word_embeddings", false},
          {"torch_dtype", "float32"},
          {"use_cache", true},
          {"transformers_version", "4.30.0"}};
}

TinyModel SimpleModel(const char* model_type, bool gated) {
  TinyModel tiny;
  tiny.config = {{"model_type", model_type},
                 {"block_size", kContext},
                 {"vocab_size", kVocab},
                 {"n_layer", kLayers},
                 {"n_head", 2},
                 {"n_embd", kWidth},
                 {"n_intermediate", kMlp},
                 {"n_ctx", kContext},
                 {"mlp_bias", false},
                 {"attn_bias", false},
                 {"rotary_dim", 6},
                 {"rotary_base", 10000},
                 {"n_key_value_heads", 1},
                 {"rms_norm_eps", 1e-6},
                 {"flash_attention", true},
                 {"rotary_adjacent_pairs", false},
                 {"use_grouped_query_attention", true}};
  tiny.Add("wte.weight", {kVocab, kWidth});
  tiny.Add("ln_f.weight", {kWidth});
  tiny.tensors["lm_head.weight"] = tiny.tensors["wte.weight"];
  for (int l = 0; l < kLayers; ++l) {
    const std::string layer = base::Cat("h.", l, ".");
    tiny.Add(layer + "rms_1.weight", {kWidth});
    tiny.AddLinear(layer + "attn.q_proj", kWidth, kWidth, false);
    tiny.AddLinear(layer + "attn.k_proj", 6, kWidth, false);
    tiny.AddLinear(layer + "attn.v_proj", 6, kWidth, false);
    tiny.AddLinear(layer + "attn.o_proj", kWidth, kWidth, false);
    tiny.Add(layer + "rms_2.weight", {kWidth});
    if (gated) {
      tiny.AddLinear(layer + "mlp.gate_proj", kMlp, kWidth, false);
      tiny.AddLinear(layer + "mlp.up_proj", kMlp, kWidth, false);
    } else {
      tiny.AddLinear(layer + "mlp.c_fc", kMlp, kWidth, false);
    }
    tiny.AddLinear(layer + "mlp.down_proj", kWidth, kMlp, false);
  }
  return tiny;
}

}  // namespace

TempFolder::TempFolder() {
  std::string name =
      (std::filesystem::temp_directory_path() / "spar-test-XXXXXX").string();
  INVARIANT(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void WriteText(const std::filesystem::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  INVARIANT(file.good());
}

std::string ReadText(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::string TensorFile(std::string_view header, std::string_view data) {
  return base::Cat(LittleEndian64(header.size()), header, data);
}

std::string TensorFile(const TinyTensors& tensors) {
  Json header = Json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(tensor.values.data()),
                tensor.values.size() * sizeof(float));
    header[name] = {{"dtype", "F32"},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  return TensorFile(header.dump(), data);
}

int64_t ElementCount(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1},
                         std::multiplies<>());
}

TinyTensor RandomTensor(std::string_view name, std::vector<int64_t> shape) {
  uint32_t state = 2166136261u;
  for (const char c : name) {
    state = (state ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  TinyTensor tensor;
  for (int64_t i = 0; i < ElementCount(shape); ++i) {
    state = state * 1664525u + 1013904223u;
    tensor.values.push_back(static_cast<float>(state >> 16) / 65536.0f - 0.5f);
  }
  tensor.shape = std::move(shape);
  return tensor;
}

void TinyModel::Add(const std::string& name, std::vector<int64_t> shape) {
  tensors[name] = RandomTensor(name, std::move(shape));
}

void TinyModel::AddLinear(const std::string& name,
                          int64_t out,
                          int64_t in,
                          bool bias) {
  Add(name + ".weight", {out, in});
  if (bias) Add(name + ".bias", {out});
}

void TinyModel::Write(const std::filesystem::path& folder) const {
  WriteText(folder / "config.json", config.dump());
  WriteText(folder / "model.safetensors", TensorFile(tensors));
}

TinyModel TinyGpt2(const std::string& prefix) {
  TinyModel tiny;
  tiny.config = {{"model_type", "gpt2"},
                 {"architectures", {"GPT2LMHeadModel"}},
                 {"n_layer", kLayers},
                 {"n_embd", kWidth},
                 {"n_head", 2},
                 {"n_ctx", kContext},
                 {"n_positions", kContext},
                 {"vocab_size", kVocab},
                 {"activation_function", "gelu_new"},
                 {"layer_norm_epsilon", 1e-5},
                 {"resid_pdrop", 0.1},
                 {"summary_type", "cls_index"}};
  const auto add_norm = [&](const std::string& name) {
    tiny.Add(name + ".weight", {kWidth});
    tiny.Add(name + ".bias", {kWidth});
  };
  const auto add_conv = [&](const std::string& name, int64_t in, int64_t out) {
    tiny.Add(name + ".weight", {in, out});
    tiny.Add(name + ".bias", {out});
  };
  tiny.Add(prefix + "wte.weight", {kVocab, kWidth});
  tiny.Add(prefix + "wpe.weight", {kContext, kWidth});
  add_norm(prefix + "ln_f");
  for (int l = 0; l < kLayers; ++l) {
    const std::string layer = base::Cat(prefix, "h.", l, ".");
    add_norm(layer + "ln_1");
    add_conv(layer + "attn.c_attn", kWidth, 3 * kWidth);
    add_conv(layer + "attn.c_proj", kWidth, kWidth);
    add_norm(layer + "ln_2");
    add_conv(layer + "mlp.c_fc", kWidth, 4 * kWidth);
    add_conv(layer + "mlp.c_proj", 4 * kWidth, kWidth);
  }
  return tiny;
}

TinyModel TinyGptNeox(const std::string& prefix) {
  TinyModel tiny;
  tiny.config = {{"model_type", "gpt_neox"},
                 {"hidden_size", kWidth},
                 {"num_hidden_layers", kLayers},
                 {"num_attention_heads", 2},
                 {"intermediate_size", kMlp},
                 {"vocab_size", kVocab},
                 {"max_position_embeddings", kContext},
                 {"layer_norm_eps", 1e-5},
                 {"hidden_act", "gelu"},
                 {"rotary_pct", 0.34},
                 {"rotary_emb_base", 10000},
                 {"use_parallel_residual", true},
                 {"tie_word_embeddings", false}};
  tiny.Add(prefix + "embed_in.weight", {kVocab, kWidth});
  tiny.Add("embed_out.weight", {kVocab, kWidth});
  tiny.Add(prefix + "final_layer_norm.weight", {kWidth});
  tiny.Add(prefix + "final_layer_norm.bias", {kWidth});
  for (int l = 0; l < kLayers; ++l) {
    const std::string layer = base::Cat(prefix, "layers.", l, ".");
    for (const char* norm : {"input_layernorm", "post_attention_layernorm"}) {
      tiny.Add(layer + norm + ".weight", {kWidth});
      tiny.Add(layer + norm + ".bias", {kWidth});
    }
    tiny.AddLinear(layer + "attention.query_key_value", 36, kWidth, true);
    tiny.AddLinear(layer + "attention.dense", kWidth, kWidth, true);
    tiny.AddLinear(layer + "mlp.dense_h_to_4h", kMlp, kWidth, true);
    tiny.AddLinear(layer + "mlp.dense_4h_to_h", kWidth, kMlp, true);
  }
  return tiny;
}

TinyModel TinyLlama(const std::string& prefix) {
  TinyModel tiny;
  tiny.config = LlamaConfig("llama");
  AddLlamaLayers(prefix, false, &tiny);
  return tiny;
}

TinyModel TinyMistral(const std::string& prefix) {
  TinyModel tiny;
  tiny.config = LlamaConfig("mistral");
  tiny.config["sliding_window"] = 5;
  AddLlamaLayers(prefix, false, &tiny);
  return tiny;
}

TinyModel TinyQwen2(const std::string& prefix) {
  TinyModel tiny;
  tiny.config = LlamaConfig("qwen2");
  tiny.config["use_sliding_window"] = true;
  tiny.config["sliding_window"] = 5;
  tiny.config["max_window_layers"] = 1;
  AddLlamaLayers(prefix, true, &tiny);
  return tiny;
}

TinyModel TinyLlamaSimple() {
  return SimpleModel("llama_simple", /*gated=*/true);
}

TinyModel TinyLlamaSimpleMlp() {
  return SimpleModel("llama_simple_mlp", /*gated=*/false);
}

TinyModel TinyGpt2Simple() {
  TinyModel tiny;
  tiny.config = {{"model_type", "gpt2_simple"},
                 {"block_size", kContext},
                 {"vocab_size", kVocab},
                 {"n_layer", kLayers},
                 {"n_head", 2},
                 {"n_embd", kWidth},
                 {"flash_attention", true}};
  tiny.Add("wte.weight", {kVocab, kWidth});
  tiny.Add("wpe.weight", {kContext, kWidth});
  tiny.Add("ln_f.weight", {kWidth});
  tiny.Add("ln_f.bias", {kWidth});
  tiny.tensors["lm_head.weight"] = tiny.tensors["wte.weight"];
  for (int l = 0; l < kLayers; ++l) {
    const std::string layer = base::Cat("h.", l, ".");
    for (const char* norm : {"ln_1", "ln_2"}) {
      tiny.Add(layer + norm + ".weight", {kWidth});
      tiny.Add(layer + norm + ".bias", {kWidth});
    }
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      tiny.AddLinear(layer + "attn." + name, kWidth, kWidth, true);
    }
    tiny.AddLinear(layer + "mlp.c_fc", 4 * kWidth, kWidth, true);
    tiny.AddLinear(layer + "mlp.down_proj", kWidth, 4 * kWidth, true);
  }
  return tiny;
}

absl::StatusOr<std::unique_ptr<Snapshot>> OpenTiny(const TinyModel& model) {
  const TempFolder folder;
  model.Write(folder.path());
  return Snapshot::Open(folder.path(), SnapshotOptions{});
}

std::string Refusal(const TinyModel& model) {
  const auto opened = OpenTiny(model);
  if (opened.ok()) return "opened";
  const std::optional<base::ErrorDetail> detail =
      base::DetailOf(opened.status());
  const std::string reason = detail.has_value() ? detail->reason : "no reason";
  if (reason != "BAD_MODEL") return reason;
  return std::string(base::MessageOf(opened.status()));
}

}  // namespace spar::models
