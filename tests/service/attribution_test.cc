// Attribute over the wire: what requests become, what graphs become.
#include <functional>
#include <limits>
#include <optional>
#include <string>

#include "gtest/gtest.h"

#include "base/status.h"
#include "server/service/attribution_from_proto.h"
#include "server/service/attribution_to_proto.h"
#include "server/service/limits.h"
#include "tests/service/rich_error.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

v1::AttributeRequest ARequest() {
  v1::AttributeRequest request;
  request.set_model("models/toy");
  for (const int id : {1, 2, 3}) {
    request.mutable_prompt()->mutable_tokens()->add_ids(id);
  }
  return request;
}

class AttributionFromProtoTest : public ::testing::Test {
 protected:
  testing::ScriptedExplainer* explainer_ = nullptr;
  const ServedModel model_ = testing::MakeServedModel("toy", &explainer_);
};

TEST_F(AttributionFromProtoTest, FillsInTheDefaults) {
  const auto question = AttributionFromProto(ARequest(), model_);
  ASSERT_TRUE(question.ok()) << question.status();
  EXPECT_EQ(question->request.tokens, (std::vector<models::TokenId>{1, 2, 3}));
  EXPECT_EQ(question->request.norm, models::NormGradient::kFull);
  EXPECT_EQ(question->request.run, models::AttributedRun::kTarget);
  EXPECT_EQ(question->request.delta_mask, 1);
  EXPECT_EQ(question->request.rule.max_neurons, 64);
  EXPECT_EQ(question->request.logit_rule.min_probability, 0.01);
  EXPECT_EQ(question->request.logit_rule.max_per_position, 10);
  EXPECT_TRUE(question->request.filter.without_zeros);
  EXPECT_FALSE(question->query.target.has_value());
  EXPECT_EQ(question->query.num_paths, 16);
}

