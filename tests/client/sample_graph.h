// An attribution graph made by hand, and a random one of any size.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "client/graph/graph_view.h"
#include "gtest/gtest.h"

#include "tests/graph/random_dag.h"

namespace spar::client {

inline int AddSite(v1::AttributionGraph& graph,
                   v1::AttributionPart part,
                   int layer,
                   const std::string& name) {
  v1::AttributionSite& site = *graph.mutable_header()->add_sites();
  site.set_part(part);
  site.set_layer(layer);
  site.set_name(name);
  return graph.header().sites_size() - 1;
}

inline v1::AttributionNode& AddNode(v1::AttributionGraph& graph,
                                    v1::AttributionNodeKind kind,
                                    int site,
                                    int position,
                                    int index,
                                    float activation,
                                    float importance) {
  v1::AttributionNode& node = *graph.add_nodes();
  node.set_kind(kind);
  node.set_site(site);
  node.set_position(position);
  node.set_index(index);
  node.set_activation(activation);
  node.set_importance(importance);
  return node;
}

inline void AddEdge(v1::AttributionGraph& graph,
                    int source,
                    int target,
                    float value) {
  if (graph.edges().empty()) graph.add_edges();
  v1::AttributionEdges& edges = *graph.mutable_edges(0);
  edges.add_targets(target);
  edges.add_source_counts(1);
  edges.add_sources(source);
  edges.add_values(value);
}

// Fills in the answer about `target`.
inline GraphView Answered(v1::AttributionGraph graph, int target) {
  v1::AttributionAnswer& blank = *graph.mutable_summary()->mutable_answer();
  blank.set_target_node(target);
  blank.mutable_shares()->Resize(graph.nodes_size(), 0);
  blank.mutable_effects()->Resize(graph.nodes_size(), 0);
  absl::StatusOr<GraphView> view = GraphView::Make(graph);
  EXPECT_TRUE(view.ok()) << view.status();
  absl::StatusOr<v1::AttributionAnswer> answer = AnswerOf(*view, {});
  EXPECT_TRUE(answer.ok()) << answer.status();
  blank = *answer;
  view = GraphView::Make(std::move(graph));
  EXPECT_TRUE(view.ok()) << view.status();
  return *std::move(view);
}

inline void FillHeader(const std::vector<std::string>& tokens,
                       v1::AttributionGraph& graph) {
  v1::AttributionHeader& header = *graph.mutable_header();
  header.set_model("models/demo");
  header.set_model_digest("ab12");
  header.set_family("llama_simple_mlp");
  header.set_decomposition("vpd");
  header.set_dtype("float32");
  header.set_device("cpu");
  header.set_generator("spard 0.1.0");
  header.mutable_create_time()->set_seconds(1'700'000'000);
  header.mutable_create_time()->set_nanos(250'000'000);
  for (size_t i = 0; i < tokens.size(); ++i) {
    v1::Token& token = *header.add_prompt();
    token.set_id(static_cast<int32_t>(10 + i));
    token.set_text(tokens[i]);
  }
  v1::AttributeOptions& options = *header.mutable_options();
  options.set_norm(v1::NORM_GRADIENT_FULL);
  options.set_run(v1::ATTRIBUTED_RUN_TARGET);
  options.mutable_logit_rule()->set_max_count(10);
}

// "the princess lost" -> her. One layer: embeddings, v and o, a Delta and a
// bias of o, up and down, two logits.
//   0, 1  embeddings at 1 and 2    4  o's Delta at 2    7  down:1672 at 2
//   2     v:5 at 1                 5  o's bias at 2     8  " her"
//   3     o:9 at 2                 6  up:0 at 2         9  " his"
inline v1::AttributionGraph PrincessMessage() {
  v1::AttributionGraph graph;
  FillHeader({"the", " princess", " lost"}, graph);
  graph.mutable_header()->set_layer_count(1);
  const int embed = AddSite(graph, v1::ATTRIBUTION_PART_EMBEDDING, -1, "wte");
  const int v = AddSite(graph, v1::ATTRIBUTION_PART_V, 0, "h.0.attn.v_proj");
  const int o = AddSite(graph, v1::ATTRIBUTION_PART_O, 0, "h.0.attn.o_proj");
  const int up = AddSite(graph, v1::ATTRIBUTION_PART_UP, 0, "h.0.mlp.c_fc");
  const int down =
      AddSite(graph, v1::ATTRIBUTION_PART_DOWN, 0, "h.0.mlp.down_proj");
  const int logits = AddSite(graph, v1::ATTRIBUTION_PART_LOGITS, -1, "lm_head");
  for (const int position : {1, 2}) {
    *AddNode(graph, v1::ATTRIBUTION_NODE_KIND_EMBEDDING, embed, position, 0, 1,
             1)
         .mutable_token() = graph.header().prompt(position);
  }
  const auto component = v1::ATTRIBUTION_NODE_KIND_SUBCOMPONENT;
  AddNode(graph, component, v, 1, 5, -0.5f, 0.75f);
  AddNode(graph, component, o, 2, 9, 2.0f, 1.0f);
  AddNode(graph, v1::ATTRIBUTION_NODE_KIND_DELTA, o, 2, 0, 1, 1);
  AddNode(graph, v1::ATTRIBUTION_NODE_KIND_BIAS, o, 2, 0, 1, 1);
  AddNode(graph, component, up, 2, 0, 1.5f, 0.5f);
  AddNode(graph, component, down, 2, 1672, 0.1f, 0.25f);
  const char* const words[] = {" her", " his"};
  for (int i = 0; i < 2; ++i) {
    v1::AttributionNode& logit =
        AddNode(graph, v1::ATTRIBUTION_NODE_KIND_LOGIT, logits, 2, 100 + i,
                i == 0 ? 9.5f : 7.25f, i == 0 ? 0.586f : 0.0625f);
    logit.mutable_token()->set_id(100 + i);
    logit.mutable_token()->set_text(words[i]);
  }
  AddEdge(graph, 0, 2, 0.25f);
  AddEdge(graph, 2, 3, 1.5f);
  AddEdge(graph, 1, 6, -0.125f);
  AddEdge(graph, 3, 6, 0.375f);
  AddEdge(graph, 6, 7, 0.1f);
  AddEdge(graph, 3, 8, 3.0f);
  AddEdge(graph, 4, 8, 0.0625f);
  AddEdge(graph, 5, 8, -0.5f);
  AddEdge(graph, 7, 8, 1.0f);
  AddEdge(graph, 7, 9, -2.0f);
  v1::AttributionSummary& summary = *graph.mutable_summary();
  summary.set_edge_count(10);
  summary.set_below_count(30);
  summary.set_cut_count(4);
  summary.set_magnitude(8.8125);
  summary.set_dropped_magnitude(0.0881);
  summary.mutable_stream()->set_relative(3.1e-7);
  summary.mutable_stream()->set_target_count(212);
  return graph;
}

inline GraphView Princess() {
  return Answered(PrincessMessage(), 8);
}

// A decomposed model of four layers on seven tokens: about `num_nodes` nodes,
// joined as the model's parts are.
inline GraphView RandomGraphView(int num_nodes, uint64_t seed) {
  testing::Dice dice(seed);
  v1::AttributionGraph graph;
  FillHeader({"The", " princess", " lost", " her", " crown", " and", " cried"},
             graph);
  const int num_tokens = graph.header().prompt_size();
  constexpr int kLayers = 4;
  graph.mutable_header()->set_layer_count(kLayers);
  AddSite(graph, v1::ATTRIBUTION_PART_EMBEDDING, -1, "wte");
  const v1::AttributionPart parts[] = {
      v1::ATTRIBUTION_PART_Q,  v1::ATTRIBUTION_PART_K,
      v1::ATTRIBUTION_PART_V,  v1::ATTRIBUTION_PART_O,
      v1::ATTRIBUTION_PART_UP, v1::ATTRIBUTION_PART_DOWN};
  const char* const names[] = {"attn.q_proj", "attn.k_proj", "attn.v_proj",
                               "attn.o_proj", "mlp.c_fc",    "mlp.down_proj"};
  for (int layer = 0; layer < kLayers; ++layer) {
    for (int i = 0; i < 6; ++i) {
      AddSite(graph, parts[i], layer,
              "h." + std::to_string(layer) + "." + names[i]);
    }
  }
  const int logits = AddSite(graph, v1::ATTRIBUTION_PART_LOGITS, -1, "lm_head");
  for (int t = 0; t < num_tokens; ++t) {
    *AddNode(graph, v1::ATTRIBUTION_NODE_KIND_EMBEDDING, 0, t, 0, 1, 1)
         .mutable_token() = graph.header().prompt(t);
  }
  constexpr float kPerSite[] = {0.5f, 0.4f, 1.0f, 1.1f, 1.3f, 1.7f};
  for (int site = 1; site < logits; ++site) {
    for (int t = 0; t < num_tokens; ++t) {
      const double mean = kPerSite[(site - 1) % 6] * (num_nodes - 10) /
                          (6.0 * kLayers * num_tokens) * (0.4 + 0.2 * t);
      int count = static_cast<int>(mean * 2 * dice.Share() + 0.5);
      for (int index = dice.Below(40); count-- > 0;
           index += 1 + dice.Below(90)) {
        AddNode(graph, v1::ATTRIBUTION_NODE_KIND_SUBCOMPONENT, site, t, index,
                2 * dice.Weight(), static_cast<float>(dice.Share()));
      }
      if (t == num_tokens - 1 && (site - 1) % 6 == 5) {
        AddNode(graph, v1::ATTRIBUTION_NODE_KIND_DELTA, site, t, 0, 1, 1);
      }
    }
  }
  const char* const words[] = {" .", " out", " for"};
  for (int i = 0; i < 3; ++i) {
    v1::AttributionNode& logit = AddNode(
        graph, v1::ATTRIBUTION_NODE_KIND_LOGIT, logits, num_tokens - 1, 100 + i,
        12.0f - static_cast<float>(i), 0.5f / static_cast<float>(1 + i));
    logit.mutable_token()->set_text(words[i]);
  }
  const auto joined = [&](const v1::AttributionNode& from,
                          const v1::AttributionNode& to) {
    const v1::AttributionSite& source = graph.header().sites(from.site());
    const v1::AttributionSite& target = graph.header().sites(to.site());
    const bool same = from.position() == to.position();
    const bool writes = source.part() == v1::ATTRIBUTION_PART_EMBEDDING ||
                        source.part() == v1::ATTRIBUTION_PART_O ||
                        source.part() == v1::ATTRIBUTION_PART_DOWN;
    switch (target.part()) {
      case v1::ATTRIBUTION_PART_O:
        return source.layer() == target.layer() &&
               (source.part() == v1::ATTRIBUTION_PART_Q ? same
                : source.part() == v1::ATTRIBUTION_PART_K ||
                        source.part() == v1::ATTRIBUTION_PART_V
                    ? from.position() <= to.position()
                    : false);
      case v1::ATTRIBUTION_PART_DOWN:
        return same && source.part() == v1::ATTRIBUTION_PART_UP &&
               source.layer() == target.layer();
      default:
        return same && writes;
    }
  };
  for (int target = 0; target < graph.nodes_size(); ++target) {
    for (int source = 0; source < target; ++source) {
      const v1::AttributionNodeKind kind = graph.nodes(target).kind();
      if (kind == v1::ATTRIBUTION_NODE_KIND_DELTA ||
          !joined(graph.nodes(source), graph.nodes(target)) ||
          graph.nodes(source).site() == graph.nodes(target).site()) {
        continue;
      }
      const float weight = dice.Weight();
      AddEdge(graph, source, target, weight * std::abs(weight * weight));
    }
  }
  graph.mutable_summary()->set_edge_count(graph.edges(0).sources_size());
  const int target = graph.nodes_size() - 3;
  return Answered(std::move(graph), target);
}

}  // namespace spar::client
