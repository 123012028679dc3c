// PruningService over the fake model, searches included.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/fake_backend.h"
#include "server/service/limits.h"
#include "server/service/server.h"
#include "spar/v1/explanation_service.grpc.pb.h"
#include "spar/v1/pruning_service.grpc.pb.h"
#include "tests/service/rich_error.h"
#include "tests/service/word_tokenizer.h"

namespace spar::service {
namespace {

// What one call said.
struct PruneAnswer {
  grpc::Status status = {};
  std::vector<std::string> order = {};  // the kinds of its messages
  v1::PruneHeader header = {};
  std::vector<v1::PruneProgress> progress = {};
  std::vector<v1::PrunedRow> rows = {};
  std::vector<v1::PrunedExplanation> explanations = {};
  v1::PruneSummary summary = {};
};

class PruneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Serve({});
    request_.set_model("models/toy");
    request_.set_decomposition("main");
    AddPrompt({3, 7, 1, 9});
    request_.mutable_options()->set_step_count(20);
  }

  void Serve(const search::ExplainerOptions& options) {
    models::FakeBackendOptions toy;
    toy.reference_prompts = {{3, 7, 1, 9, 2}, {4, 8, 2, 6, 1}, {5, 5, 3}};
    toy.decompositions = {"main"};
    toy.num_components = 6;
    ServedModel model;
    model.id = "toy";
    model.tokenizer = testing::MakeWordTokenizer(toy.vocab_size);
    model.explainer = search::Explainer::Make(
        std::make_unique<models::FakeBackend>(toy), options);
    registry_ = std::make_unique<ModelRegistry>();
    ASSERT_TRUE(registry_->Add(std::move(model)).ok());
    ServerOptions server_options;
    server_options.listen = "127.0.0.1:0";
    auto server = Server::Start(registry_.get(), server_options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::PruningService::NewStub(server_->InProcessChannel());
  }

  void TearDown() override { server_ = nullptr; }

  v1::PrunePrompt& AddPrompt(const std::vector<int>& tokens) {
    v1::PrunePrompt& prompt = *request_.add_prompts();
    for (const int token : tokens) {
      prompt.mutable_prompt()->mutable_tokens()->add_ids(token);
    }
    return prompt;
  }

  PruneAnswer Prune() {
    PruneAnswer answer;
    grpc::ClientContext context;
    const auto stream = stub_->Prune(&context, request_);
    v1::PruneResponse response;
    while (stream->Read(&response)) {
      switch (response.content_case()) {
        case v1::PruneResponse::kHeader:
          answer.order.emplace_back("header");
          answer.header = response.header();
          break;
        case v1::PruneResponse::kProgress:
          answer.order.emplace_back("progress");
          answer.progress.push_back(response.progress());
          break;
        case v1::PruneResponse::kRow:
          answer.order.emplace_back("row");
          answer.rows.push_back(response.row());
          break;
        case v1::PruneResponse::kExplanation:
          answer.order.emplace_back("explanation");
          answer.explanations.push_back(response.explanation());
          break;
        case v1::PruneResponse::kSummary:
          answer.order.emplace_back("summary");
          answer.summary = response.summary();
          break;
        case v1::PruneResponse::CONTENT_NOT_SET:
          ADD_FAILURE() << "an empty message";
      }
    }
    answer.status = stream->Finish();
    return answer;
  }

  void ExpectBad(const std::string& reason, const std::string& field) {
    const grpc::Status status = Prune().status;
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    const testing::RichError error = testing::Decode(status);
    EXPECT_EQ(error.reason, reason) << error.message;
    EXPECT_EQ(error.field, field) << error.message;
  }

  std::unique_ptr<ModelRegistry> registry_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<v1::PruningService::Stub> stub_;
  v1::PruneRequest request_;
};

TEST_F(PruneTest, StreamsHeaderRowsAndCurves) {
  AddPrompt({4, 8, 2, 6, 1}).set_position(2);
  for (const double coefficient : {0.6, 0.1, 0.3}) {
    request_.add_coefficients(coefficient);
  }
  const PruneAnswer answer = Prune();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.order.front(), "header");
  EXPECT_EQ(answer.order[1], "progress");
  EXPECT_EQ(answer.order.back(), "summary");
  EXPECT_EQ(answer.progress[0].row_count(), 6);
  EXPECT_EQ(answer.progress[0].max_step_count(), 120);

