// Test support: a tiny model, and a decomposition of it in a folder that tests
// may damage.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

#include "base/status.h"
#include "models/decomposition/decomposition.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/decomposition/random_decomposition.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {

// One spec for each kind of CI function, small. The keys are its names.
inline std::map<std::string, CiSpec> TinyCiSpecs() {
  const CiRotaryAttention rotary{
      .num_heads = 2, .max_positions = 16, .rope_base = 100.0};
  std::map<std::string, CiSpec> specs;
  specs["mlp"] = {.kind = CiKind::kMlp, .hidden = {3, 2}};
  specs["vector_mlp"] = {.kind = CiKind::kVectorMlp, .hidden = {4}};
  specs["shared_mlp"] = {.kind = CiKind::kSharedMlp, .hidden = {5}};
  specs["shared_mlp affine"] = {.kind = CiKind::kSharedMlp};
  for (const bool causal : {false, true}) {
    const std::string name = causal ? "sequence_mlp causal" : "sequence_mlp";
    specs[name] = {.kind = CiKind::kSequenceMlp, .hidden = {4}};
    specs[name].relative_attention = {
        .key_width = 3,
        .value_width = 5,
        .max_distance = 2,
        .relative = causal ? RelativePositions::kKey : RelativePositions::kBias,
        .causal = causal};
  }
  specs["global_shared_mlp"] = {.kind = CiKind::kGlobalSharedMlp,
                                .hidden = {6, 7}};
  specs["global_shared_transformer"] = {
      .kind = CiKind::kGlobalSharedTransformer,
      .hidden = {9},
      .width = 8,
      .num_blocks = 2,
      .attention = rotary};
  specs["global_reverse_residual"] = {.kind = CiKind::kGlobalReverseResidual,
                                      .hidden = {5},
                                      .width = 8,
                                      .attention = rotary,
                                      .transition_hidden = 6};
  specs["global_reverse_residual plain"] = {
      .kind = CiKind::kGlobalReverseResidual, .width = 6};
  return specs;
}

inline std::map<ModuleSite, int> TinyComponents(bool embedding) {
  std::map<ModuleSite, int> components = {
      {ModuleSite::kQ, 5},  {ModuleSite::kK, 3},    {ModuleSite::kV, 4},
      {ModuleSite::kO, 6},  {ModuleSite::kQkv, 7},  {ModuleSite::kGate, 5},
      {ModuleSite::kUp, 8}, {ModuleSite::kDown, 9},
  };
  if (embedding) components[ModuleSite::kEmbedding] = 6;
  return components;
}

inline bool TakesEmbeddings(CiKind kind) {
  return IsGlobal(kind) || kind == CiKind::kMlp;
}

class DecompositionFolder : public ::testing::Test {
 protected:
  // A fresh model and a decomposition of it, written.
  void WriteTiny(const TinyModel& model, const CiSpec& ci) {
    absl::StatusOr<std::unique_ptr<Snapshot>> opened = OpenTiny(model);
    ASSERT_TRUE(opened.ok()) << opened.status();
    target_ = *std::move(opened);
    written_ = MakeRandomDecomposition(
        RandomDecompositionSpec(*target_,
                                TinyComponents(TakesEmbeddings(ci.kind)), ci),
        {.seed = 7});
    ASSERT_TRUE(WriteDecompositionFolder(path(), *written_).ok());
  }

  nlohmann::json ReadJson() const {
    return nlohmann::json::parse(ReadText(path() / "decomposition.json"));
  }
  void WriteJson(const nlohmann::json& json) const {
    WriteText(path() / "decomposition.json", json.dump());
  }

  // The tensors as written, to be changed and written again.
  TinyTensors Tensors() const {
    TinyTensors tensors;
    for (const auto& [name, shape] : DecompositionTensors(written_->spec())) {
      const TensorView& view = written_->Tensor(name);
      const auto* const values =
          reinterpret_cast<const float*>(view.bytes.data());
      tensors[name] = {.shape = shape,
                       .values = {values, values + view.bytes.size() / 4}};
    }
    return tensors;
  }
  void WriteTensors(const TinyTensors& tensors) const {
    WriteText(path() / "decomposition.safetensors", TensorFile(tensors));
  }

  absl::StatusOr<std::unique_ptr<Decomposition>> Open() const {
    return Decomposition::Open(path(), *target_, SnapshotOptions{});
  }
  // What Open says against the folder; "opened" when nothing.
  std::string Message() const {
    const auto opened = Open();
    return opened.ok() ? "opened"
                       : std::string(base::MessageOf(opened.status()));
  }

  const std::filesystem::path& path() const { return folder_.path(); }

  const TempFolder folder_;
  std::unique_ptr<Snapshot> target_;
  std::shared_ptr<const Decomposition> written_;
};

}  // namespace spar::models
