#include "server/schedule/batcher.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

#include "models/fake_backend.h"

namespace spar::schedule {
namespace {

// The replies of a batcher, by ticket.
class Replies {
 public:
  Batcher::OnReply Sink() {
    return [this](Ticket ticket, Reply reply) {
      std::lock_guard<std::mutex> lock(mutex_);
      replies_[ticket] = std::move(reply);
      changed_.notify_all();
    };
  }
  Reply Await(Ticket ticket) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return replies_.count(ticket) > 0; });
    return replies_[ticket];
  }
  bool Has(Ticket ticket) {
    std::lock_guard<std::mutex> lock(mutex_);
    return replies_.count(ticket) > 0;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Ticket, Reply> replies_;
};

models::Row ARow(const models::FakeBackend& backend,
                 std::vector<models::TokenId> tokens) {
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = std::move(tokens);
  models::Row row;
  row.units = models::IndexSet::All(backend.units().size());
  row.positions =
      models::IndexSet::All(static_cast<int>(prompt->tokens.size()));
  row.prompt = std::move(prompt);
  return row;
}

Request RequestOf(ClientId client,
                  Ticket ticket,
                  std::vector<models::Row> rows) {
  Request request;
  request.client = client;
  request.ticket = ticket;
  request.rows = std::move(rows);
  return request;
}

TEST(Batcher, AnswersEachRequestWithItsOwnRowsInOrder) {
  models::FakeBackend backend;
  models::FakeBackend truth;
  Replies replies;
  Batcher batcher(&backend, {.max_rows = 4}, replies.Sink());
  for (int client = 1; client <= 3; ++client) batcher.Add(client);
  for (int client = 1; client <= 3; ++client) {
    std::vector<models::Row> rows;
    for (int i = 0; i < 7; ++i) {
      rows.push_back(ARow(backend, {client, i, 3}));
    }
    batcher.Submit(RequestOf(client, client, rows));
  }
  for (int client = 1; client <= 3; ++client) {
    const Reply reply = replies.Await(client);
    ASSERT_TRUE(reply.status.ok());
    ASSERT_EQ(reply.results.size(), 7u);
    for (int i = 0; i < 7; ++i) {
      EXPECT_NEAR(reply.results[i].margin,
                  *truth.EvaluateExactly(ARow(truth, {client, i, 3})), 1e-5);
    }
  }
  EXPECT_LE(backend.counters().largest_batch, 4);
  const BatchCounters counters = batcher.counters();
  EXPECT_EQ(counters.rows, 21);
  EXPECT_EQ(counters.batches, counters.flushed_full + counters.flushed_window +
                                  counters.flushed_idle);
}

TEST(Batcher, AnswersImportances) {
  models::FakeBackendOptions options;
  options.decompositions = {"main"};
  models::FakeBackend backend(options);
  Replies replies;
  Batcher batcher(&backend, {}, replies.Sink());
  batcher.Add(1);
  Request request = RequestOf(1, 7, {});
  request.importances = ImportanceQuestion{"main", {3, 1, 4}};
  batcher.Submit(request);
  const Reply reply = replies.Await(7);
  ASSERT_TRUE(reply.status.ok()) << reply.status;
  const std::vector<std::vector<models::TokenId>> prompts = {{3, 1, 4}};
  EXPECT_EQ(reply.importances, (*backend.Importances("main", prompts, {}))[0]);
  request.ticket = 8;
  request.importances->decomposition = "none";
  batcher.Submit(request);
  EXPECT_EQ(replies.Await(8).status.code(), absl::StatusCode::kNotFound);
}

TEST(Batcher, RunsABatchOnEachBackendAndTasksOnTheFirst) {
  models::FakeBackend first;
  models::FakeBackend second;
  Replies replies;
  Batcher batcher(std::vector<models::Backend*>{&first, &second}, {},
                  replies.Sink());
  batcher.Add(1);
  batcher.Add(2);
  first.Hold();
  second.Hold();
  for (int client = 1; client <= 2; ++client) {
    Request request = RequestOf(client, client, {ARow(first, {client, 5})});
    request.sharing = Sharing::kApart;
    batcher.Submit(std::move(request));
  }
  first.AwaitHeld();
  second.AwaitHeld();  // both at once
  std::mutex mutex;
  std::condition_variable ran;
  models::Backend* where = nullptr;
  batcher.Run(3, 1, [&](models::Backend& backend) {
    std::lock_guard<std::mutex> lock(mutex);
    where = &backend;
    ran.notify_all();
  });
  second.Release();
  // The free worker takes further rows, and leaves the task alone.
  while (!replies.Has(1) && !replies.Has(2)) std::this_thread::yield();
  const Ticket left = replies.Has(1) ? 2 : 1;
  Request request = RequestOf(4, 4, {ARow(first, {4, 5})});
  request.sharing = Sharing::kApart;
  batcher.Submit(std::move(request));
  ASSERT_TRUE(replies.Await(4).status.ok());
  {
    std::lock_guard<std::mutex> lock(mutex);
    EXPECT_EQ(where, nullptr);
  }
  EXPECT_FALSE(replies.Has(left));
  first.Release();
  EXPECT_TRUE(replies.Await(left).status.ok());
  std::unique_lock<std::mutex> lock(mutex);
  ran.wait(lock, [&] { return where != nullptr; });
  EXPECT_EQ(where, &first);
  EXPECT_EQ(first.counters().rows, 1);
  EXPECT_EQ(second.counters().rows, 2);
}

