// Many rows at once, early stops, and refusals.
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/decomposition/random_decomposition.h"
#include "models/fake_backend.h"
#include "models/snapshot/random_snapshot.h"
#include "models/splitting_backend.h"
#include "models/torch/torch_backend.h"
#include "tests/pruning/pruning_fixture.h"

namespace spar::models {
namespace {

PruneRequest SmallRequest() {
  PruneRequest request;
  request.decomposition = "d";
  request.prompts = {{.tokens = {3, 14, 7, 20, 9}},
                     {.tokens = {8, 1}, .target = 4},
                     {.tokens = {2, 19, 6, 11, 5, 22, 13}, .position = 3},
                     {.tokens = {8, 1}, .target = 4}};
  request.coefficients = {0.002, 0.05};
  request.steps = 40;
  request.rate.rate = 0.03;
  request.seed = 3;
  return request;
}

void ExpectSame(const PrunedRow& got, const PrunedRow& want) {
  EXPECT_EQ(got.steps, want.steps);
  EXPECT_EQ(got.target, want.target);
  EXPECT_EQ(got.position, want.position);
  EXPECT_EQ(got.num_parameters, want.num_parameters);
  EXPECT_NEAR(got.losses.total, want.losses.total, 2e-4);
  EXPECT_NEAR(got.rounded.cross_entropy, want.rounded.cross_entropy, 2e-4);
  EXPECT_NEAR(got.rounded.kl, want.rounded.kl, 2e-4);
  EXPECT_NEAR(got.rounded.margin, want.rounded.margin, 2e-3);
  EXPECT_NEAR(got.masked.cross_entropy, want.masked.cross_entropy, 2e-4);
  ASSERT_EQ(got.attacked.has_value(), want.attacked.has_value());
  if (want.attacked.has_value()) {
    EXPECT_NEAR(got.attacked->cross_entropy, want.attacked->cross_entropy,
                5e-3);
  }
  ASSERT_EQ(got.nodes.size(), want.nodes.size());
  for (size_t i = 0; i < got.nodes.size(); ++i) {
    EXPECT_EQ(got.nodes[i].module, want.nodes[i].module);
    EXPECT_EQ(got.nodes[i].position, want.nodes[i].position);
    EXPECT_EQ(got.nodes[i].component, want.nodes[i].component);
    EXPECT_NEAR(got.nodes[i].importance, want.nodes[i].importance, 1e-3);
  }
}

// Prompts of several lengths, each at two prices, in one batch and in many,
// against each alone.
void ExpectAsAlone(const PruneRequest& request) {
  const PruningFixture fixture;
  const std::vector<PrunedRow> together = fixture.Run(request);
  PruneLimits narrow;
  narrow.max_batch_tokens = 6;
  narrow.max_factor_bytes = 3000;
  const std::vector<PrunedRow> parted = fixture.Run(request, narrow);
  ASSERT_EQ(together.size(), 8u);
  ASSERT_EQ(parted.size(), 8u);
  for (size_t p = 0; p < request.prompts.size(); ++p) {
    for (size_t c = 0; c < request.coefficients.size(); ++c) {
      SCOPED_TRACE(testing::Message() << "prompt " << p << " price " << c);
      PruneRequest alone = request;
      alone.prompts = {request.prompts[p]};
      alone.coefficients = {request.coefficients[c]};
      const std::vector<PrunedRow> one = fixture.Run(alone);
      ASSERT_EQ(one.size(), 1u);
      ExpectSame(together[p * 2 + c], one[0]);
      ExpectSame(parted[p * 2 + c], one[0]);
    }
  }
  // Twice the same question, and a curve.
  EXPECT_EQ(together[2].nodes.size(), together[6].nodes.size());
  for (size_t p = 0; p < request.prompts.size(); ++p) {
    EXPECT_GT(together[2 * p].nodes.size(), together[2 * p + 1].nodes.size());
  }
}

TEST(PruningTest, ABatchGivesWhatEachRowGivesAlone) {
  PruneRequest request = SmallRequest();
  request.masks = PruneMasks::kCausalImportance;
  request.norm.beta = 0.3;
  ExpectAsAlone(request);
}

TEST(PruningTest, DrawsDoNotDependOnTheBatch) {
  ExpectAsAlone(SmallRequest());
}

TEST(PruningTest, AttacksDoNotDependOnTheBatch) {
  PruneRequest request = SmallRequest();
  request.steps = 15;
  request.rate.rate = 0.08;
  request.weight = 0.5;
  request.adversary = {.steps = 3, .step_size = 0.3, .restarts = 2};
  ExpectAsAlone(request);
}

// Importances are a function of the whole prompt, losses of its beginning.
TEST(PruningTest, NodesAfterThePositionAreNotThere) {
  const PruningFixture fixture;
  PruneRequest request = SmallRequest();
  request.prompts = {request.prompts[2]};
  for (const PrunedRow& row : fixture.Run(request)) {
    EXPECT_EQ(row.position, 3);
    EXPECT_FALSE(row.nodes.empty());
    for (const PrunedNode& node : row.nodes) EXPECT_LE(node.position, 3);
    EXPECT_NEAR(row.l0, static_cast<double>(row.nodes.size()) / 7, 1e-12);
    EXPECT_NEAR(row.model.kl, 0, 1e-6);
    EXPECT_NEAR(row.rounded.probability, std::exp(-row.rounded.cross_entropy),
                1e-9);
  }
}

TEST(PruningTest, ASeedChangesStochasticMasksOnly) {
  const PruningFixture fixture;
  PruneRequest request = SmallRequest();
  request.steps = 3;
  const double loss = fixture.Run(request)[0].losses.masked;
  request.seed = 4;
  EXPECT_NE(fixture.Run(request)[0].losses.masked, loss);
  request.masks = PruneMasks::kCausalImportance;
  const double without = fixture.Run(request)[0].losses.masked;
  request.seed = 5;
  EXPECT_EQ(fixture.Run(request)[0].losses.masked, without);
}

// A row that stops has what it would have had with as many steps.
TEST(PruningTest, RowsStopEarlyAndLeaveTheOthersAlone) {
  const PruningFixture fixture;
  PruneRequest request = SmallRequest();
  request.masks = PruneMasks::kCausalImportance;
  request.coefficients = {0.002, 5};
  request.steps = 400;
  request.stop = {.patience = 20, .change = 1e-2};
  const std::vector<PrunedRow> rows = fixture.Run(request);
  ASSERT_EQ(rows.size(), 8u);
  int different = 0;
  for (const PrunedRow& row : rows) {
    SCOPED_TRACE(testing::Message()
                 << "prompt " << row.prompt << " price " << row.coefficient);
    EXPECT_TRUE(row.stopped_early);
    EXPECT_LT(row.steps, 400);
    EXPECT_GE(row.steps, 20);
    different += row.steps != rows[0].steps;
    PruneRequest fixed = request;
    fixed.prompts = {request.prompts[row.prompt]};
    fixed.coefficients = {request.coefficients[row.coefficient]};
    fixed.steps = row.steps;
    fixed.stop = {};
    const std::vector<PrunedRow> one = fixture.Run(fixed);
    EXPECT_FALSE(one[0].stopped_early);
    ExpectSame(row, one[0]);
  }
  EXPECT_GT(different, 0);
}

TEST(PruningTest, StatesFollowTheSteps) {
  const PruningFixture fixture;
  PruneRequest request = SmallRequest();
  request.steps = 4;
  const auto pruning = MakeTorchPruning(fixture.subject(), request, {});
  ASSERT_EQ(pruning->states().size(), 8u);
  EXPECT_EQ(pruning->states()[3].prompt, 1);
  EXPECT_EQ(pruning->states()[3].coefficient, 1);
  int steps = 0;
  while (!pruning->done()) {
    ASSERT_TRUE(pruning->Next().ok());
    for (const PruneState& state : pruning->states()) {
      EXPECT_EQ(state.steps, pruning->states()[0].steps);
      EXPECT_EQ(state.ended, state.steps == 4);
    }
    EXPECT_GE(pruning->states()[0].steps, steps);
    steps = pruning->states()[0].steps;
  }
  EXPECT_EQ(steps, 4);
  const auto after = pruning->Next();
  ASSERT_TRUE(after.ok());
  EXPECT_TRUE(after->empty());
}

TEST(PruningTest, WhatDoesNotFitIsRefusedWithNumbers) {
  const PruningFixture fixture;
  for (int64_t PruneLimits::*const limit :
       {&PruneLimits::max_state_bytes, &PruneLimits::max_batch_bytes}) {
    PruneLimits limits;
    limits.*limit = 1000;
    const auto pruning =
        MakeTorchPruning(fixture.subject(), SmallRequest(), limits);
    for (int i = 0; i < 6; ++i) {  // and stays refused
      const auto rows = pruning->Next();
      EXPECT_EQ(rows.status().code(), absl::StatusCode::kResourceExhausted);
      const auto detail = base::DetailOf(rows.status());
      ASSERT_TRUE(detail.has_value());
      EXPECT_EQ(detail->reason, "PRUNING_TOO_LARGE");
      EXPECT_EQ(detail->metadata.at("max_bytes"), "1000");
      EXPECT_EQ(detail->field.substr(0, 7), "prompts");
    }
  }
}

class PruneDoorTest : public testing::Test {
 protected:
  PruneDoorTest() {
    const auto snapshot = MakeRandomSnapshot(PrunedShape(2), true, 4);
    CiSpec ci{.kind = CiKind::kGlobalSharedTransformer,
              .hidden = {9},
              .width = 8,
              .num_blocks = 1};
    ci.attention = {.num_heads = 2, .max_positions = 6};
    TorchBackendOptions options;
    options.num_threads = 1;
    options.decompositions = {
        {.name = "d",
         .decomposition = MakeRandomDecomposition(
             RandomDecompositionSpec(
                 *snapshot, {{ModuleSite::kV, 9}, {ModuleSite::kDown, 9}}, ci),
             {.seed = 6})}};
    auto made = MakeTorchBackend(snapshot, options);
    EXPECT_TRUE(made.ok()) << made.status();
    backend_ = std::make_unique<SplittingBackend>(*std::move(made));
    request_ = SmallRequest();
    request_.prompts = {{.tokens = {1, 2, 3}}};
    request_.steps = 2;
  }

