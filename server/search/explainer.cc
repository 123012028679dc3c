// L3. One resident model: its backend, its batcher, its search loop.
#include "server/search/explainer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "server/schedule/batcher.h"
#include "server/search/certificate.h"
#include "server/search/certificate_check.h"
#include "server/search/question_check.h"
#include "server/search/search_loop.h"

namespace spar::search {
namespace {

// A graph costs about as much as a few forwards: search.md §5.9.
constexpr int64_t kAttributionCost = 4;
// A forward and a backward.
constexpr int64_t kGradientCost = 3;
constexpr int64_t kPrunedRowsOfAStep = 64;

Subject SubjectOf(models::Backend& backend) {
  Subject subject;
  subject.info = &backend.info();
  subject.units = &backend.units();
  subject.calibration = &backend.calibration();
  subject.decompositions = backend.decompositions();
  subject.reference_prompts = backend.reference_prompts();
  subject.zero_digest =
      backend.ReferenceDigest(models::ReferenceKind::kZero).value_or("");
  if (!subject.reference_prompts.empty()) {
    subject.mean_digest =
        backend.ReferenceDigest(models::ReferenceKind::kMean).value_or("");
  }
  return subject;
}

// Of one Pruning::Next: a batch of rows forth and back.
int64_t PruningCost(const models::PruneRequest& request) {
  int64_t longest = 1;
  for (const models::PrunePrompt& prompt : request.prompts) {
    longest = std::max(longest, std::ssize(prompt.tokens));
  }
  const int64_t rows =
      std::ssize(request.prompts) * std::ssize(request.coefficients);
  return kGradientCost * longest * std::min(rows, kPrunedRowsOfAStep);
}

// Of one Evaluation::Next: a batch, and back where it is attacked.
int64_t EvaluationCost(const models::EvaluationRequest& request) {
  int64_t tokens = 0;
  for (const auto& [first, last] : models::EvaluationBatches(request)) {
    int64_t of_batch = 0;
    for (size_t row = first; row < last; ++row) {
      of_batch += std::ssize(request.rows[row]);
    }
    tokens = std::max(tokens, of_batch);
  }
  return tokens * (request.attack.has_value() ? kGradientCost : 1);
}

schedule::BatcherOptions BatcherOptionsOf(const ExplainerOptions& options) {
  schedule::BatcherOptions batcher;
  batcher.max_rows = std::max(1, options.max_batch_rows);
  batcher.window = std::chrono::microseconds(options.batch_window_micros);
  return batcher;
}

std::vector<models::Backend*> Lent(
    const std::vector<std::unique_ptr<models::Backend>>& backends) {
  std::vector<models::Backend*> lent;
  for (const auto& backend : backends) lent.push_back(backend.get());
  return lent;
}

class ExplainerImpl final : public Explainer {
 public:
  ExplainerImpl(std::vector<std::unique_ptr<models::Backend>> backends,
                const ExplainerOptions& options)
      : options_(options),
        backends_(std::move(backends)),
        backend_(backends_.front().get()),
        loop_(SubjectOf(*backend_)),
        batcher_(Lent(backends_),
                 BatcherOptionsOf(options),
                 [this](schedule::Ticket ticket, schedule::Reply reply) {
                   loop_.Deliver(ticket, std::move(reply));
                 }) {
    loop_.Run(&batcher_);
  }

  // The batcher first, so that no reply comes to a loop that is going.
  ~ExplainerImpl() override {
    batcher_.Stop();
    loop_.Stop();
  }

  const models::ModelInfo& info() const override { return backend_->info(); }
  const models::UnitTable& units() const override { return backend_->units(); }
  const models::Calibration& calibration() const override {
    return backend_->calibration();
  }
  bool has_reference_prompts() const override {
    return !backend_->reference_prompts().empty();
  }

  absl::StatusOr<models::UnitTable> UnitsOf(
      const Question& question) const override {
    RETURN_IF_ERROR(Check(question));
    const models::UnitScheme scheme = question.options.scheme;
    const models::DecompositionSpec* const decomposition =
        backend_->FindDecomposition(question.options.decomposition);
    if (decomposition == nullptr) return units();
    return models::MakeUnitTable(*decomposition, models::SpaceOf(scheme),
                                 static_cast<int>(question.tokens.size()));
  }

  absl::StatusOr<SearchId> Start(Question question,
                                 OnEvent on_event,
                                 OnDone on_done) override {
    RETURN_IF_ERROR(Check(question));
    const SearchId id = ++last_id_;
    if (!loop_.Begin(id, std::move(question), std::move(on_event),
                     std::move(on_done), options_.max_searches)) {
      return base::Error(
          absl::StatusCode::kResourceExhausted,
          base::Cat("the model is answering ", options_.max_searches,
                    " searches, as many as it may; ask again later"),
          {"TOO_MANY_SEARCHES",
           "",
           {{"max_searches", base::Cat(options_.max_searches)}}});
    }
    return id;
  }

  void Cancel(SearchId id) override { loop_.Cancel(id); }

