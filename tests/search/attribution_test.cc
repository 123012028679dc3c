#include "server/search/attribution.h"

#include <future>
#include <stop_token>
#include <string>

#include "gtest/gtest.h"

#include "base/status.h"
#include "server/search/explainer.h"
#include "tests/search/graph_backend.h"

namespace spar::search {
namespace {

using models::LogitRef;
using models::NodeRef;
using models::SitePart;
using Result = absl::StatusOr<std::shared_ptr<const Attribution>>;

AttributionQuestion AQuestion() {
  AttributionQuestion question;
  question.request.tokens = {1, 2, 3};
  return question;
}

absl::StatusOr<Attribution> Make(const AttributionQuestion& question,
                                 const AttributionLimits& limits = {}) {
  testing::GraphBackend backend;
  return Attribute(backend, question, limits, {});
}

std::string ReasonOf(const absl::Status& status) {
  const std::optional<base::ErrorDetail> detail = base::DetailOf(status);
  return detail ? detail->reason + " " + detail->field : "";
}

TEST(Attribution, HoldsTheWholeGraphAndAnswersAboutTheLikeliestLogit) {
  const absl::StatusOr<Attribution> made = Make(AQuestion());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->nodes.nodes.size(), 8u);
  EXPECT_EQ(made->graph.num_edges(), 12);
  EXPECT_EQ(made->summary.edges, 12);
  EXPECT_EQ(made->answer.target, 6);
  // Into the logit: 3 x 2 from neurons, 3 x 0.5 from embeddings.
  EXPECT_DOUBLE_EQ(made->answer.shares[3], 2 / 7.5);
  EXPECT_DOUBLE_EQ(made->answer.shares[0], (2 + 0.5) / 7.5);
  EXPECT_DOUBLE_EQ(made->answer.shares[7], 0);
  // d logit / d neuron is 2 / 4; the embedding moves it by 3 at position 2.
  EXPECT_DOUBLE_EQ(made->answer.effects[2], 3 * 2.0 / 4 + 0.5);
  EXPECT_DOUBLE_EQ(made->answer.effects[6], 9);
  ASSERT_EQ(made->answer.paths.size(), 6u);
  EXPECT_EQ(made->answer.paths[0].nodes.size(), 3u);
  EXPECT_FALSE(made->answer.source.has_value());
}

TEST(Attribution, AnswersAboutNamedNodes) {
  AttributionQuestion question = AQuestion();
  question.query.target = LogitRef{.position = 2, .token = 4};
  question.query.source = NodeRef{
      .part = SitePart::kNeurons, .layer = 0, .position = 1, .index = 5};
  question.query.weighting = graph::Weighting::kProduct;
  absl::StatusOr<Attribution> made = Make(question);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->answer.target, 7);
  EXPECT_EQ(made->answer.source, 4);
  EXPECT_EQ(made->answer.nodes_between, (std::vector<int32_t>{4, 7}));
  ASSERT_EQ(made->answer.paths.size(), 1u);
  EXPECT_EQ(made->answer.paths[0].value, -1);

  question.query.target = NodeRef{
      .part = SitePart::kNeurons, .layer = 0, .position = 2, .index = 5};
  question.query.source = std::nullopt;
  made = Make(question);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->answer.target, 5);
  EXPECT_EQ(made->answer.effects[2], 3);
}

TEST(Attribution, RefusesNodesThatTheGraphLacks) {
  AttributionQuestion question = AQuestion();
  question.query.target = LogitRef{.position = 1, .token = 4};
  EXPECT_EQ(ReasonOf(Make(question).status()), "NODE_NOT_IN_GRAPH query.logit");
  question.query.target = NodeRef{
      .part = SitePart::kNeurons, .layer = 0, .position = 2, .index = 6};
  EXPECT_EQ(ReasonOf(Make(question).status()), "NODE_NOT_IN_GRAPH query.node");
  question.query.target = std::nullopt;
  question.query.source =
      NodeRef{.part = SitePart::kHeads, .layer = 0, .position = 2, .index = 5};
  EXPECT_EQ(ReasonOf(Make(question).status()),
            "NODE_NOT_IN_GRAPH query.source");
}

TEST(Attribution, RefusesGraphsBeyondItsLimits) {
  EXPECT_TRUE(Make(AQuestion(), {.max_nodes = 8, .max_edges = 12}).ok());
  absl::Status status =
      Make(AQuestion(), {.max_nodes = 7, .max_edges = 12}).status();
  EXPECT_EQ(ReasonOf(status), "GRAPH_TOO_LARGE options");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  status = Make(AQuestion(), {.max_nodes = 8, .max_edges = 11}).status();
  EXPECT_EQ(ReasonOf(status), "GRAPH_TOO_LARGE options");
}

TEST(Attribution, StopsWhenAsked) {
  testing::GraphBackend backend;
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(
      Attribute(backend, AQuestion(), {}, stop.get_token()).status()));
}

Result Ask(Explainer& explainer, const AttributionQuestion& question) {
  std::promise<Result> promise;
  explainer.Attribute(question, {}, [&promise](Result result) {
    promise.set_value(std::move(result));
  });
  return promise.get_future().get();
}

TEST(Explainer, MakesGraphsAndCountsThemUntilTheyGo) {
  ExplainerOptions options;
  options.max_graphs = 2;
  auto explainer =
      Explainer::Make(std::make_unique<testing::GraphBackend>(), options);
  {
    const Result first = Ask(*explainer, AQuestion());
    const Result second = Ask(*explainer, AQuestion());
    ASSERT_TRUE(first.ok());
    ASSERT_TRUE(second.ok());
    const Result third = Ask(*explainer, AQuestion());
    EXPECT_EQ(ReasonOf(third.status()), "TOO_MANY_GRAPHS ");
    EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  }
  // Those that failed count no longer either; the task may outlive the answer
  // by a moment.
  Result last = absl::UnknownError("");
  std::shared_ptr<const Attribution> kept;
  for (int tries = 0; tries < 1000 && !last.ok(); ++tries) {
    last = Ask(*explainer, AQuestion());
  }
  ASSERT_TRUE(last.ok()) << last.status();
  kept = *last;
  explainer.reset();
  EXPECT_EQ(kept->graph.num_edges(), 12);  // the graph outlives its maker
}

TEST(Explainer, RefusesGraphsOfPromptsThatCannotBe) {
  auto explainer =
      Explainer::Make(std::make_unique<testing::GraphBackend>(), {});
  AttributionQuestion question = AQuestion();
  question.request.tokens = {};
  EXPECT_EQ(ReasonOf(Ask(*explainer, question).status()),
            "EMPTY_PROMPT prompt");
  auto plain = Explainer::Make(std::make_unique<models::FakeBackend>(), {});
  EXPECT_EQ(ReasonOf(Ask(*plain, AQuestion()).status()),
            "NO_ATTRIBUTION model");
}

}  // namespace
}  // namespace spar::search