  void ExpectRefused(const std::function<void(PruneRequest&)>& change,
                     const std::string& reason,
                     const std::string& field) {
    PruneRequest request = request_;
    change(request);
    const auto refused = backend_->Prune(request);
    ASSERT_FALSE(refused.ok()) << reason << " " << field;
    const auto detail = base::DetailOf(refused.status());
    ASSERT_TRUE(detail.has_value()) << refused.status();
    EXPECT_EQ(detail->reason, reason) << refused.status();
    EXPECT_EQ(detail->field, field) << refused.status();
  }

  std::unique_ptr<Backend> backend_;
  PruneRequest request_ = {};
};

TEST_F(PruneDoorTest, PrunesThroughTheBackend) {
  auto pruning = backend_->Prune(request_);
  ASSERT_TRUE(pruning.ok()) << pruning.status();
  const std::vector<PrunedRow> rows = RunPruning(**pruning);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].steps, 2);
  // The nodes at the start are those that Importances tells.
  const auto importances =
      backend_->Importances("d", std::span(&request_.prompts[0].tokens, 1), {});
  ASSERT_TRUE(importances.ok());
  int64_t alive = 0;
  for (const ModuleImportances& module : importances->front().modules) {
    alive += static_cast<int64_t>(module.component.size());
  }
  EXPECT_GT(alive, 0);
  EXPECT_EQ(rows[0].num_parameters, alive);
}