  void Predict(std::vector<models::TokenId> tokens,
               int top_k,
               OnPrediction on_prediction) override {
    absl::Status status = CheckTokens(tokens, info());
    if (status.ok() && (top_k < 1 || top_k > info().vocab_size)) {
      status = base::InvalidArgument(
          "TOP_K_OUT_OF_RANGE", "top_k",
          base::Cat("top_k is ", top_k, ": want [1, ", info().vocab_size, "]"),
          {{"top_k", base::Cat(top_k)},
           {"vocab_size", base::Cat(info().vocab_size)}});
    }
    if (!status.ok()) {
      on_prediction(status);
      return;
    }
    const int64_t cost = static_cast<int64_t>(tokens.size());
    const auto once =
        std::make_shared<Once<OnPrediction>>(std::move(on_prediction));
    batcher_.Run(
        PassingClient(), cost,
        [tokens = std::move(tokens), top_k, once](models::Backend& backend) {
          once->Call(backend.Predict(tokens, top_k));
        });
  }

  void Ablate(models::AblationRequest request,
              OnAblation on_ablation) override {
    const int64_t cost = static_cast<int64_t>(request.tokens.size());
    MakeTask<models::Ablation>(
        cost,
        [request = std::move(request)](models::Backend& backend) {
          return backend.Ablate(request);
        },
        std::move(on_ablation));
  }

  void NextRows(std::shared_ptr<AblationTask> task,
                int max_rows,
                OnAblationRows on_rows) override {
    const int64_t cost = task->cost * max_rows;
    StepTask(
        std::move(task), cost,
        [max_rows](models::Ablation& work) { return work.Next(max_rows); },
        std::move(on_rows));
  }

  void Prune(models::PruneRequest request, OnPruning on_pruning) override {
    const int64_t cost = PruningCost(request);
    MakeTask<models::Pruning>(
        cost,
        [request = std::move(request)](models::Backend& backend) {
          return backend.Prune(request);
        },
        std::move(on_pruning));
  }

  void NextPruned(std::shared_ptr<PruningTask> task,
                  OnPrunedRows on_rows) override {
    const int64_t cost = task->cost;
    StepTask(
        std::move(task), cost,
        [](models::Pruning& work) { return work.Next(); }, std::move(on_rows));
  }

  void Evaluate(models::EvaluationRequest request,
                OnEvaluation on_evaluation) override {
    const int64_t cost = EvaluationCost(request);
    MakeTask<models::Evaluation>(
        cost,
        [request = std::move(request)](models::Backend& backend) {
          return backend.EvaluateDecomposition(request);
        },
        std::move(on_evaluation));
  }

  void NextEvaluated(std::shared_ptr<EvaluationTask> task,
                     OnEvaluationParts on_parts) override {
    const int64_t cost = task->cost;
    StepTask(
        std::move(task), cost,
        [](models::Evaluation& work) { return work.Next(); },
        std::move(on_parts));
  }

  std::span<const models::DecompositionInfo> decompositions() const override {
    return backend_->decompositions();
  }

  void Importances(ImportanceQuestion question,
                   std::stop_token stop,
                   OnImportances on_importances) override {
    int64_t cost = 0;
    for (const std::vector<models::TokenId>& tokens : question.prompts) {
      cost += std::ssize(tokens);
    }
    const auto once =
        std::make_shared<Once<OnImportances>>(std::move(on_importances));
    batcher_.Run(PassingClient(), cost,
                 [question = std::move(question), stop = std::move(stop),
                  once](models::Backend& backend) {
                   once->Call(search::Importances(backend, question, stop));
                 });
  }

  void Verify(std::string certificate_json,
              OnVerification on_verification) override {
    absl::StatusOr<std::unique_ptr<CertificateCheck>> check =
        CertificateCheck::Make(certificate_json);
    const auto once =
        std::make_shared<Once<OnVerification>>(std::move(on_verification));
    if (!check.ok()) {
      once->Call(check.status());
      return;
    }
    VerifyOn(std::shared_ptr<CertificateCheck>(*std::move(check)), once,
             PassingClient());
  }

  void Attribute(AttributionQuestion question,
                 std::stop_token stop,
                 OnAttribution on_attribution) override {
    absl::Status status = CheckTokens(question.request.tokens, info());
    const std::shared_ptr<const void> place = TakeGraphPlace();
    if (status.ok() && place == nullptr) {
      status = base::Error(
          absl::StatusCode::kResourceExhausted,
          base::Cat("the model holds ", options_.max_graphs,
                    " attribution graphs, as many as it may; ask again later"),
          {"TOO_MANY_GRAPHS",
           "",
           {{"max_graphs", base::Cat(options_.max_graphs)}}});
    }
    if (!status.ok()) {
      on_attribution(status);
      return;
    }
    const int64_t cost =
        kAttributionCost * static_cast<int64_t>(question.request.tokens.size());
    const auto once =
        std::make_shared<Once<OnAttribution>>(std::move(on_attribution));
    const auto asked =
        std::make_shared<AttributionQuestion>(std::move(question));
    batcher_.Run(PassingClient(), cost,
                 [asked, stop, once, place](models::Backend& backend) {
                   absl::StatusOr<Attribution> made =
                       search::Attribute(backend, *asked, {}, stop);
                   if (!made.ok()) {
                     once->Call(std::move(made).status());
                     return;
                   }
                   // The graph and its place go together.
                   auto* const graph = new Attribution(*std::move(made));
                   std::shared_ptr<const Attribution> held(
                       graph, [place](const Attribution* it) { delete it; });
                   once->Call(std::move(held));
                 });
  }

