// An explainer whose searches do what the test says, when it says it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "models/fake_backend.h"
#include "server/search/explainer.h"

namespace spar::testing {

// Thread-safe. Describes the default FakeBackend and predicts as it does.
class ScriptedExplainer final : public search::Explainer {
 public:
  explicit ScriptedExplainer(models::FakeBackendOptions options = {})
      : backend_(std::move(options)) {}

  const models::ModelInfo& info() const override { return backend_.info(); }
  const models::UnitTable& units() const override { return backend_.units(); }
  const models::Calibration& calibration() const override {
    return backend_.calibration();
  }
  bool has_reference_prompts() const override {
    return !backend_.reference_prompts().empty();
  }

  // Of a scheme of a decomposition, as the FakeBackend's.
  absl::StatusOr<models::UnitTable> UnitsOf(
      const search::Question& question) const override;
  absl::StatusOr<search::SearchId> Start(search::Question question,
                                         OnEvent on_event,
                                         OnDone on_done) override;
  // Ends the search with kCancelled at once.
  void Cancel(search::SearchId id) override;
  void Predict(std::vector<models::TokenId> tokens,
               int top_k,
               OnPrediction on_prediction) override;
  void Verify(std::string certificate_json,
              OnVerification on_verification) override;
  // Ablates as the FakeBackend does, at once.
  void Ablate(models::AblationRequest request, OnAblation on_ablation) override;
  void NextRows(std::shared_ptr<search::AblationTask> task,
                int max_rows,
                OnAblationRows on_rows) override;
  // Prunes as the FakeBackend does, at once.
  void Prune(models::PruneRequest request, OnPruning on_pruning) override;
  void NextPruned(std::shared_ptr<search::PruningTask> task,
                  OnPrunedRows on_rows) override;
  // Evaluates as the FakeBackend does, at once.
  void Evaluate(models::EvaluationRequest request,
                OnEvaluation on_evaluation) override;
  void NextEvaluated(std::shared_ptr<search::EvaluationTask> task,
                     OnEvaluationParts on_parts) override;
  // As an Explainer over GraphBackend would.
  void Attribute(search::AttributionQuestion question,
                 std::stop_token stop,
                 OnAttribution on_attribution) override;
  std::span<const models::DecompositionInfo> decompositions() const override {
    return backend_.decompositions();
  }
  // As an Explainer over the FakeBackend would, at once unless held.
  void Importances(search::ImportanceQuestion question,
                   std::stop_token stop,
                   OnImportances on_importances) override;
  search::BatchCounters batch_counters() const override;

  // Importances wait from now on, until ReleaseImportances answers them.
  void HoldImportances();
  void ReleaseImportances();

  // The next Start is refused so.
  void RefuseNext(absl::Status status);
  // Verify answers so from now on.
  void set_verification(absl::StatusOr<search::Verification> verification);
  void set_batch_counters(const search::BatchCounters& counters);

  // Attribute answers so from now on.
  void RefuseGraphs(absl::Status status);
  // The question that Attribute was last given.
  search::AttributionQuestion last_attribution() const;

  // Waits until so many searches have been started; the last one's question.
  search::Question AwaitStart(search::SearchId id);
  // Waits until the search was cancelled.
  void AwaitCancel(search::SearchId id);
  // The search with this id finds something; false if it has ended.
  bool Emit(search::SearchId id, const search::Event& event);
  void End(search::SearchId id, absl::StatusOr<search::Explanation> result);
  // The text that Verify was last given.
  std::string last_certificate() const;

 private:
  struct Search {
    search::Question question = {};
    OnEvent on_event = {};
    OnDone on_done = {};  // empty once called
    bool cancelled = false;
  };

  void Finish(search::SearchId id,
              absl::StatusOr<search::Explanation> result,
              bool cancelled);

  models::FakeBackend backend_;

  mutable base::Mutex mu_;
  base::CondVar changed_;
  std::map<search::SearchId, Search> searches_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> refusal_ ABSL_GUARDED_BY(mu_);
  absl::StatusOr<search::Verification> verification_ ABSL_GUARDED_BY(mu_) =
      search::Verification{};
  search::BatchCounters counters_ ABSL_GUARDED_BY(mu_);
  std::string certificate_ ABSL_GUARDED_BY(mu_);
  absl::Status graph_refusal_ ABSL_GUARDED_BY(mu_) = absl::OkStatus();
  search::AttributionQuestion attribution_ ABSL_GUARDED_BY(mu_);
  bool holds_importances_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::function<void()>> held_importances_ ABSL_GUARDED_BY(mu_);
};

}  // namespace spar::testing