TEST_F(PruneDoorTest, RefusesWhatDoesNotFit) {
  const auto refused = [this](const std::string& reason,
                              const std::string& field, auto change) {
    ExpectRefused(change, reason, field);
  };
  const auto out_of_range = [&](const std::string& field, auto change) {
    ExpectRefused(change, "OPTION_OUT_OF_RANGE", field);
  };
  using Request = PruneRequest&;
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  refused("DECOMPOSITION_NOT_FOUND", "decomposition",
          [](Request r) { r.decomposition = "other"; });
  refused("NO_DECOMPOSITION", "decomposition",
          [](Request r) { r.decomposition = ""; });
  out_of_range("prompts", [](Request r) { r.prompts.clear(); });
  out_of_range("prompts",
               [](Request r) { r.prompts.resize(257, r.prompts[0]); });
  refused("EMPTY_PROMPT", "prompts[0].tokens",
          [](Request r) { r.prompts[0].tokens.clear(); });
  refused("TOKEN_OUT_OF_RANGE", "prompts[0].tokens[1]",
          [](Request r) { r.prompts[0].tokens[1] = 23; });
  refused("PROMPT_TOO_LONG", "prompts[1].tokens", [](Request r) {
    r.prompts.push_back({.tokens = std::vector<TokenId>(17, 1)});
  });
  // Fits the model but not the CI function.
  refused("PROMPT_TOO_LONG", "prompts[1].tokens", [](Request r) {
    r.prompts.push_back({.tokens = std::vector<TokenId>(7, 1)});
  });
  refused("POSITION_OUT_OF_RANGE", "prompts[0].position",
          [](Request r) { r.prompts[0].position = 3; });
  refused("POSITION_OUT_OF_RANGE", "prompts[0].position",
          [](Request r) { r.prompts[0].position = -2; });
  refused("TOKEN_OUT_OF_RANGE", "prompts[0].target_id",
          [](Request r) { r.prompts[0].target = -1; });
  out_of_range("coefficients", [](Request r) { r.coefficients.clear(); });
  out_of_range("coefficients[1]", [](Request r) { r.coefficients[1] = -1; });
  out_of_range("coefficients[0]", [](Request r) { r.coefficients[0] = kNan; });
  out_of_range("weight", [](Request r) { r.weight = kNan; });
  out_of_range("weight", [](Request r) { r.weight = 0; });
  out_of_range("adversary.step_count",
               [](Request r) { r.adversary = {.steps = 1001}; });
  out_of_range("adversary.step_size",
               [](Request r) { r.adversary = {.step_size = 0}; });
  out_of_range("adversary.restart_count",
               [](Request r) { r.adversary = {.restarts = 0}; });
  out_of_range("adversary.weight",
               [](Request r) { r.adversary = {.weight = -1}; });
  out_of_range("norm.power", [](Request r) { r.norm.power = 0; });
  out_of_range("norm.final_power", [](Request r) { r.norm.final_power = 9; });
  out_of_range("norm.anneal_end", [](Request r) {
    r.norm.anneal_begin = 0.6;
    r.norm.anneal_end = 0.5;
  });
  out_of_range("norm.beta", [](Request r) { r.norm.beta = kNan; });
  out_of_range("norm.epsilon", [](Request r) { r.norm.epsilon = 0; });
  out_of_range("step_count", [](Request r) { r.steps = 0; });
  out_of_range("step_count", [](Request r) { r.steps = 20'001; });
  out_of_range("learning_rate", [](Request r) { r.rate.rate = kNan; });
  out_of_range("warmup_share", [](Request r) { r.rate.warmup = 1.5; });
  out_of_range("final_rate_share", [](Request r) { r.rate.final_share = -1; });
  out_of_range("alive_threshold", [](Request r) { r.alive_threshold = -1; });
  out_of_range("rounding_threshold",
               [](Request r) { r.rounding_threshold = kNan; });
  out_of_range("stop_patience", [](Request r) { r.stop.patience = -1; });
  out_of_range("stop_change", [](Request r) { r.stop.change = 2; });
}

// Nothing alive, nothing to move: still an answer.
TEST_F(PruneDoorTest, APromptWithoutNodesIsAnswered) {
  request_.alive_threshold = 1;
  for (const PruneMasks masks :
       {PruneMasks::kCausalImportance, PruneMasks::kStochastic}) {
    request_.masks = masks;
    request_.adversary = {.steps = 2};
    auto pruning = backend_->Prune(request_);
    ASSERT_TRUE(pruning.ok()) << pruning.status();
    const std::vector<PrunedRow> rows = RunPruning(**pruning);
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].num_parameters, 0);
    EXPECT_TRUE(rows[0].nodes.empty());
  }
}