TEST(Batcher, ABadRowFailsItsOwnRequestOnly) {
  models::FakeBackend backend;
  backend.FailRowsWith(7, absl::InternalError("bad row"));
  Replies replies;
  Batcher batcher(&backend, {}, replies.Sink());
  batcher.Add(1);
  batcher.Add(2);
  backend.Hold();
  batcher.Submit(RequestOf(1, 1, {ARow(backend, {7, 1})}));
  batcher.Submit(RequestOf(2, 2, {ARow(backend, {2, 1})}));
  backend.AwaitHeld();
  backend.Release();
  EXPECT_EQ(replies.Await(1).status.message(), "bad row");
  EXPECT_TRUE(replies.Await(2).status.ok());
}

TEST(Batcher, ABatchThatDoesNotFitIsRunRowByRow) {
  models::FakeBackend backend;
  backend.LimitBatchRows(1);
  Replies replies;
  Batcher batcher(&backend, {}, replies.Sink());
  batcher.Add(1);
  batcher.Submit(RequestOf(
      1, 1, {ARow(backend, {1}), ARow(backend, {2}), ARow(backend, {3})}));
  const Reply reply = replies.Await(1);
  EXPECT_TRUE(reply.status.ok()) << reply.status;
  EXPECT_EQ(reply.results.size(), 3u);
}

TEST(Batcher, DropsTheRowsOfACancelledSearchBeforeTheyRun) {
  models::FakeBackend backend;
  Replies replies;
  Batcher batcher(&backend, {.max_rows = 2}, replies.Sink());
  batcher.Add(1);
  batcher.Add(2);
  backend.Hold();
  std::vector<models::Row> rows(20, ARow(backend, {1, 2}));
  batcher.Submit(RequestOf(1, 1, rows));
  backend.AwaitHeld();
  batcher.Remove(1);
  batcher.Submit(RequestOf(2, 2, {ARow(backend, {5})}));
  backend.Release();
  EXPECT_TRUE(replies.Await(2).status.ok());
  EXPECT_FALSE(replies.Has(1));
  EXPECT_EQ(backend.counters().rows, 3);
}

TEST(Batcher, RunsTasksOnTheWorkerAndStopsWithoutThem) {
  models::FakeBackend backend;
  Replies replies;
  Batcher batcher(&backend, {}, replies.Sink());
  std::mutex mutex;
  std::condition_variable changed;
  bool ran = false;
  batcher.Run(-1, 1, [&](models::Backend& given) {
    std::lock_guard<std::mutex> lock(mutex);
    ran = &given == &backend;
    changed.notify_all();
  });
  {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return ran; });
  }
  batcher.Stop();
  batcher.Run(-1, 1, [](models::Backend&) { FAIL(); });
}

TEST(Batcher, DifferentiatesRowsOfOneRequestTogether) {
  models::FakeBackend backend;
  Replies replies;
  Batcher batcher(&backend, {}, replies.Sink());
  batcher.Add(1);
  const models::Row row = ARow(backend, {4, 2, 9});
  Request request;
  request.client = 1;
  request.ticket = 1;
  for (int i = 0; i < 5; ++i) {
    models::GradientRow gradient_row;
    gradient_row.prompt = row.prompt;
    gradient_row.positions = row.positions;
    gradient_row.masks.assign(backend.units().size(), 0.2f * (i + 1));
    request.gradient_rows.push_back(std::move(gradient_row));
  }
  const std::vector<models::GradientRow> rows = request.gradient_rows;
  batcher.Submit(std::move(request));
  const Reply reply = replies.Await(1);
  ASSERT_TRUE(reply.status.ok());
  ASSERT_EQ(reply.gradients.size(), 5u);
  // Against finite differences of the smooth margin.
  models::FakeBackend truth;
  for (int id = 0; id < truth.units().size(); ++id) {
    std::vector<models::GradientRow> sides(2, rows[2]);
    sides[0].masks[id] += 1e-2f;
    sides[1].masks[id] -= 1e-2f;
    const auto values = truth.Gradients(sides);
    const double slope =
        ((*values)[0].smooth_margin - (*values)[1].smooth_margin) / 2e-2;
    EXPECT_NEAR(reply.gradients[2].gradient[id], slope, 2e-3) << id;
  }
  EXPECT_EQ(backend.counters().gradient_batches, 1);
}

}  // namespace
}  // namespace spar::schedule