  const v1::PruneHeader& header = answer.header;
  EXPECT_EQ(header.model(), "models/toy");
  EXPECT_EQ(header.model_digest().size(), 64u);
  EXPECT_EQ(header.decomposition(), "main");
  EXPECT_EQ(header.decomposition_digest().size(), 64u);
  ASSERT_EQ(header.sites_size(), 2);
  EXPECT_EQ(header.sites(1).name(), "fake.1.mlp.up");
  EXPECT_EQ(header.sites(1).part(), v1::ATTRIBUTION_PART_UP);
  EXPECT_EQ(header.sites(1).layer(), 1);
  ASSERT_EQ(header.prompts_size(), 2);
  EXPECT_EQ(header.prompts(0).position(), 3);
  EXPECT_EQ(header.prompts(1).position(), 2);
  EXPECT_EQ(header.prompts(1).tokens_size(), 5);
  EXPECT_EQ(header.coefficients_size(), 3);
  EXPECT_EQ(header.options().loss(), v1::PRUNE_LOSS_CROSS_ENTROPY);
  EXPECT_EQ(header.options().masks(), v1::PRUNE_MASKS_STOCHASTIC);
  EXPECT_EQ(header.options().learning_rate(), 0.01);
  EXPECT_EQ(header.options().norm().power(), 0.3);
  EXPECT_FALSE(header.options().has_adversary());

  std::map<std::pair<int, int>, const v1::PrunedRow*> rows;
  for (const v1::PrunedRow& row : answer.rows) {
    rows[{row.prompt_index(), row.coefficient_index()}] = &row;
    EXPECT_EQ(row.step_count(), 20);
    EXPECT_EQ(row.nodes().sites_size(), row.node_count());
    EXPECT_EQ(row.nodes().positions_size(), row.node_count());
    EXPECT_EQ(row.nodes().subcomponents_size(), row.node_count());
    EXPECT_EQ(row.nodes().importances_size(), row.node_count());
    EXPECT_FALSE(row.has_attacked_run());
    EXPECT_NEAR(row.rounded_run().probability(),
                std::exp(-row.rounded_run().cross_entropy()), 1e-9);
    for (const int position : row.nodes().positions()) {
      EXPECT_LE(position, header.prompts(row.prompt_index()).position());
    }
  }
  ASSERT_EQ(rows.size(), 6u);
  for (int p = 0; p < 2; ++p) {
    // The higher the price, the fewer nodes.
    EXPECT_GT((rows[{p, 1}]->node_count()), (rows[{p, 2}]->node_count()));
    EXPECT_GT((rows[{p, 2}]->node_count()), (rows[{p, 0}]->node_count()));
    EXPECT_GT((rows[{p, 1}]->start_node_count()), (rows[{p, 1}]->node_count()));
  }

  ASSERT_EQ(answer.summary.curves_size(), 2);
  for (const v1::PruneCurve& curve : answer.summary.curves()) {
    ASSERT_EQ(curve.points_size(), 3);
    double least = INFINITY;
    int64_t size = -1;
    for (const v1::PruneCurvePoint& point : curve.points()) {
      const v1::PrunedRow& row =
          *rows[{curve.prompt_index(), point.coefficient_index()}];
      EXPECT_EQ(point.node_count(), row.node_count());
      EXPECT_EQ(point.cross_entropy(), row.rounded_run().cross_entropy());
      EXPECT_EQ(point.margin(), row.rounded_run().margin());
      EXPECT_GE(point.node_count(), size);
      EXPECT_EQ(point.on_frontier(), point.cross_entropy() < least);
      EXPECT_FALSE(point.has_crystallized_node_count());
      least = std::min(least, point.cross_entropy());
      size = point.node_count();
    }
  }
}

