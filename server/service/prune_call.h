// L5. One Prune stream: an optimisation and its searches on their way to one
// client.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"

#include "base/mutex.h"
#include "server/search/explainer.h"
#include "server/service/call_ledger.h"
#include "server/service/model_registry.h"
#include "server/service/pruning_to_proto.h"
#include "server/service/stream_call.h"
#include "server/service/to_proto.h"

namespace spar::service {

// As AblateCall: at any time the model's worker, its searches or gRPC have the
// call. A step of the optimisation is asked for, what it brought to an end is
// written row by row, then those rows are searched, some at a time, and only
// then comes the next step. So a client that reads slowly slows its own call
// alone.
//
// Lives until gRPC is done with it (OnDone) and the work has let go.
class PruneCall final : public StreamCall<PruneCall, v1::PruneResponse> {
 public:
  // Answers `request`; owned by gRPC and the work. `registry` and `ledger`
  // outlive both.
  static PruneCall* Make(const ModelRegistry* registry,
                         CallLedger* ledger,
                         const v1::PruneRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;

 private:
  using Clock = std::chrono::steady_clock;

  // A row whose nodes a search begins from.
  struct Start {
    int prompt = 0;
    int coefficient = 0;
    size_t point = 0;  // of points_
    models::TokenId target = 0;
    std::vector<models::UnitId> units = {};
  };
  struct Searched {
    Start start = {};
    std::optional<absl::StatusOr<search::Explanation>> result = std::nullopt;
  };

  explicit PruneCall(CallLedger* ledger);

  absl::Status Begin(const ModelRegistry& registry,
                     const v1::PruneRequest& request);
  // Whether every prompt's rows can be searched; its units then.
  absl::Status PrepareSearches(const search::CrystallizeOptions& options);
  search::Question QuestionOf(int prompt) const;
  void OnTask(absl::StatusOr<std::shared_ptr<search::PruningTask>> task);
  void OnRows(absl::StatusOr<std::vector<models::PrunedRow>> rows);
  // Writes what is next; else searches; else asks for a step; else ends.
  void Advance();
  void WriteRow();
  void WriteExplanation();
  void WriteProgress();
  void WriteSummary();
  void Search();
  void OnExplanation(size_t index, absl::StatusOr<search::Explanation> result);
  // One search less, or all have begun.
  void LetGo();
  void OnSearched();
  void Stop();
  double Elapsed() const;

  const Clock::time_point begin_ = Clock::now();
  PruningContext context_;  // constant once the work has begun
  std::optional<search::CrystallizeOptions> search_options_;  // likewise
  std::vector<AnswerContext> searched_prompts_;  // [prompt]; likewise
  std::shared_ptr<search::PruningTask> task_;
  std::atomic<bool> stopped_{false};

  std::deque<models::PrunedRow> rows_;  // to be written
  std::deque<Start> starts_;            // to be searched
  std::vector<Searched> searched_;      // under way, or to be written
  size_t next_searched_ = 0;            // to be written
  std::atomic<int> searching_{0};
  std::vector<PrunedPoint> points_;
  int num_explained_ = 0;
  std::optional<Clock::time_point> last_progress_;

  base::Mutex mu_;
  std::vector<search::SearchId> live_ ABSL_GUARDED_BY(mu_);  // searches
};

}  // namespace spar::service
