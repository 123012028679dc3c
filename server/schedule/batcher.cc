// L2. The device's threads.
#include "server/schedule/batcher.h"

#include <optional>
#include <utility>

#include "base/status.h"

namespace spar::schedule {
namespace {

template <typename Result>
absl::Status WrongCount(const absl::StatusOr<std::vector<Result>>& results,
                        size_t want) {
  if (!results.ok()) return results.status();
  if (results->size() == want) return absl::OkStatus();
  return base::Error(absl::StatusCode::kInternal,
                     base::Cat("the backend gave ", results->size(),
                               " results for ", want, " rows"),
                     {"BACKEND_FAULT", "", {}});
}

// Runs all rows at once; if that fails, each by itself.
template <typename Result, typename RowType, typename Call>
std::vector<absl::StatusOr<Result>> RunRows(const std::vector<RowType>& rows,
                                            Call call) {
  std::vector<absl::StatusOr<Result>> outcomes;
  absl::StatusOr<std::vector<Result>> all =
      call(std::span<const RowType>(rows));
  absl::Status status = WrongCount(all, rows.size());
  if (status.ok()) {
    for (Result& result : *all) outcomes.push_back(std::move(result));
    return outcomes;
  }
  if (rows.size() == 1) {
    outcomes.push_back(std::move(status));
    return outcomes;
  }
  for (const RowType& row : rows) {
    absl::StatusOr<std::vector<Result>> one =
        call(std::span<const RowType>(&row, 1));
    status = WrongCount(one, 1);
    if (status.ok()) {
      outcomes.push_back(std::move(one->front()));
    } else {
      outcomes.push_back(status);
    }
  }
  return outcomes;
}

Reply AskImportances(models::Backend& backend,
                     const ImportanceQuestion& question) {
  Reply reply;
  absl::StatusOr<std::vector<models::PromptImportances>> importances =
      backend.Importances(question.decomposition,
                          std::span(&question.tokens, 1), {});
  reply.status = WrongCount(importances, 1);
  if (reply.status.ok()) reply.importances = std::move(importances->front());
  return reply;
}

}  // namespace

Batcher::Batcher(std::vector<models::Backend*> backends,
                 const BatcherOptions& options,
                 OnReply on_reply,
                 const base::Clock* clock)
    : on_reply_(std::move(on_reply)),
      clock_(clock),
      queue_(options.max_rows, options.window) {
  for (models::Backend* const backend : backends) {
    const bool tasks = workers_.empty();
    workers_.emplace_back([this, backend, tasks] { Work(backend, tasks); });
  }
}

Batcher::~Batcher() {
  Stop();
}

void Batcher::Add(ClientId client) {
  base::MutexLock lock(mu_);
  queue_.Add(client);
}

void Batcher::Remove(ClientId client) {
  base::MutexLock lock(mu_);
  queue_.Remove(client);
  changed_.NotifyAll();
}

void Batcher::Submit(Request request) {
  if (request.importances.has_value()) {
    const int64_t cost =
        static_cast<int64_t>(request.importances->tokens.size());
    const ClientId client = request.client;
    Run(client, cost,
        [this, request = std::move(request)](models::Backend& backend) {
          on_reply_(request.ticket,
                    AskImportances(backend, *request.importances));
        });
    return;
  }
  base::MutexLock lock(mu_);
  if (stopped_) return;
  queue_.Push(std::move(request), clock_->Now());
  changed_.NotifyAll();
}

void Batcher::Run(ClientId client, int64_t cost, Task task) {
  base::MutexLock lock(mu_);
  if (stopped_) return;
  queue_.PushTask(client, cost, std::move(task));
  changed_.NotifyAll();
}

void Batcher::Stop() {
  {
    base::MutexLock lock(mu_);
    stopped_ = true;
    changed_.NotifyAll();
  }
  for (std::thread& worker : workers_) {
    if (worker.joinable()) worker.join();
  }
}

BatchCounters Batcher::counters() const {
  base::MutexLock lock(mu_);
  return counters_;
}

void Batcher::Work(models::Backend* backend, bool tasks) {
  while (true) {
    std::optional<Batch> batch;
    {
      base::MutexLock lock(mu_);
      while (!stopped_) {
        const base::Clock::TimePoint now = clock_->Now();
        batch = queue_.Take(now, tasks);
        if (batch.has_value()) break;
        const std::optional<base::Clock::TimePoint> next = queue_.NextTime();
        if (next.has_value()) {
          changed_.WaitUntil(mu_,
                             std::chrono::steady_clock::now() + (*next - now));
        } else {
          changed_.Wait(mu_);
        }
      }
      if (stopped_) return;
      if (batch->task == nullptr) {
        ++counters_.batches;
        counters_.rows += static_cast<int64_t>(batch->pieces.size());
        counters_.flushed_full += batch->reason == FlushReason::kFull;
        counters_.flushed_window += batch->reason == FlushReason::kWindow;
        counters_.flushed_idle += batch->reason == FlushReason::kIdle;
      }
    }
    RunBatch(backend, std::move(*batch));
  }
}

static std::vector<absl::StatusOr<models::RowResult>> EvaluateRows(
    models::Backend* backend, const Batch& batch) {
  std::vector<models::Row> rows;
  for (const Piece& piece : batch.pieces) {
    rows.push_back(piece.round->request.rows[piece.row]);
  }
  return RunRows<models::RowResult>(
      rows, [backend](auto some) { return backend->Evaluate(some); });
}

static std::vector<absl::StatusOr<models::RowGradient>> DifferentiateRows(
    models::Backend* backend, const Batch& batch) {
  std::vector<models::GradientRow> rows;
  for (const Piece& piece : batch.pieces) {
    rows.push_back(piece.round->request.gradient_rows[piece.row]);
  }
  return RunRows<models::RowGradient>(
      rows, [backend](auto some) { return backend->Gradients(some); });
}

void Batcher::RunBatch(models::Backend* backend, Batch batch) {
  if (batch.task != nullptr) {
    batch.task(*backend);
    return;
  }
  std::vector<absl::StatusOr<models::RowResult>> results;
  std::vector<absl::StatusOr<models::RowGradient>> gradients;
  if (batch.gradients) {
    gradients = DifferentiateRows(backend, batch);
  } else {
    results = EvaluateRows(backend, batch);
  }
  std::vector<std::shared_ptr<Round>> finished;
  {
    base::MutexLock lock(mu_);
    for (size_t i = 0; i < batch.pieces.size(); ++i) {
      const std::shared_ptr<Round>& round = batch.pieces[i].round;
      const int row = batch.pieces[i].row;
      const absl::Status status =
          batch.gradients ? gradients[i].status() : results[i].status();
      if (!status.ok()) {
        if (round->reply.status.ok()) round->reply.status = status;
      } else if (batch.gradients) {
        round->reply.gradients[row] = *std::move(gradients[i]);
      } else {
        round->reply.results[row] = *results[i];
      }
      ++round->num_done;
      if (round->num_done == round->num_rows && !round->dropped && !stopped_) {
        finished.push_back(round);
      }
    }
  }
  for (const std::shared_ptr<Round>& round : finished) {
    on_reply_(round->request.ticket, std::move(round->reply));
  }
}

}  // namespace spar::schedule