TEST_F(PruneTest, TurnsRowsIntoCertifiedSets) {
  AddPrompt({4, 8, 2, 6, 1}).set_position(2);
  for (int i = 0; i < 12; ++i) request_.add_coefficients(0.05 * i);
  request_.mutable_crystallize()->set_sparse_fraction(1);
  const PruneAnswer answer = Prune();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  ASSERT_EQ(answer.rows.size(), 24u);
  ASSERT_EQ(answer.explanations.size(), 24u);
  const auto explanations =
      v1::ExplanationService::NewStub(server_->InProcessChannel());
  std::map<std::pair<int, int>, const v1::PrunedRow*> rows;
  for (const v1::PrunedRow& row : answer.rows) {
    rows[{row.prompt_index(), row.coefficient_index()}] = &row;
  }
  std::map<std::pair<int, int>, int64_t> sizes;
  int inside = 0;
  for (const v1::PrunedExplanation& from : answer.explanations) {
    const std::pair<int, int> key = {from.prompt_index(),
                                     from.coefficient_index()};
    const v1::PrunedRow& row = *rows[key];
    const v1::Explanation& explanation = from.explanation();
    EXPECT_EQ(explanation.prompt_size(), from.prompt_index() == 0 ? 4 : 3);
    EXPECT_EQ(explanation.target().id(), row.target().id());
    ASSERT_TRUE(explanation.has_certificate()) << explanation.remark();
    sizes[key] = explanation.kept_unit_count();
    grpc::ClientContext context;
    v1::VerifyRequest verify;
    verify.set_model("models/toy");
    verify.set_certificate_json(explanation.certificate().canonical_json());
    v1::VerifyResponse verdict;
    ASSERT_TRUE(explanations->Verify(&context, verify, &verdict).ok());
    EXPECT_EQ(verdict.verdict(), v1::CERTIFICATE_VERDICT_VALID);
    // What passes is only deleted from.
    if (row.rounded_run().margin() < 0.01) continue;
    ++inside;
    std::set<std::pair<int, int>> nodes;
    for (int i = 0; i < row.nodes().sites_size(); ++i) {
      nodes.insert({row.nodes().sites(i) * 100 + row.nodes().positions(i),
                    row.nodes().subcomponents(i)});
    }
    EXPECT_LE(explanation.units_size(), row.node_count());
    for (const v1::Unit& unit : explanation.units()) {
      EXPECT_EQ(unit.kind(), "subcomponent");
      EXPECT_EQ(
          nodes.count({unit.layer() * 100 + unit.position(), unit.index()}), 1u)
          << unit.name();
    }
  }
  EXPECT_GE(inside, 6);
  for (const v1::PruneCurve& curve : answer.summary.curves()) {
    for (const v1::PruneCurvePoint& point : curve.points()) {
      EXPECT_EQ(point.crystallized_node_count(),
                (sizes[{curve.prompt_index(), point.coefficient_index()}]));
    }
  }
}

// More rows than searches fit: they wait for each other.
TEST_F(PruneTest, SearchesThatFindNoRoomAreAskedAgain) {
  search::ExplainerOptions options;
  options.max_searches = 2;
  TearDown();
  Serve(options);
  for (int i = 0; i < 9; ++i) request_.add_coefficients(0.05 * i);
  request_.mutable_crystallize();
  const PruneAnswer answer = Prune();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  std::set<int> seen;
  for (const v1::PrunedExplanation& from : answer.explanations) {
    EXPECT_TRUE(seen.insert(from.coefficient_index()).second);
  }
  EXPECT_EQ(seen.size(), 9u);
}

