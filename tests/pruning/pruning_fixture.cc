#include "tests/pruning/pruning_fixture.h"

#include <algorithm>
#include <utility>

#include "gtest/gtest.h"

#include "models/decomposition/random_decomposition.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"

namespace spar::models {
namespace {

constexpr int kFixtureComponents = 7;

}  // namespace

DecoderSpec PrunedShape(int num_layers) {
  DecoderSpec shape;
  shape.num_layers = num_layers;
  shape.width = 16;
  shape.num_heads = 2;
  shape.num_kv_heads = 2;
  shape.head_dim = 8;
  shape.mlp_width = 20;
  shape.vocab_size = 23;
  shape.context_length = 16;
  shape.tied_embeddings = true;
  return shape;
}

PruningFixture::PruningFixture()
    : snapshot_(MakeRandomSnapshot(PrunedShape(2), /*biases=*/true, 4)),
      decoder_(LoadDecoder(*snapshot_, at::kCPU, at::kFloat)) {
  const auto decomposition = MakeRandomDecomposition(
      RandomDecompositionSpec(*snapshot_,
                              {{ModuleSite::kQ, kFixtureComponents},
                               {ModuleSite::kK, kFixtureComponents},
                               {ModuleSite::kV, kFixtureComponents},
                               {ModuleSite::kO, kFixtureComponents},
                               {ModuleSite::kUp, kFixtureComponents},
                               {ModuleSite::kDown, kFixtureComponents}},
                              CiSpec{}),
      {.seed = 6});
  decomposed_ = std::make_unique<DecomposedDecoder>(
      decoder_, LoadComponents(*decomposition, at::kCPU, at::kFloat));
  subject_.decomposed = decomposed_.get();
  subject_.logits = [this](std::span<const TokenId> tokens) {
    return LogitsOf(tokens);
  };
}

std::vector<at::Tensor> PruningFixture::LogitsOf(
    std::span<const TokenId> tokens) const {
  std::vector<at::Tensor> logits;
  for (size_t m = 0; m < decomposed_->modules().size(); ++m) {
    at::Tensor z =
        at::zeros({static_cast<int64_t>(tokens.size()), kFixtureComponents});
    float* value = z.mutable_data_ptr<float>();
    for (const TokenId token : tokens) {
      for (int c = 0; c < kFixtureComponents; ++c) {
        // From -0.45 to 1.25, about two thirds alive.
        const int mixed = (token * 7 + c * 5 + static_cast<int>(m) * 3) % 18;
        *value++ = static_cast<float>(mixed) / 10 - 0.45f;
      }
    }
    logits.push_back(z);
  }
  return logits;
}

std::vector<PrunedRow> RunPruning(Pruning& pruning) {
  std::vector<PrunedRow> rows;
  while (!pruning.done()) {
    auto some = pruning.Next();
    EXPECT_TRUE(some.ok()) << some.status();
    if (!some.ok()) break;
    for (PrunedRow& row : *some) rows.push_back(std::move(row));
  }
  std::sort(rows.begin(), rows.end(),
            [](const PrunedRow& a, const PrunedRow& b) {
              return std::pair(a.prompt, a.coefficient) <
                     std::pair(b.prompt, b.coefficient);
            });
  return rows;
}

std::vector<PrunedRow> PruningFixture::Run(const PruneRequest& request,
                                           const PruneLimits& limits) const {
  const auto pruning = MakeTorchPruning(subject_, request, limits);
  return RunPruning(*pruning);
}

}  // namespace spar::models
