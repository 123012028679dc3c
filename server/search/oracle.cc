// L3. Budget and parking.
#include "server/search/oracle.h"

#include <chrono>
#include <string>
#include <utility>

#include "base/status.h"

namespace spar::search {
namespace {

constexpr char kBudgetReason[] = "SEARCH_BUDGET_ENDED";

int64_t PositionsOf(const schedule::Request& request) {
  int64_t positions = 0;
  for (const models::Row& row : request.rows) {
    positions += row.positions.Count();
  }
  for (const models::GradientRow& row : request.gradient_rows) {
    positions += 3 * int64_t{row.positions.Count()};
  }
  if (request.importances.has_value()) {
    positions += static_cast<int64_t>(request.importances->tokens.size());
  }
  return positions;
}

}  // namespace

Effort Oracle::effort() const {
  Effort effort = spent_;
  effort.seconds =
      std::chrono::duration<double>(clock_->Now() - start_).count();
  return effort;
}

bool Oracle::BudgetEnded(const absl::Status& status) {
  const std::optional<base::ErrorDetail> detail = base::DetailOf(status);
  return detail.has_value() && detail->reason == kBudgetReason;
}

absl::Status Oracle::Admit(const schedule::Request& request) const {
  if (cancelled_) return absl::CancelledError("the search was cancelled");
  const int64_t num_rows =
      static_cast<int64_t>(request.rows.size() + request.gradient_rows.size());
  const int64_t used = spent_.rows + spent_.gradient_rows;
  if (budget_.max_rows > 0 && used + num_rows + reserve_ > budget_.max_rows) {
    return base::Error(absl::StatusCode::kResourceExhausted,
                       base::Cat("the budget of ", budget_.max_rows,
                                 " rows has room for no further round: ", used,
                                 " used, ", num_rows, " needed"),
                       {kBudgetReason, "options.max_rows", {}});
  }
  if (budget_.max_seconds > 0) {
    const double per_position =
        calibration_.t1_seconds / std::max(1, calibration_.tokens);
    const double predicted =
        calibration_.t0_seconds +
        per_position * static_cast<double>(PositionsOf(request)) +
        static_cast<double>(reserve_) *
            (calibration_.t0_seconds + per_position);
    const double used_seconds = effort().seconds;
    if (used_seconds + predicted > budget_.max_seconds) {
      return base::Error(
          absl::StatusCode::kResourceExhausted,
          base::Cat("the budget of ", budget_.max_seconds,
                    " seconds has room for no further round: ", used_seconds,
                    " used, ", predicted, " needed"),
          {kBudgetReason, "options.max_seconds", {}});
    }
  }
  return absl::OkStatus();
}

bool Oracle::Send(schedule::Request request, std::coroutine_handle<> search) {
  reply_ = schedule::Reply();
  reply_.status = Admit(request);
  if (!reply_.status.ok()) return false;
  spent_.rows += static_cast<int64_t>(request.rows.size());
  spent_.gradient_rows += static_cast<int64_t>(request.gradient_rows.size());
  ++spent_.rounds;
  parked_ = search;
  ask_(std::move(request));
  return true;
}

void Oracle::Answer(schedule::Reply reply) {
  if (parked_ == nullptr) return;
  reply_ = std::move(reply);
  const std::coroutine_handle<> search = parked_;
  parked_ = nullptr;
  search.resume();
}

void Oracle::Cancel() {
  cancelled_ = true;
  schedule::Reply reply;
  reply.status = absl::CancelledError("the search was cancelled");
  Answer(std::move(reply));
}

Oracle::RowsLeaf Oracle::Evaluate(Rows rows, schedule::Sharing sharing) {
  schedule::Request request;
  request.rows = std::move(rows);
  request.sharing = sharing;
  return RowsLeaf(this, std::move(request));
}

Oracle::GradientsLeaf Oracle::Gradients(GradientRows rows) {
  schedule::Request request;
  request.gradient_rows = std::move(rows);
  request.sharing = schedule::Sharing::kApart;
  return GradientsLeaf(this, std::move(request));
}

absl::StatusOr<std::vector<models::RowResult>>
Oracle::RowsLeaf::await_resume() {
  schedule::Reply reply = std::move(oracle_->reply_);
  oracle_->reply_ = schedule::Reply();
  if (!reply.status.ok()) return reply.status;
  return std::move(reply.results);
}

absl::StatusOr<std::vector<models::RowGradient>>
Oracle::GradientsLeaf::await_resume() {
  schedule::Reply reply = std::move(oracle_->reply_);
  oracle_->reply_ = schedule::Reply();
  if (!reply.status.ok()) return reply.status;
  return std::move(reply.gradients);
}

Oracle::ImportancesLeaf Oracle::Importances(
    schedule::ImportanceQuestion question) {
  schedule::Request request;
  request.importances = std::move(question);
  return ImportancesLeaf(this, std::move(request));
}

absl::StatusOr<models::PromptImportances>
Oracle::ImportancesLeaf::await_resume() {
  schedule::Reply reply = std::move(oracle_->reply_);
  oracle_->reply_ = schedule::Reply();
  if (!reply.status.ok()) return reply.status;
  return std::move(reply.importances);
}

}  // namespace spar::search