TEST_F(PruneTest, OptionsReachTheOptimisation) {
  v1::PruneOptions& options = *request_.mutable_options();
  options.set_loss(v1::PRUNE_LOSS_DIVERGENCE);
  options.set_weight(2);
  options.set_masks(v1::PRUNE_MASKS_CAUSAL_IMPORTANCE);
  options.mutable_adversary()->set_step_count(3);
  options.mutable_norm()->set_final_power(0.5);
  options.mutable_norm()->set_by_sum(true);
  options.set_step_count(7);
  options.set_learning_rate(0.5);
  options.set_rate_shape(v1::PRUNE_RATE_SHAPE_COSINE);
  options.set_final_rate_share(0.25);
  options.set_warmup_share(0.125);
  options.set_start(v1::PRUNE_START_ONES);
  options.set_alive_threshold(0.2);
  options.set_rounding_threshold(0.1);
  options.set_stop_patience(5);
  options.set_seed(11);
  request_.mutable_prompts(0)->set_target_text("t5");
  const PruneAnswer answer = Prune();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  // What is absent is filled in, the rest is as it was sent.
  v1::PruneOptions want = options;
  want.mutable_adversary()->set_step_size(0.1);
  want.mutable_adversary()->set_restart_count(1);
  want.mutable_adversary()->set_weight(1);
  want.mutable_norm()->set_power(0.3);
  want.mutable_norm()->set_anneal_end(1);
  want.set_stop_change(0.001);
  EXPECT_EQ(answer.header.options().SerializeAsString(),
            want.SerializeAsString());
  ASSERT_EQ(answer.rows.size(), 1u);
  const v1::PrunedRow& row = answer.rows[0];
  EXPECT_EQ(row.target().id(), 5);
  EXPECT_EQ(row.step_count(), 7);
  EXPECT_TRUE(row.has_attacked_run());
  EXPECT_EQ(row.losses().masked(), row.masked_run().kl_divergence());
}