  BatchCounters batch_counters() const override {
    const schedule::BatchCounters from = batcher_.counters();
    BatchCounters counters;
    counters.batches = from.batches;
    counters.rows = from.rows;
    counters.flushed_full = from.flushed_full;
    counters.flushed_window = from.flushed_window;
    counters.flushed_idle = from.flushed_idle;
    return counters;
  }

 private:
  // A callback that is called once; if its task is dropped, with kCancelled.
  template <typename Callback>
  class Once {
   public:
    explicit Once(Callback callback) : callback_(std::move(callback)) {}
    ~Once() {
      if (callback_ != nullptr) {
        callback_(absl::CancelledError("the model is being unloaded"));
      }
    }
    template <typename Result>
    void Call(Result&& result) {
      const Callback callback = std::exchange(callback_, nullptr);
      if (callback != nullptr) callback(std::forward<Result>(result));
    }

   private:
    Callback callback_;
  };

  absl::Status Check(const Question& question) const {
    return CheckQuestion(question, info(), units(), backend_->decompositions(),
                         has_reference_prompts());
  }

  // Given back with the last copy; null when none is left.
  std::shared_ptr<const void> TakeGraphPlace() {
    const std::shared_ptr<std::atomic<int>> taken = graphs_;
    if (++*taken > options_.max_graphs) {
      --*taken;
      return nullptr;
    }
    return std::shared_ptr<const void>(taken.get(),
                                       [taken](const void*) { --*taken; });
  }

  // Searches count up from 1, callers that pass by count down from -1.
  schedule::ClientId PassingClient() { return -(++last_passing_); }

  // Has `make(backend)` make a task's work, in turn with everyone else's.
  template <typename Work, typename Make, typename OnTask>
  void MakeTask(int64_t cost, Make make, OnTask on_task) {
    auto task = std::make_shared<Task<Work>>();
    task->client = PassingClient();
    task->cost = cost;
    const auto once = std::make_shared<Once<OnTask>>(std::move(on_task));
    batcher_.Run(
        task->client, cost,
        [make = std::move(make), task, once](models::Backend& backend) {
          absl::StatusOr<std::unique_ptr<Work>> work = make(backend);
          if (!work.ok()) {
            once->Call(work.status());
            return;
          }
          task->work = *std::move(work);
          once->Call(task);
        });
  }

  // The answer of `step(work)`, likewise.
  template <typename Work, typename Step, typename OnAnswer>
  void StepTask(std::shared_ptr<Task<Work>> task,
                int64_t cost,
                Step step,
                OnAnswer on_answer) {
    const int64_t client = task->client;
    const auto once = std::make_shared<Once<OnAnswer>>(std::move(on_answer));
    batcher_.Run(client, cost,
                 [task = std::move(task), step, once](models::Backend&) {
                   once->Call(step(*task->work));
                 });
  }

  // One row, then the next in turn with everyone else's work.
  void VerifyOn(std::shared_ptr<CertificateCheck> check,
                std::shared_ptr<Once<OnVerification>> once,
                schedule::ClientId client) {
    const int64_t cost = check->step_cost() * check->num_tokens();
    batcher_.Run(client, cost,
                 [this, check, once, client](models::Backend& backend) {
                   const absl::StatusOr<bool> more = check->Step(backend);
                   if (!more.ok()) {
                     once->Call(more.status());
                   } else if (*more) {
                     VerifyOn(check, once, client);
                   } else {
                     once->Call(check->Result());
                   }
                 });
  }

  const ExplainerOptions options_;
  const std::vector<std::unique_ptr<models::Backend>> backends_;
  models::Backend* const backend_;  // the first: for what all agree on
  std::atomic<SearchId> last_id_{0};
  std::atomic<schedule::ClientId> last_passing_{0};
  // Shared with the graphs, which may outlive the explainer.
  const std::shared_ptr<std::atomic<int>> graphs_ =
      std::make_shared<std::atomic<int>>(0);
  SearchLoop loop_;
  schedule::Batcher batcher_;
};

}  // namespace

std::unique_ptr<Explainer> Explainer::Make(
    std::vector<std::unique_ptr<models::Backend>> backends,
    const ExplainerOptions& options) {
  return std::make_unique<ExplainerImpl>(std::move(backends), options);
}

std::unique_ptr<Explainer> Explainer::Make(
    std::unique_ptr<models::Backend> backend, const ExplainerOptions& options) {
  std::vector<std::unique_ptr<models::Backend>> backends;
  backends.push_back(std::move(backend));
  return Make(std::move(backends), options);
}

}  // namespace spar::search
