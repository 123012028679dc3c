// L3. Answers questions about one resident model.
//
// Owns the model's device workers and batcher (server/schedule) and its search
// loop. The service layer sees this class, explanation.h, attribution.h and
// importances.h, nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/ablation.h"
#include "models/backend.h"
#include "models/decomposition_spec.h"
#include "models/evaluation.h"
#include "models/prune.h"
#include "server/search/attribution.h"
#include "server/search/explanation.h"
#include "server/search/importances.h"

namespace spar::search {

using SearchId = int64_t;

struct ExplainerOptions {
  int max_searches = 256;             // live at once; Start refuses beyond this
  int max_batch_rows = 64;            // rows of one device batch
  int64_t batch_window_micros = 200;  // counted from the oldest waiting row
  int max_graphs = 8;  // attribution graphs in the making or still held
};

enum class CertificateVerdict { kValid, kValidWithBorderline, kInvalid };

struct Verification {
  CertificateVerdict verdict = CertificateVerdict::kInvalid;
  std::vector<std::string> findings = {};  // a sentence each
  double margin = 0;                       // m(S, T) as re-computed
  int64_t rows = 0;
  double largest_difference = 0;  // stated against re-computed, logits
};

// How the batches of a model were made, since it was loaded.
struct BatchCounters {
  int64_t batches = 0;
  int64_t rows = 0;
  int64_t flushed_full = 0;
  int64_t flushed_window = 0;
  int64_t flushed_idle = 0;  // nothing else could arrive
};

// Work that runs step by step, in turn with everyone else's.
template <typename Work>
struct Task {
  std::unique_ptr<Work> work = nullptr;
  int64_t client = 0;  // of the batcher
  int64_t cost = 0;    // of a row of an ablation, of a step of the others
};
using AblationTask = Task<models::Ablation>;
using PruningTask = Task<models::Pruning>;
using EvaluationTask = Task<models::Evaluation>;

// Thread-safe. Callbacks run on the explainer's own threads, must not block,
// and may call back into it. The destructor cancels what is live and joins.
class Explainer {
 public:
  using OnEvent = std::function<void(const Event&)>;
  using OnDone = std::function<void(absl::StatusOr<Explanation>)>;
  using OnPrediction = std::function<void(
      absl::StatusOr<std::vector<models::PositionPrediction>>)>;
  // The task ends before the explainer.
  using OnAblation =
      std::function<void(absl::StatusOr<std::shared_ptr<AblationTask>>)>;
  using OnAblationRows =
      std::function<void(absl::StatusOr<std::vector<models::AblationRow>>)>;
  using OnPruning =
      std::function<void(absl::StatusOr<std::shared_ptr<PruningTask>>)>;
  using OnPrunedRows =
      std::function<void(absl::StatusOr<std::vector<models::PrunedRow>>)>;
  using OnEvaluation =
      std::function<void(absl::StatusOr<std::shared_ptr<EvaluationTask>>)>;
  using OnEvaluationParts =
      std::function<void(absl::StatusOr<std::vector<models::EvaluationPart>>)>;
  using OnVerification = std::function<void(absl::StatusOr<Verification>)>;

  using OnImportances =
      std::function<void(absl::StatusOr<std::vector<ImportanceAnswer>>)>;
  using OnAttribution =
      std::function<void(absl::StatusOr<std::shared_ptr<const Attribution>>)>;

  // Backends of one model that give the same numbers, at least one: as many
  // device batches run at a time.
  static std::unique_ptr<Explainer> Make(
      std::vector<std::unique_ptr<models::Backend>> backends,
      const ExplainerOptions& options);
  static std::unique_ptr<Explainer> Make(
      std::unique_ptr<models::Backend> backend,
      const ExplainerOptions& options);
  virtual ~Explainer() = default;

  virtual const models::ModelInfo& info() const = 0;
  virtual const models::UnitTable& units() const = 0;  // heads and neurons
  virtual const models::Calibration& calibration() const = 0;
  virtual bool has_reference_prompts() const = 0;

  // The units that a question's answers number. Errors: those of a question.
  virtual absl::StatusOr<models::UnitTable> UnitsOf(
      const Question& question) const = 0;

  // Checks the question and starts a search. After an ok result: any number of
  // events, then on_done once. Errors at once, and then no callback:
  // kInvalidArgument (EMPTY_PROMPT, PROMPT_TOO_LONG, TOKEN_OUT_OF_RANGE,
  // OPTION_OUT_OF_RANGE, DECOMPOSITION_REQUIRED, DECOMPOSITION_NOT_WANTED,
  // TOO_MANY_UNITS, BAD_INITIAL_UNIT, each with the field), kNotFound
  // (DECOMPOSITION_NOT_FOUND), kFailedPrecondition (NO_REFERENCE_PROMPTS),
  // kResourceExhausted (TOO_MANY_SEARCHES).
  virtual absl::StatusOr<SearchId> Start(Question question,
                                         OnEvent on_event,
                                         OnDone on_done) = 0;
  // The search ends with kCancelled, at most one batch later. Unknown and
  // finished ids are ignored.
  virtual void Cancel(SearchId id) = 0;

  // kInvalidArgument as Start, and TOP_K_OUT_OF_RANGE.
  virtual void Predict(std::vector<models::TokenId> tokens,
                       int top_k,
                       OnPrediction on_prediction) = 0;

  // Begins an ablation, which models/ablation_check.h has passed.
  virtual void Ablate(models::AblationRequest request,
                      OnAblation on_ablation) = 0;
  // What its Ablation::Next gives. One call at a time for each task.
  virtual void NextRows(std::shared_ptr<AblationTask> task,
                        int max_rows,
                        OnAblationRows on_rows) = 0;

  // Begins pruning, which models/prune_check.h has passed.
  virtual void Prune(models::PruneRequest request, OnPruning on_pruning) = 0;
  // What its Pruning::Next gives. One call at a time for each task.
  virtual void NextPruned(std::shared_ptr<PruningTask> task,
                          OnPrunedRows on_rows) = 0;

  // Begins to judge a decomposition, as models/evaluation_check.h has passed.
  virtual void Evaluate(models::EvaluationRequest request,
                        OnEvaluation on_evaluation) = 0;
  // What its Evaluation::Next gives. One call at a time for each task.
  virtual void NextEvaluated(std::shared_ptr<EvaluationTask> task,
                             OnEvaluationParts on_parts) = 0;

  // The decompositions resident beside the model, by name; fixed.
  virtual std::span<const models::DecompositionInfo> decompositions() const = 0;
  // Asks the backend for all prompts at once, between the batches: the caller
  // chooses how many. `stop` keeps work that waits from starting. Errors: those
  // of search::Importances.
  virtual void Importances(ImportanceQuestion question,
                           std::stop_token stop,
                           OnImportances on_importances) = 0;

  // Re-checks a certificate (canonical JSON) by Backend::EvaluateExactly.
  // kInvalidArgument BAD_CERTIFICATE when it cannot be read.
  virtual void Verify(std::string certificate_json,
                      OnVerification on_verification) = 0;

  // Makes an attribution graph between the batches, and answers the query about
  // it. It is held, and counts, until the last pointer to it goes. `stop` ends
  // the work with kCancelled. Errors: those of search::Attribute;
  // kInvalidArgument as Start; kResourceExhausted TOO_MANY_GRAPHS.
  virtual void Attribute(AttributionQuestion question,
                         std::stop_token stop,
                         OnAttribution on_attribution) = 0;

  virtual BatchCounters batch_counters() const = 0;
};

}  // namespace spar::search
