// L3. How one search reaches the model: the leaves that suspend, and the
// budget.
#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"

#include "base/clock.h"
#include "models/backend.h"
#include "server/schedule/request.h"
#include "server/search/explanation.h"

namespace spar::search {

struct Budget {
  int64_t max_rows = 0;    // 0: none
  double max_seconds = 0;  // 0: none
};

// Lives on the loop's thread and outlives the search's frames. At most one
// request is out at a time; `ask` sends it and must not answer at once: the
// answer comes by Answer, which resumes the search.
class Oracle {
 public:
  using Ask = std::function<void(schedule::Request)>;
  using Rows = std::vector<models::Row>;
  using GradientRows = std::vector<models::GradientRow>;

  Oracle(const models::Calibration& calibration,
         const Budget& budget,
         const base::Clock* clock,
         Ask ask)
      : calibration_(calibration),
        budget_(budget),
        clock_(clock),
        start_(clock->Now()),
        ask_(std::move(ask)) {}

  class RowsLeaf;
  class GradientsLeaf;
  class ImportancesLeaf;

  // Margins of rows, in order. Errors: of the backend; kCancelled; BudgetEnded.
  // No rows: an answer at once.
  RowsLeaf Evaluate(Rows rows, schedule::Sharing sharing);
  GradientsLeaf Gradients(GradientRows rows);
  // What a decomposition says of one prompt. Costs no rows.
  ImportancesLeaf Importances(schedule::ImportanceQuestion question);

  // Resumes the search with the answer to its request. Ignored when none is
  // out.
  void Answer(schedule::Reply reply);
  // The request that is out, and every later one, ends with kCancelled.
  void Cancel();

  bool waiting() const { return parked_ != nullptr; }
  Effort effort() const;
  // Rows that must be left over for what comes after this phase.
  void Reserve(int64_t rows) { reserve_ = rows; }
  // Whether this error is the budget's end, not a fault.
  static bool BudgetEnded(const absl::Status& status);

 private:
  absl::Status Admit(const schedule::Request& request) const;
  // False when the answer is there already.
  bool Send(schedule::Request request, std::coroutine_handle<> search);

  const models::Calibration calibration_;
  const Budget budget_;
  const base::Clock* const clock_;
  const base::Clock::TimePoint start_;
  const Ask ask_;

  Effort spent_;
  int64_t reserve_ = 0;
  bool cancelled_ = false;
  std::coroutine_handle<> parked_ = nullptr;
  schedule::Reply reply_;
};

// Not aggregates: see the house rules on awaiting.
class Oracle::RowsLeaf {
 public:
  RowsLeaf(Oracle* oracle, schedule::Request request)
      : oracle_(oracle), request_(std::move(request)) {}
  bool await_ready() const { return request_.rows.empty(); }
  bool await_suspend(std::coroutine_handle<> search) {
    return oracle_->Send(std::move(request_), search);
  }
  absl::StatusOr<std::vector<models::RowResult>> await_resume();

 private:
  Oracle* oracle_;
  schedule::Request request_;
};

class Oracle::GradientsLeaf {
 public:
  GradientsLeaf(Oracle* oracle, schedule::Request request)
      : oracle_(oracle), request_(std::move(request)) {}
  bool await_ready() const { return request_.gradient_rows.empty(); }
  bool await_suspend(std::coroutine_handle<> search) {
    return oracle_->Send(std::move(request_), search);
  }
  absl::StatusOr<std::vector<models::RowGradient>> await_resume();

 private:
  Oracle* oracle_;
  schedule::Request request_;
};

class Oracle::ImportancesLeaf {
 public:
  ImportancesLeaf(Oracle* oracle, schedule::Request request)
      : oracle_(oracle), request_(std::move(request)) {}
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> search) {
    return oracle_->Send(std::move(request_), search);
  }
  absl::StatusOr<models::PromptImportances> await_resume();

 private:
  Oracle* oracle_;
  schedule::Request request_;
};

}  // namespace spar::search
