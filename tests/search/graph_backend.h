// A backend whose attribution graph is made up, and small enough to reckon.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "models/attribution.h"
#include "models/fake_backend.h"

namespace spar::testing {

// For each token an embedding, a neuron of layer 0 and, at the last position,
// the logits of the tokens 3 and 4:
//   embedding t -> neuron t with t + 1;  neuron t -> logit 3 with 2,
//   -> logit 4 with -1; embedding t -> logit 3 with 0.5.
// Every neuron has the activation 4. Nodes come before edges, edges in one
// block for each target site and source site. The rest is FakeBackend's.
class GraphBackend final : public models::Backend {
 public:
  GraphBackend() = default;

  const models::ModelInfo& info() const override { return fake_.info(); }
  const models::UnitTable& units() const override { return fake_.units(); }
  const models::Calibration& calibration() const override {
    return fake_.calibration();
  }
  std::span<const std::vector<models::TokenId>> reference_prompts()
      const override {
    return fake_.reference_prompts();
  }
  absl::StatusOr<std::string> ReferenceDigest(
      models::ReferenceKind kind) override {
    return fake_.ReferenceDigest(kind);
  }
  absl::StatusOr<std::vector<models::RowResult>> Evaluate(
      std::span<const models::Row> rows) override {
    return fake_.Evaluate(rows);
  }
  absl::StatusOr<std::vector<models::RowGradient>> Gradients(
      std::span<const models::GradientRow> rows) override {
    return fake_.Gradients(rows);
  }
  absl::StatusOr<double> EvaluateExactly(const models::Row& row) override {
    return fake_.EvaluateExactly(row);
  }
  absl::StatusOr<std::vector<models::PositionPrediction>> Predict(
      std::span<const models::TokenId> tokens, int top_k) override {
    return fake_.Predict(tokens, top_k);
  }

  const models::DecompositionSpec* FindDecomposition(
      std::string_view name) const override {
    return fake_.FindDecomposition(name);
  }
  absl::StatusOr<std::unique_ptr<models::Ablation>> Ablate(
      const models::AblationRequest& request) override {
    return fake_.Ablate(request);
  }
  std::span<const models::DecompositionInfo> decompositions() const override {
    return fake_.decompositions();
  }
  absl::StatusOr<std::vector<models::PromptImportances>> Importances(
      std::string_view decomposition,
      std::span<const std::vector<models::TokenId>> prompts,
      const models::ImportanceOptions& options) override {
    return fake_.Importances(decomposition, prompts, options);
  }

  absl::StatusOr<models::AttributionSummary> Attribute(
      const models::AttributionRequest& request,
      models::AttributionSink& sink) override {
    using models::NodeKind;
    using models::SitePart;
    const int n = static_cast<int>(request.tokens.size());
    models::AttributionNodes nodes;
    nodes.sites = {{SitePart::kEmbedding, -1, "embed"},
                   {SitePart::kNeurons, 0, "h.0.mlp"},
                   {SitePart::kLogits, -1, "unembed"}};
    for (int t = 0; t < n; ++t) {
      nodes.nodes.push_back({NodeKind::kEmbedding, 0, t, 0, 1, 1});
    }
    for (int t = 0; t < n; ++t) {
      nodes.nodes.push_back({NodeKind::kNeuron, 1, t, 5, 4, 1});
    }
    nodes.nodes.push_back({NodeKind::kLogit, 2, n - 1, 3, 9, 0.75f});
    nodes.nodes.push_back({NodeKind::kLogit, 2, n - 1, 4, 8, 0.125f});
    RETURN_IF_ERROR(sink.OnNodes(nodes));
    models::EdgeBlock embed_neuron{1, 0, {}};
    models::EdgeBlock embed_logit{2, 0, {}};
    models::EdgeBlock neuron_logit{2, 1, {}};
    for (int t = 0; t < n; ++t) {
      embed_neuron.edges.push_back({n + t, t, static_cast<float>(t + 1)});
      embed_logit.edges.push_back({2 * n, t, 0.5f});
    }
    for (int logit = 0; logit < 2; ++logit) {
      for (int t = 0; t < n; ++t) {
        neuron_logit.edges.push_back(
            {2 * n + logit, n + t, logit == 0 ? 2.0f : -1.0f});
      }
    }
    models::AttributionSummary summary;
    for (models::EdgeBlock* const block :
         {&embed_neuron, &embed_logit, &neuron_logit}) {
      summary.edges += static_cast<int64_t>(block->edges.size());
      RETURN_IF_ERROR(sink.OnEdges(std::move(*block)));
    }
    summary.edges_below = 7;
    summary.edges_cut = 5;
    summary.stream = {1e-6, 1e-7, 3};
    return summary;
  }

 private:
  models::FakeBackend fake_;
};

}  // namespace spar::testing