// The toy's rule: what is left is more important than the price.
TEST(FakeBackendPruneTest, KeepsWhatIsWorthItsPrice) {
  FakeBackend backend({.decompositions = {"d"}});
  PruneRequest request = SmallRequest();
  request.coefficients = {0.2, 0.6};
  auto pruning = backend.Prune(request);
  ASSERT_TRUE(pruning.ok()) << pruning.status();
  const std::vector<PrunedRow> rows = RunPruning(**pruning);
  ASSERT_EQ(rows.size(), 8u);
  for (const PrunedRow& row : rows) {
    const PrunePrompt& prompt = request.prompts[row.prompt];
    const auto length = static_cast<size_t>(prompt.position == kLastPosition
                                                ? std::ssize(prompt.tokens)
                                                : prompt.position + 1);
    const std::vector<TokenId> tokens(prompt.tokens.begin(),
                                      prompt.tokens.begin() + length);
    const auto importances = backend.Importances(
        "d", std::vector<std::vector<TokenId>>(1, tokens),
        {.threshold = request.coefficients[row.coefficient]});
    size_t worth = 0;
    for (const ModuleImportances& module : importances->front().modules) {
      worth += module.component.size();
    }
    EXPECT_EQ(row.nodes.size(), worth);
    EXPECT_GT(row.num_parameters, std::ssize(row.nodes));
    EXPECT_EQ(row.steps, request.steps);
    EXPECT_NEAR(row.rounded.probability, std::exp(-row.rounded.cross_entropy),
                1e-9);
  }
}

}  // namespace
}  // namespace spar::models
