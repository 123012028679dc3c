// Test tool. Writes a random model and a random decomposition of it, of the
// sizes in "Interpreting Language Model Parameters": 67 M parameters, 38,912
// subcomponents, a CI transformer of 539 M parameters; 3 GB in all.
//
//   make_paper_decomposition OUT    writes OUT/model and OUT/decomposition
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "base/splitmix64.h"
#include "base/status.h"
#include "models/decomposition/paper_shape.h"
#include "models/decomposition/random_decomposition.h"
#include "models/snapshot/safetensors_writer.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {
namespace {

// config.json of a target of this shape.
std::string ConfigText(const DecoderSpec& spec) {
  return base::Cat(
      R"({"model_type": "llama_simple_mlp", "rms_norm_eps": 1e-6, )",
      R"("rotary_base": 10000, "rotary_adjacent_pairs": false, )",
      R"("mlp_bias": false, "attn_bias": false, )",
      R"("use_grouped_query_attention": true, "flash_attention": true, )",
      R"("n_layer": )", spec.num_layers, R"(, "n_embd": )", spec.width,
      R"(, "n_head": )", spec.num_heads, R"(, "n_key_value_heads": )",
      spec.num_kv_heads, R"(, "n_intermediate": )", spec.mlp_width,
      R"(, "vocab_size": )", spec.vocab_size, R"(, "block_size": )",
      spec.context_length, R"(, "n_ctx": )", spec.context_length,
      R"(, "rotary_dim": )", spec.rotary.dim, "}");
}

// The model's tensors, kept until they are written.
class Weights {
 public:
  void Add(const std::string& name, int64_t out, int64_t in) {
    const bool vector = in == 0;
    std::vector<float>& values = values_[name];
    values.resize(static_cast<size_t>(out * (vector ? 1 : in)));
    const double spread =
        vector ? 0.2 : std::sqrt(3.0 / static_cast<double>(in));
    uint64_t stream = base::SplitMix64(values_.size());
    for (float& value : values) {
      const uint64_t bits = base::SplitMix64(stream++);
      const double noise = static_cast<double>(bits >> 40) / (1 << 23) - 1.0;
      value = static_cast<float>((vector ? 1 : 0) + spread * noise);
    }
    shapes_[name] = {out};
    if (!vector) shapes_[name].push_back(in);
  }

  absl::Status Write(const std::filesystem::path& path) const {
    std::vector<NamedTensor> tensors;
    for (const auto& [name, values] : values_) {
      tensors.push_back(
          {.name = name, .shape = shapes_.at(name), .values = values});
    }
    return WriteSafetensors(path, std::move(tensors));
  }

 private:
  std::map<std::string, std::vector<float>> values_ = {};
  std::map<std::string, std::vector<int64_t>> shapes_ = {};
};

absl::Status WriteModel(const std::filesystem::path& folder) {
  const DecoderSpec spec = PaperTarget();
  const int width = spec.width;
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << ConfigText(spec);
  Weights weights;
  weights.Add("wte.weight", spec.vocab_size, width);
  weights.Add("ln_f.weight", width, 0);
  for (int i = 0; i < spec.num_layers; ++i) {
    const std::string layer = base::Cat("h.", i, ".");
    weights.Add(layer + "rms_1.weight", width, 0);
    weights.Add(layer + "rms_2.weight", width, 0);
    for (const char* map : {"q", "k", "v", "o"}) {
      weights.Add(base::Cat(layer, "attn.", map, "_proj.weight"), width, width);
    }
    weights.Add(layer + "mlp.c_fc.weight", spec.mlp_width, width);
    weights.Add(layer + "mlp.down_proj.weight", width, spec.mlp_width);
  }
  return weights.Write(folder / "model.safetensors");
}

absl::Status WriteAll(const std::filesystem::path& out) {
  RETURN_IF_ERROR(WriteModel(out / "model"));
  ASSIGN_OR_RETURN(const auto target,
                   Snapshot::Open(out / "model", SnapshotOptions{}));
  CiSpec ci{.kind = CiKind::kGlobalSharedTransformer,
            .hidden = {8192},
            .width = 2048,
            .num_blocks = 8};
  ci.attention = {.num_heads = 16, .max_positions = 512};
  // About one in 200 alive, as the paper reports of a position.
  const auto decomposition = MakeRandomDecomposition(
      RandomDecompositionSpec(*target, PaperComponents(), ci),
      {.seed = 1, .logit_center = -8.7});
  return WriteDecompositionFolder(out / "decomposition", *decomposition);
}

}  // namespace
}  // namespace spar::models

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_paper_decomposition OUT\n";
    return 2;
  }
  const absl::Status status = spar::models::WriteAll(argv[1]);
  if (status.ok()) return 0;
  std::cerr << spar::base::MessageOf(status) << "\n";
  return 1;
}
