#include "tests/service/scripted_explainer.h"

#include <utility>

#include "tests/search/graph_backend.h"

namespace spar::testing {

absl::StatusOr<models::UnitTable> ScriptedExplainer::UnitsOf(
    const search::Question& question) const {
  const models::DecompositionSpec* const decomposition =
      backend_.FindDecomposition(question.options.decomposition);
  if (decomposition == nullptr) return backend_.units();
  return models::MakeUnitTable(*decomposition,
                               models::SpaceOf(question.options.scheme),
                               static_cast<int>(question.tokens.size()));
}

absl::StatusOr<search::SearchId> ScriptedExplainer::Start(
    search::Question question, OnEvent on_event, OnDone on_done) {
  base::MutexLock lock(mu_);
  if (refusal_.has_value()) {
    const absl::Status refusal = *refusal_;
    refusal_.reset();
    return refusal;
  }
  const auto id = static_cast<search::SearchId>(searches_.size()) + 1;
  Search& search = searches_[id];
  search.question = std::move(question);
  search.on_event = std::move(on_event);
  search.on_done = std::move(on_done);
  changed_.NotifyAll();
  return id;
}

void ScriptedExplainer::Cancel(search::SearchId id) {
  Finish(id, absl::CancelledError("cancelled"), /*cancelled=*/true);
}

void ScriptedExplainer::Predict(std::vector<models::TokenId> tokens,
                                int top_k,
                                OnPrediction on_prediction) {
  absl::StatusOr<std::vector<models::PositionPrediction>> result;
  {
    base::MutexLock lock(mu_);
    result = backend_.Predict(tokens, top_k);
  }
  on_prediction(std::move(result));
}

void ScriptedExplainer::Verify(std::string certificate_json,
                               OnVerification on_verification) {
  absl::StatusOr<search::Verification> verification;
  {
    base::MutexLock lock(mu_);
    certificate_ = std::move(certificate_json);
    verification = verification_;
  }
  on_verification(std::move(verification));
}

void ScriptedExplainer::Ablate(models::AblationRequest request,
                               OnAblation on_ablation) {
  auto ablation = backend_.Ablate(request);
  if (!ablation.ok()) {
    on_ablation(ablation.status());
    return;
  }
  auto task = std::make_shared<search::AblationTask>();
  task->work = *std::move(ablation);
  on_ablation(std::move(task));
}

void ScriptedExplainer::NextRows(std::shared_ptr<search::AblationTask> task,
                                 int max_rows,
                                 OnAblationRows on_rows) {
  on_rows(task->work->Next(max_rows));
}

void ScriptedExplainer::Importances(search::ImportanceQuestion question,
                                    std::stop_token stop,
                                    OnImportances on_importances) {
  std::function<void()> answer = [this, question = std::move(question),
                                  stop = std::move(stop),
                                  on_importances = std::move(on_importances)] {
    absl::StatusOr<std::vector<search::ImportanceAnswer>> answers;
    {
      base::MutexLock lock(mu_);
      answers = search::Importances(backend_, question, stop);
    }
    on_importances(std::move(answers));
  };
  {
    base::MutexLock lock(mu_);
    if (holds_importances_) {
      held_importances_.push_back(std::move(answer));
      return;
    }
  }
  answer();
}

void ScriptedExplainer::HoldImportances() {
  base::MutexLock lock(mu_);
  holds_importances_ = true;
}

void ScriptedExplainer::ReleaseImportances() {
  std::vector<std::function<void()>> held;
  {
    base::MutexLock lock(mu_);
    holds_importances_ = false;
    held.swap(held_importances_);
  }
  for (const std::function<void()>& answer : held) answer();
}

search::BatchCounters ScriptedExplainer::batch_counters() const {
  base::MutexLock lock(mu_);
  return counters_;
}

void ScriptedExplainer::RefuseNext(absl::Status status) {
  base::MutexLock lock(mu_);
  refusal_ = std::move(status);
}

void ScriptedExplainer::set_verification(
    absl::StatusOr<search::Verification> verification) {
  base::MutexLock lock(mu_);
  verification_ = std::move(verification);
}

void ScriptedExplainer::set_batch_counters(
    const search::BatchCounters& counters) {
  base::MutexLock lock(mu_);
  counters_ = counters;
}

search::Question ScriptedExplainer::AwaitStart(search::SearchId id) {
  base::MutexLock lock(mu_);
  while (searches_.count(id) == 0) changed_.Wait(mu_);
  return searches_[id].question;
}

void ScriptedExplainer::AwaitCancel(search::SearchId id) {
  base::MutexLock lock(mu_);
  while (!searches_[id].cancelled) changed_.Wait(mu_);
}

bool ScriptedExplainer::Emit(search::SearchId id, const search::Event& event) {
  OnEvent on_event;
  {
    base::MutexLock lock(mu_);
    if (!searches_[id].on_done) return false;
    on_event = searches_[id].on_event;
  }
  on_event(event);
  return true;
}

void ScriptedExplainer::End(search::SearchId id,
                            absl::StatusOr<search::Explanation> result) {
  Finish(id, std::move(result), /*cancelled=*/false);
}

void ScriptedExplainer::Finish(search::SearchId id,
                               absl::StatusOr<search::Explanation> result,
                               bool cancelled) {
  OnDone on_done;
  OnEvent on_event;  // dropped outside the lock: it may hold the call's last
                     // reference
  {
    base::MutexLock lock(mu_);
    std::swap(on_done, searches_[id].on_done);
    std::swap(on_event, searches_[id].on_event);
    if (cancelled) searches_[id].cancelled = true;
    changed_.NotifyAll();
  }
  if (on_done) on_done(std::move(result));
}

std::string ScriptedExplainer::last_certificate() const {
  base::MutexLock lock(mu_);
  return certificate_;
}

void ScriptedExplainer::Prune(models::PruneRequest request,
                              OnPruning on_pruning) {
  absl::StatusOr<std::unique_ptr<models::Pruning>> pruning =
      backend_.Prune(request);
  if (!pruning.ok()) {
    on_pruning(pruning.status());
    return;
  }
  auto task = std::make_shared<search::PruningTask>();
  task->work = *std::move(pruning);
  on_pruning(std::move(task));
}

void ScriptedExplainer::NextPruned(std::shared_ptr<search::PruningTask> task,
                                   OnPrunedRows on_rows) {
  on_rows(task->work->Next());
}

void ScriptedExplainer::Evaluate(models::EvaluationRequest request,
                                 OnEvaluation on_evaluation) {
  absl::StatusOr<std::unique_ptr<models::Evaluation>> evaluation =
      backend_.EvaluateDecomposition(request);
  if (!evaluation.ok()) {
    on_evaluation(evaluation.status());
    return;
  }
  auto task = std::make_shared<search::EvaluationTask>();
  task->work = *std::move(evaluation);
  on_evaluation(std::move(task));
}

void ScriptedExplainer::NextEvaluated(
    std::shared_ptr<search::EvaluationTask> task, OnEvaluationParts on_parts) {
  on_parts(task->work->Next());
}

void ScriptedExplainer::Attribute(search::AttributionQuestion question,
                                  std::stop_token stop,
                                  OnAttribution on_attribution) {
  absl::Status refusal;
  {
    base::MutexLock lock(mu_);
    attribution_ = question;
    refusal = graph_refusal_;
  }
  if (!refusal.ok()) {
    on_attribution(refusal);
    return;
  }
  GraphBackend backend;
  absl::StatusOr<search::Attribution> made =
      search::Attribute(backend, question, {}, std::move(stop));
  if (!made.ok()) {
    on_attribution(made.status());
    return;
  }
  on_attribution(std::make_shared<const search::Attribution>(*std::move(made)));
}

void ScriptedExplainer::RefuseGraphs(absl::Status status) {
  base::MutexLock lock(mu_);
  graph_refusal_ = std::move(status);
}

search::AttributionQuestion ScriptedExplainer::last_attribution() const {
  base::MutexLock lock(mu_);
  return attribution_;
}

}  // namespace spar::testing