TEST_F(PruneTest, RefusesBadRequests) {
  const v1::PruneRequest good = request_;
  request_.set_model("toy");
  ExpectBad("BAD_RESOURCE_NAME", "model");
  request_ = good;
  request_.clear_decomposition();
  ExpectBad("NO_DECOMPOSITION", "decomposition");
  request_ = good;
  request_.set_decomposition("none");
  const PruneAnswer absent = Prune();
  EXPECT_EQ(absent.status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(testing::Decode(absent.status).reason, "DECOMPOSITION_NOT_FOUND");
  request_ = good;
  request_.clear_prompts();
  ExpectBad("OPTION_OUT_OF_RANGE", "prompts");
  request_ = good;
  for (int i = 0; i < 256; ++i) AddPrompt({1});
  ExpectBad("TOO_MANY_PROMPTS", "prompts");
  request_ = good;
  AddPrompt({});
  ExpectBad("EMPTY_PROMPT", "prompts[1].prompt");
  request_ = good;
  AddPrompt({1, 99});
  ExpectBad("TOKEN_OUT_OF_RANGE", "prompts[1].prompt.tokens.ids[1]");
  request_ = good;
  AddPrompt(std::vector<int>(33, 1));
  ExpectBad("PROMPT_TOO_LONG", "prompts[1].prompt");
  for (const int position : {-1, 4}) {
    request_ = good;
    request_.mutable_prompts(0)->set_position(position);
    ExpectBad("POSITION_OUT_OF_RANGE", "prompts[0].position");
  }
  request_ = good;
  request_.mutable_prompts(0)->set_target_id(24);
  ExpectBad("TOKEN_OUT_OF_RANGE", "prompts[0].target_id");
  request_.mutable_prompts(0)->set_target_text("t1 t2");
  ExpectBad("NOT_ONE_TOKEN", "prompts[0].target_text");
  request_ = good;
  request_.add_coefficients(-1);
  ExpectBad("OPTION_OUT_OF_RANGE", "coefficients[0]");
}

TEST_F(PruneTest, RefusesBadOptions) {
  const v1::PruneRequest good = request_;
  using Options = v1::PruneOptions;
  const std::vector<std::pair<std::string, void (*)(Options*)>> bads = {
      {"options.loss",
       [](Options* o) { o->set_loss(static_cast<v1::PruneLoss>(9)); }},
      {"options.masks",
       [](Options* o) { o->set_masks(static_cast<v1::PruneMasks>(9)); }},
      {"options.start",
       [](Options* o) { o->set_start(static_cast<v1::PruneStart>(9)); }},
      {"options.rate_shape",
       [](Options* o) {
         o->set_rate_shape(static_cast<v1::PruneRateShape>(9));
       }},
      {"options.weight", [](Options* o) { o->set_weight(-1); }},
      {"options.adversary.step_count",
       [](Options* o) { o->mutable_adversary()->set_step_count(1001); }},
      {"options.adversary.step_size",
       [](Options* o) { o->mutable_adversary()->set_step_size(0); }},
      {"options.adversary.restart_count",
       [](Options* o) { o->mutable_adversary()->set_restart_count(17); }},
      {"options.adversary.weight",
       [](Options* o) { o->mutable_adversary()->set_weight(NAN); }},
      {"options.norm.power",
       [](Options* o) { o->mutable_norm()->set_power(0); }},
      {"options.norm.final_power",
       [](Options* o) { o->mutable_norm()->set_final_power(5); }},
      {"options.norm.anneal_begin",
       [](Options* o) { o->mutable_norm()->set_anneal_begin(2); }},
      {"options.norm.anneal_end",
       [](Options* o) { o->mutable_norm()->set_anneal_end(-1); }},
      {"options.norm.beta",
       [](Options* o) { o->mutable_norm()->set_beta(-1); }},
      {"options.step_count", [](Options* o) { o->set_step_count(20'001); }},
      {"options.learning_rate", [](Options* o) { o->set_learning_rate(0); }},
      {"options.final_rate_share",
       [](Options* o) { o->set_final_rate_share(2); }},
      {"options.warmup_share", [](Options* o) { o->set_warmup_share(-1); }},
      {"options.alive_threshold",
       [](Options* o) { o->set_alive_threshold(2); }},
      {"options.rounding_threshold",
       [](Options* o) { o->set_rounding_threshold(-1); }},
      {"options.stop_patience", [](Options* o) { o->set_stop_patience(-1); }},
      {"options.stop_change", [](Options* o) { o->set_stop_change(2); }},
  };
  for (const auto& [field, spoil] : bads) {
    request_ = good;
    spoil(request_.mutable_options());
    ExpectBad("OPTION_OUT_OF_RANGE", field);
  }
}

TEST_F(PruneTest, RefusesBadSearches) {
  request_.mutable_crystallize()->set_decomposition("main");
  ExpectBad("DECOMPOSITION_NOT_WANTED", "crystallize.decomposition");
  request_.mutable_crystallize()->Clear();
  request_.mutable_crystallize()->add_initial_unit_ids(1);
  ExpectBad("OPTION_OUT_OF_RANGE", "crystallize.initial_unit_ids");
  request_.mutable_crystallize()->Clear();
  request_.mutable_crystallize()->set_unit_scheme(v1::UNIT_SCHEME_SUBCOMPONENT);
  ExpectBad("OPTION_OUT_OF_RANGE", "crystallize.unit_scheme");
  request_.mutable_crystallize()->Clear();
  request_.mutable_crystallize()->set_tau(-1);
  ExpectBad("OPTION_OUT_OF_RANGE", "crystallize.tau");
}

TEST_F(PruneTest, ACancelledCallEnds) {
  request_.mutable_options()->set_step_count(20'000);
  for (int i = 0; i < 64; ++i) request_.add_coefficients(0.01 * i);
  grpc::ClientContext context;
  const auto stream = stub_->Prune(&context, request_);
  v1::PruneResponse response;
  ASSERT_TRUE(stream->Read(&response));
  ASSERT_TRUE(stream->Read(&response));
  context.TryCancel();
  while (stream->Read(&response)) ASSERT_FALSE(response.has_summary());
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  // The place is free again: as many calls as may live.
  request_.mutable_options()->set_step_count(1);
  for (int i = 0; i < kMaxLivePrunings; ++i) {
    EXPECT_TRUE(Prune().status.ok());
  }
}

TEST_F(PruneTest, SoManyCallsMayLive) {
  request_.mutable_options()->set_step_count(20'000);
  for (int i = 0; i < 64; ++i) request_.add_coefficients(0.01 * i);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::PruneResponse>>> streams;
  for (int i = 0; i < kMaxLivePrunings; ++i) {
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    streams.push_back(stub_->Prune(contexts.back().get(), request_));
    v1::PruneResponse response;
    ASSERT_TRUE(streams.back()->Read(&response));
  }
  const grpc::Status refused = Prune().status;
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(testing::Decode(refused).reason, "TOO_MANY_CALLS");
  for (const auto& context : contexts) context->TryCancel();
  for (const auto& stream : streams) {
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  // However a call ends, the next finds its place.
  request_.mutable_options()->set_step_count(1);
  request_.clear_coefficients();
  for (int i = 0; i <= kMaxLivePrunings; ++i) {
    const grpc::Status status = Prune().status;
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

}  // namespace
}  // namespace spar::service
