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
#include "models/decomposition/random_decomposition.h"
#include "models/snapshot/safetensors_writer.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {
namespace {

constexpr int kLayers = 4;
constexpr int kWidth = 768;
constexpr int kMlpWidth = 3072;
constexpr int kVocab = 50277;

constexpr char kConfig[] = R"({
  "model_type": "llama_simple_mlp", "n_layer": 4, "n_embd": 768, "n_head": 6,
  "n_key_value_heads": 6, "n_intermediate": 3072, "vocab_size": 50277,
  "block_size": 512, "n_ctx": 512, "rms_norm_eps": 1e-6, "rotary_base": 10000,
  "rotary_dim": 128, "rotary_adjacent_pairs": false, "mlp_bias": false,
  "attn_bias": false, "use_grouped_query_attention": true,
  "flash_attention": true
})";

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
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << kConfig;
  Weights weights;
  weights.Add("wte.weight", kVocab, kWidth);
  weights.Add("ln_f.weight", kWidth, 0);
  for (int i = 0; i < kLayers; ++i) {
    const std::string layer = base::Cat("h.", i, ".");
    weights.Add(layer + "rms_1.weight", kWidth, 0);
    weights.Add(layer + "rms_2.weight", kWidth, 0);
    for (const char* map : {"q", "k", "v", "o"}) {
      weights.Add(base::Cat(layer, "attn.", map, "_proj.weight"), kWidth,
                  kWidth);
    }
    weights.Add(layer + "mlp.c_fc.weight", kMlpWidth, kWidth);
    weights.Add(layer + "mlp.down_proj.weight", kWidth, kMlpWidth);
  }
  return weights.Write(folder / "model.safetensors");
}

absl::Status WriteAll(const std::filesystem::path& out) {
  RETURN_IF_ERROR(WriteModel(out / "model"));
  ASSIGN_OR_RETURN(const auto target,
                   Snapshot::Open(out / "model", SnapshotOptions{}));
  const std::map<ModuleSite, int> components = {
      {ModuleSite::kQ, 512},   {ModuleSite::kK, 512},
      {ModuleSite::kV, 1024},  {ModuleSite::kO, 1024},
      {ModuleSite::kUp, 3072}, {ModuleSite::kDown, 3584}};
  CiSpec ci{.kind = CiKind::kGlobalSharedTransformer,
            .hidden = {8192},
            .width = 2048,
            .num_blocks = 8};
  ci.attention = {.num_heads = 16, .max_positions = 512};
  // About one in 200 alive, as the paper reports of a position.
  const auto decomposition =
      MakeRandomDecomposition(RandomDecompositionSpec(*target, components, ci),
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