TEST_F(AttributionFromProtoTest, ReadsEveryField) {
  v1::AttributeRequest request = ARequest();
  request.set_decomposition("vpd");
  v1::AttributeOptions& options = *request.mutable_options();
  options.set_norm(v1::NORM_GRADIENT_FROZEN);
  options.set_importance_factor(true);
  options.set_run(v1::ATTRIBUTED_RUN_LISTED);
  options.set_delta_mask(0);
  v1::AttributionNodeRef& node = *options.add_nodes();
  node.set_part(v1::ATTRIBUTION_PART_DOWN);
  node.set_layer(1);
  node.set_position(2);
  node.set_index(7);
  options.mutable_node_rule()->set_min_importance(0.1);
  options.mutable_node_rule()->set_max_subcomponent_count(3);
  options.mutable_node_rule()->set_max_neuron_count(2);
  options.add_logits()->set_token_text("t5");
  options.mutable_logits(0)->set_position(1);
  options.add_logits()->set_token_id(6);
  options.mutable_logit_rule()->add_positions(0);
  options.mutable_logit_rule()->add_positions(2);
  options.mutable_logit_rule()->set_min_probability(0);
  options.mutable_logit_rule()->set_max_count(1);
  options.mutable_edge_rule()->set_min_magnitude(0.5);
  options.mutable_edge_rule()->set_max_per_target(9);
  options.mutable_edge_rule()->set_with_zeros(true);
  request.mutable_query()->mutable_logit()->set_token_id(6);
  *request.mutable_query()->mutable_source() = node;
  request.mutable_query()->set_path_count(0);
  request.mutable_query()->set_path_weighting(v1::PATH_WEIGHTING_EFFECT);
  const auto question = AttributionFromProto(request, model_);
  ASSERT_TRUE(question.ok()) << question.status();
  const models::AttributionRequest& got = question->request;
  const models::NodeRef want{models::SitePart::kDown, 1, 2, 7};
  EXPECT_EQ(got.decomposition, "vpd");
  EXPECT_EQ(got.norm, models::NormGradient::kFrozen);
  EXPECT_TRUE(got.importance_factor);
  EXPECT_EQ(got.run, models::AttributedRun::kListed);
  EXPECT_EQ(got.delta_mask, 0);
  EXPECT_EQ(got.nodes, std::vector<models::NodeRef>{want});
  EXPECT_EQ(got.rule.min_importance, 0.1);
  EXPECT_EQ(got.rule.max_subcomponents, 3);
  EXPECT_EQ(got.rule.max_neurons, 2);
  EXPECT_EQ(got.logits, (std::vector<models::LogitRef>{{1, 5}, {2, 6}}));
  EXPECT_EQ(got.logit_rule.positions, (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(got.logit_rule.min_probability, 0);
  EXPECT_EQ(got.logit_rule.max_per_position, 1);
  EXPECT_EQ(got.filter.min_magnitude, 0.5);
  EXPECT_EQ(got.filter.max_per_target, 9);
  EXPECT_FALSE(got.filter.without_zeros);
  EXPECT_EQ(std::get<models::LogitRef>(*question->query.target),
            (models::LogitRef{2, 6}));
  EXPECT_EQ(question->query.source, want);
  EXPECT_EQ(question->query.num_paths, 0);
  EXPECT_EQ(question->query.weighting, graph::Weighting::kEffect);
}

TEST_F(AttributionFromProtoTest, RefusesWhatCannotBe) {
  struct Case {
    std::string reason = {};
    std::string field = {};
    std::function<void(v1::AttributeRequest&)> change = {};
  };
  const std::string range = "OPTION_OUT_OF_RANGE";
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto node = [](v1::AttributeRequest& r) -> v1::AttributionNodeRef& {
    v1::AttributionNodeRef& ref = *r.mutable_options()->add_nodes();
    ref.set_part(v1::ATTRIBUTION_PART_Q);
    return ref;
  };
  const Case cases[] = {
      {"EMPTY_PROMPT", "prompt", [](auto& r) { r.clear_prompt(); }},
      {"TOKEN_OUT_OF_RANGE", "prompt.tokens.ids[0]",
       [](auto& r) { r.mutable_prompt()->mutable_tokens()->set_ids(0, 24); }},
      {range, "options.norm",
       [](auto& r) {
         r.mutable_options()->set_norm(static_cast<v1::NormGradient>(9));
       }},
      {range, "options.run",
       [](auto& r) {
         r.mutable_options()->set_run(static_cast<v1::AttributedRun>(9));
       }},
      {range, "options.delta_mask",
       [](auto& r) { r.mutable_options()->set_delta_mask(1.5); }},
      {range, "options.delta_mask",
       [nan](auto& r) { r.mutable_options()->set_delta_mask(nan); }},
      {range, "options.nodes[0].part",
       [](auto& r) { r.mutable_options()->add_nodes(); }},
      {range, "options.nodes[0].part",
       [node](auto& r) { node(r).set_part(v1::ATTRIBUTION_PART_LOGITS); }},
      {range, "options.nodes[0].layer",
       [node](auto& r) { node(r).set_layer(2); }},
      {range, "options.nodes[0].layer",
       [node](auto& r) { node(r).set_layer(-1); }},
      {range, "options.nodes[0].position",
       [node](auto& r) { node(r).set_position(3); }},
      {range, "options.nodes[1].index",
       [node](auto& r) {
         node(r);
         node(r).set_index(-1);
       }},
      {"TOO_MANY_NODES", "options.nodes",
       [node](auto& r) {
         for (int i = 0; i <= kMaxNodeRefs; ++i) node(r);
       }},
      {"TOO_MANY_NODES", "options.logits",
       [](auto& r) {
         for (int i = 0; i <= kMaxLogitRefs; ++i) {
           r.mutable_options()->add_logits();
         }
       }},
      {range, "options.node_rule.min_importance",
       [](auto& r) {
         r.mutable_options()->mutable_node_rule()->set_min_importance(1);
       }},
      {range, "options.node_rule.max_subcomponent_count",
       [](auto& r) {
         r.mutable_options()->mutable_node_rule()->set_max_subcomponent_count(
             -1);
       }},
      {range, "options.node_rule.max_neuron_count",
       [](auto& r) {
         r.mutable_options()->mutable_node_rule()->set_max_neuron_count(0);
       }},
      {range, "options.logits[0].token",
       [](auto& r) { r.mutable_options()->add_logits(); }},
      {"TOKEN_OUT_OF_RANGE", "options.logits[0].token_id",
       [](auto& r) { r.mutable_options()->add_logits()->set_token_id(-1); }},
      {"NOT_ONE_TOKEN", "options.logits[0].token_text",
       [](auto& r) {
         r.mutable_options()->add_logits()->set_token_text("t1 t2");
       }},
      {range, "options.logits[0].position",
       [](auto& r) {
         v1::AttributionLogitRef& logit = *r.mutable_options()->add_logits();
         logit.set_token_id(1);
         logit.set_position(3);
       }},
      {range, "options.logit_rule.positions[1]",
       [](auto& r) {
         auto& rule = *r.mutable_options()->mutable_logit_rule();
         rule.add_positions(1);
         rule.add_positions(1);
       }},
      {range, "options.logit_rule.min_probability",
       [](auto& r) {
         r.mutable_options()->mutable_logit_rule()->set_min_probability(-0.1);
       }},
      {range, "options.logit_rule.max_count",
       [](auto& r) {
         r.mutable_options()->mutable_logit_rule()->set_max_count(0);
       }},
      {range, "options.edge_rule.min_magnitude",
       [nan](auto& r) {
         r.mutable_options()->mutable_edge_rule()->set_min_magnitude(nan);
       }},
      {range, "options.edge_rule.max_per_target",
       [](auto& r) {
         r.mutable_options()->mutable_edge_rule()->set_max_per_target(-1);
       }},
      {"TOKEN_OUT_OF_RANGE", "query.logit.token_id",
       [](auto& r) { r.mutable_query()->mutable_logit()->set_token_id(24); }},
      {range, "query.node.part",
       [](auto& r) { r.mutable_query()->mutable_node(); }},
      {range, "query.source.part",
       [](auto& r) { r.mutable_query()->mutable_source(); }},
      {range, "query.path_count",
       [](auto& r) { r.mutable_query()->set_path_count(1001); }},
      {range, "query.path_weighting",
       [](auto& r) {
         r.mutable_query()->set_path_weighting(
             static_cast<v1::PathWeighting>(7));
       }},
  };
  for (const Case& bad : cases) {
    v1::AttributeRequest request = ARequest();
    bad.change(request);
    const auto question = AttributionFromProto(request, model_);
    ASSERT_FALSE(question.ok()) << bad.field;
    const auto detail = base::DetailOf(question.status());
    ASSERT_TRUE(detail.has_value());
    EXPECT_EQ(detail->reason, bad.reason);
    EXPECT_EQ(detail->field, bad.field);
  }
}

// A graph of many nodes and edges comes in messages of bounded size, and is the
// same when put together again.
TEST(AttributionMessages, CutALargeGraphIntoSmallMessages) {
  constexpr int kNodes = 20'000;
  constexpr int kSources = 9'000;
  constexpr int kTargets = 40;
  auto graph = std::make_shared<search::Attribution>();
  graph->nodes.sites = {{models::SitePart::kNeurons, 0, "h.0.mlp"}};
  for (int i = 0; i < kNodes; ++i) {
    graph->nodes.nodes.push_back(
        {models::NodeKind::kNeuron, 0, 0, i, static_cast<float>(i), 1});
  }
  std::vector<graph::EdgeBlock> blocks(1);
  for (int t = 0; t < kTargets; ++t) {
    blocks[0].targets.push_back(kSources + 7 * t);
    blocks[0].counts.push_back(kSources);
    for (int s = 0; s < kSources; ++s) {
      blocks[0].sources.push_back(s);
      blocks[0].weights.push_back(static_cast<float>(s - t));
    }
  }
  graph->graph = *graph::Graph::Make(kNodes, blocks);
  graph->answer.shares.assign(kNodes, 0.5);
  graph->answer.effects.assign(kNodes, 0.5);
  testing::ScriptedExplainer* explainer = nullptr;
  const ServedModel model = testing::MakeServedModel("toy", &explainer);
  search::AttributionQuestion question;
  question.request.tokens = {1};
  AttributionMessages messages(graph, question, &model, {});
  std::vector<graph::EdgeBlock> again;
  int num_nodes = 0;
  int num_messages = 0;
  v1::AttributeResponse response;
  for (bool last = false; !last; ++num_messages) {
    last = messages.Next(&response);
    EXPECT_LT(response.ByteSizeLong(), 4u << 20);
    EXPECT_EQ(last, response.has_summary());
    EXPECT_EQ(num_messages == 0, response.has_header());
    for (const v1::AttributionNode& node : response.nodes().nodes()) {
      EXPECT_EQ(node.index(), num_nodes++);
    }
    if (response.has_edges()) {
      const v1::AttributionEdges& edges = response.edges();
      EXPECT_LE(edges.sources_size(), kMaxEdgesPerMessage);
      again.push_back(
          {{edges.targets().begin(), edges.targets().end()},
           {edges.source_counts().begin(), edges.source_counts().end()},
           {edges.sources().begin(), edges.sources().end()},
           {edges.values().begin(), edges.values().end()}});
    }
  }
  EXPECT_EQ(num_nodes, kNodes);
  EXPECT_EQ(again.size(), 3u);  // 360,000 edges
  EXPECT_EQ(num_messages, 1 + 2 + 3 + 1);
  const auto whole = graph::Graph::Make(kNodes, again);
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->num_edges(), graph->graph.num_edges());
  for (int t = 0; t < kTargets; ++t) {
    const int target = kSources + 7 * t;
    EXPECT_EQ(whole->Weights(target)[8'999], static_cast<float>(8'999 - t));
  }
}

class AttributeTest : public testing::ServedModelTest {
 protected:
  void SetUp() override {
    testing::ServedModelTest::SetUp();
    Serve();
  }

  grpc::Status Ask(const v1::AttributeRequest& request,
                   std::vector<v1::AttributeResponse>* messages) {
    grpc::ClientContext context;
    const auto stream = explanations_->Attribute(&context, request);
    v1::AttributeResponse response;
    while (stream->Read(&response)) messages->push_back(response);
    return stream->Finish();
  }
};

TEST_F(AttributeTest, StreamsHeaderNodesEdgesAndSummary) {
  v1::AttributeRequest request = ARequest();
  request.mutable_options()->set_norm(v1::NORM_GRADIENT_FROZEN);
  request.mutable_query()->set_path_count(2);
  std::vector<v1::AttributeResponse> messages;
  ASSERT_TRUE(Ask(request, &messages).ok());
  ASSERT_EQ(messages.size(), 4u);
  const v1::AttributionHeader& header = messages[0].header();
  EXPECT_EQ(header.model(), "models/toy");
  EXPECT_EQ(header.model_digest(), explainer_->info().digest);
  EXPECT_EQ(header.layer_count(), 2);
  EXPECT_EQ(header.node_count(), 8);
  EXPECT_EQ(header.prompt(1).text(), "t2");
  EXPECT_EQ(header.options().norm(), v1::NORM_GRADIENT_FROZEN);
  EXPECT_EQ(header.options().run(), v1::ATTRIBUTED_RUN_TARGET);
  EXPECT_EQ(header.options().node_rule().max_neuron_count(), 64);
  EXPECT_EQ(header.sites(1).name(), "h.0.mlp");
  EXPECT_EQ(header.sites(1).part(), v1::ATTRIBUTION_PART_NEURONS);
  EXPECT_EQ(header.sites(0).layer(), -1);
  EXPECT_TRUE(header.generator().starts_with("spard "));
  EXPECT_GT(header.create_time().seconds(), 1'600'000'000);

  ASSERT_EQ(messages[1].nodes().nodes_size(), 8);
  const v1::AttributionNode& embedding = messages[1].nodes().nodes(1);
  EXPECT_EQ(embedding.kind(), v1::ATTRIBUTION_NODE_KIND_EMBEDDING);
  EXPECT_EQ(embedding.token().text(), "t2");
  const v1::AttributionNode& logit = messages[1].nodes().nodes(6);
  EXPECT_EQ(logit.kind(), v1::ATTRIBUTION_NODE_KIND_LOGIT);
  EXPECT_EQ(logit.token().text(), "t3");
  EXPECT_EQ(logit.importance(), 0.75f);
  EXPECT_FALSE(messages[1].nodes().nodes(4).has_token());

  const v1::AttributionEdges& edges = messages[2].edges();
  EXPECT_EQ(edges.sources_size(), 12);
  EXPECT_EQ(edges.values_size(), 12);
  EXPECT_EQ(edges.targets(0), 3);
  EXPECT_EQ(edges.source_counts(0), 1);
  EXPECT_EQ(edges.values(0), 1.0f);

  const v1::AttributionSummary& summary = messages[3].summary();
  EXPECT_EQ(summary.edge_count(), 12);
  EXPECT_EQ(summary.below_count(), 7);
  EXPECT_EQ(summary.cut_count(), 5);
  EXPECT_EQ(summary.stream().relative(), 1e-7);
  EXPECT_EQ(summary.stream().target_count(), 3);
  EXPECT_EQ(summary.answer().target_node(), 6);
  EXPECT_EQ(summary.answer().shares_size(), 8);
  EXPECT_EQ(summary.answer().effects_size(), 8);
  EXPECT_EQ(summary.answer().paths_size(), 2);
  EXPECT_EQ(summary.answer().path_weighting(), v1::PATH_WEIGHTING_SHARE);
  EXPECT_FALSE(summary.answer().has_source_node());
}

TEST_F(AttributeTest, RefusesWithReasonAndField) {
  std::vector<v1::AttributeResponse> messages;
  v1::AttributeRequest request = ARequest();
  request.set_model("models/none");
  EXPECT_EQ(testing::Decode(Ask(request, &messages)).reason, "MODEL_NOT_FOUND");
  request = ARequest();
  request.mutable_query()->mutable_logit()->set_token_id(7);
  const testing::RichError error = testing::Decode(Ask(request, &messages));
  EXPECT_EQ(error.code, grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(error.reason, "NODE_NOT_IN_GRAPH");
  EXPECT_EQ(error.field, "query.logit");
  explainer_->RefuseGraphs(base::Error(absl::StatusCode::kResourceExhausted,
                                       "full", {"TOO_MANY_GRAPHS", "", {}}));
  EXPECT_EQ(testing::Decode(Ask(ARequest(), &messages)).reason,
            "TOO_MANY_GRAPHS");
  // A backend's field, as the request has it.
  explainer_->RefuseGraphs(
      base::InvalidArgument("UNKNOWN_NODE", "nodes[3]", "no such node"));
  EXPECT_EQ(testing::Decode(Ask(ARequest(), &messages)).field,
            "options.nodes[3]");
  EXPECT_TRUE(messages.empty());
}

TEST_F(AttributeTest, RefusesWhileItDrains) {
  server_->Drain();
  std::vector<v1::AttributeResponse> messages;
  EXPECT_EQ(testing::Decode(Ask(ARequest(), &messages)).reason, "DRAINING");
}

}  // namespace
}  // namespace spar::service
