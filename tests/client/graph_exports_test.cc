// Exports against what the formats require: fields, types, ids, order.
#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <string>

#include "client/graph/exports.h"
#include "client/graph/graph_file.h"
#include "client/graph/traced_nodes.h"
#include "gtest/gtest.h"
#include <nlohmann/json.hpp>

#include "base/status.h"
#include "tests/client/sample_graph.h"

namespace spar::client {
namespace {

using nlohmann::json;

json Parsed(const std::string& text) {
  json parsed = json::parse(text, nullptr, false);
  EXPECT_FALSE(parsed.is_discarded()) << text.substr(0, 200);
  return parsed;
}

std::vector<GraphView> Samples() {
  std::vector<GraphView> samples;
  samples.push_back(Princess());
  samples.push_back(RandomGraphView(150, 3));
  return samples;
}

// A string that breaks out of every syntax that is not escaped.
constexpr char kHostile[] =
    "\"]}</script><img src=x onerror=alert(1)>\\\n\t\x01\xE2\x80\xA8 'z' & -->";

GraphView Hostile() {
  v1::AttributionGraph message = PrincessMessage();
  message.mutable_header()->mutable_prompt(1)->set_text(kHostile);
  message.mutable_header()->mutable_sites(1)->set_name(kHostile);
  message.mutable_header()->set_model(base::Cat("models/", kHostile));
  message.mutable_header()->set_decomposition(kHostile);
  message.mutable_nodes(8)->mutable_token()->set_text(kHostile);
  return Answered(message, 8);
}

TEST(LossFreeExports, ReadBackAsTheSameMessage) {
  for (const GraphView& view : Samples()) {
    for (const GraphFormat format :
         {GraphFormat::kProtobuf, GraphFormat::kJson}) {
      const absl::StatusOr<std::string> bytes = Export(view, format);
      ASSERT_TRUE(bytes.ok());
      const absl::StatusOr<GraphView> again = GraphFromBytes(*bytes);
      ASSERT_TRUE(again.ok()) << again.status();
      EXPECT_EQ(again->message().SerializeAsString(),
                view.message().SerializeAsString());
    }
  }
  for (const std::string_view bytes :
       {"", "{", "{}", "{\"x\": 1}", "\xff\xff\xff", "not a graph"}) {
    const absl::StatusOr<GraphView> read = GraphFromBytes(bytes);
    ASSERT_FALSE(read.ok()) << bytes;
    EXPECT_EQ(base::DetailOf(read.status())->reason, "BAD_GRAPH");
  }
}

// What circuit-tracer's and Neuronpedia's files have in common.
void CheckTraced(const GraphView& view, const json& file) {
  const json& metadata = file.at("metadata");
  EXPECT_TRUE(std::regex_match(metadata.at("slug").get<std::string>(),
                               std::regex("[a-z0-9-]+")));
  EXPECT_TRUE(metadata.at("scan").is_string());
  EXPECT_TRUE(metadata.at("prompt").is_string());
  EXPECT_EQ(metadata.at("schema_version"), 1);
  ASSERT_EQ(metadata.at("prompt_tokens").size(),
            static_cast<size_t>(view.header().prompt_size()));
  for (const json& token : metadata.at("prompt_tokens")) {
    EXPECT_TRUE(token.is_string());
  }
  const json& parameters = file.at("qParams");
  EXPECT_EQ(parameters.at("pinnedIds"), json::array());
  EXPECT_EQ(parameters.at("supernodes"), json::array());
  EXPECT_EQ(parameters.at("linkType"), "both");
  EXPECT_EQ(parameters.at("clickedId"), "");
  EXPECT_EQ(parameters.at("sg_pos"), "");

  ASSERT_EQ(file.at("nodes").size(), static_cast<size_t>(view.num_nodes()));
  std::map<std::string, int> ids;  // to node number
  const std::string top = std::to_string(view.header().layer_count() + 1);
  int number = 0;
  for (const json& node : file.at("nodes")) {
    const std::string id = node.at("node_id");
    const std::string type = node.at("feature_type");
    const std::string layer = node.at("layer");
    const int64_t feature = node.at("feature");
    const v1::AttributionNode& from = view.node(number);
    EXPECT_TRUE(ids.emplace(id, number).second) << id << " comes twice";
    EXPECT_EQ(node.at("ctx_idx"), from.position());
    EXPECT_TRUE(node.at("clerp").is_string());
    EXPECT_TRUE(node.at("jsNodeId").is_string());
    EXPECT_TRUE(node.at("influence").is_null() ||
                (node.at("influence") >= 0 && node.at("influence") <= 1));
    std::smatch parts;
    ASSERT_TRUE(
        std::regex_match(id, parts, std::regex("(E|\\d+)_(-?\\d+)_(\\d+)")))
        << id;
    EXPECT_EQ(parts[1], layer);
    EXPECT_EQ(parts[3], std::to_string(from.position()));
    if (type == "embedding") {
      EXPECT_EQ(layer, "E");
      EXPECT_EQ(parts[2], std::to_string(from.token().id()));
    } else if (type == "logit") {
      EXPECT_EQ(layer, top);
      EXPECT_EQ(parts[2], std::to_string(from.index()));
      EXPECT_EQ(feature, from.index());
      EXPECT_EQ(node.at("is_target_logit"), number == view.target());
      EXPECT_FLOAT_EQ(node.at("token_prob"), from.importance());
      EXPECT_TRUE(node.at("influence").is_null());
    } else if (type == "cross layer transcoder") {
      // The pairing holds layer and number; the number index and part.
      const int64_t within = std::stoll(parts[2]);
      EXPECT_EQ(feature, CantorPair(std::stoll(layer), within));
      EXPECT_EQ(within / 16, from.index());
      EXPECT_EQ(within % 16, view.site(number).part());
      EXPECT_FLOAT_EQ(node.at("activation"), from.activation());
    } else {
      EXPECT_LT(feature, 0);
      EXPECT_TRUE(node.at("activation").is_null());
    }
    ++number;
  }
  ASSERT_EQ(file.at("links").size(),
            static_cast<size_t>(view.edges().num_edges()));
  std::pair<int, int> last = {-1, -1};
  for (const json& link : file.at("links")) {
    const int source = ids.at(link.at("source"));
    const int target = ids.at(link.at("target"));
    EXPECT_LT(source, target);
    EXPECT_LT(last, std::make_pair(target, source));
    last = {target, source};
    const auto sources = view.edges().Sources(target);
    const size_t at = static_cast<size_t>(
        std::lower_bound(sources.begin(), sources.end(), source) -
        sources.begin());
    ASSERT_LT(at, sources.size());
    EXPECT_EQ(link.at("weight").get<float>(), view.edges().Weights(target)[at]);
  }
}

TEST(CircuitTracerExport, HasTheViewersFields) {
  for (const GraphView& view : Samples()) {
    const json file = Parsed(GraphToCircuitTracer(view));
    CheckTraced(view, file);
    EXPECT_TRUE(file.at("metadata").at("transcoder_list").is_array());
    EXPECT_TRUE(file.at("metadata").contains("node_threshold"));
    const std::set<std::string> types = {"cross layer transcoder",
                                         "mlp reconstruction error",
                                         "embedding", "logit"};
    for (const json& node : file.at("nodes")) {
      EXPECT_EQ(types.count(node.at("feature_type")), 1u);
      EXPECT_TRUE(node.at("layer").is_string());
      EXPECT_TRUE(node.at("token_prob").is_number());
      EXPECT_TRUE(node.at("is_target_logit").is_boolean());
      EXPECT_EQ(node.at("run_idx"), 0);
      EXPECT_EQ(node.at("reverse_ctx_idx"), 0);
      EXPECT_TRUE(node.contains("activation"));
    }
  }
}

TEST(CircuitTracerExport, KeepsFeaturesApartFromWhatIsLeftOver) {
  // A Delta of layer 0 and a subcomponent with the same numbers.
  std::set<std::string> js_ids;
  const json file = Parsed(GraphToCircuitTracer(Princess()));
  for (const json& node : file.at("nodes")) js_ids.insert(node.at("jsNodeId"));
  EXPECT_EQ(js_ids.size(), file.at("nodes").size());
  EXPECT_EQ(file.at("nodes")[4].at("node_id"), "0_-13_2");
  EXPECT_EQ(file.at("nodes")[5].at("node_id"), "0_-14_2");
  EXPECT_EQ(file.at("nodes")[7].at("node_id"), "0_26761_2");  // 16 x 1672 + 9
}

TEST(NeuronpediaExport, FitsTheSchema) {
  for (const GraphView& view : Samples()) {
    const json file = Parsed(GraphToNeuronpedia(view));
    CheckTraced(view, file);
    const json& info = file.at("metadata").at("info");
    EXPECT_EQ(info.at("generator").at("name"), "spard");
    EXPECT_EQ(info.at("generator").at("version"), "0.1.0");
    EXPECT_EQ(info.at("create_time_ms"), 1'700'000'000'250);
    EXPECT_NE(info.at("description").get<std::string>().find("ab12"),
              std::string::npos);
    EXPECT_EQ(file.at("metadata").at("generation_settings").at("max_n_logits"),
              10);
    EXPECT_TRUE(file.at("metadata").at("pruning_settings").is_object());
    EXPECT_FALSE(file.at("metadata").contains("node_threshold"));
    EXPECT_EQ(file.at("metadata").at("scan"), "demo-vpd");
  }
  const json file = Parsed(GraphToNeuronpedia(Princess()));
  EXPECT_EQ(file.at("nodes")[5].at("feature_type"), "bias");
}

TEST(TracedNodes, AreNumberedAlikeInEveryRun) {
  EXPECT_EQ(CantorPair(0, 0), 0);
  EXPECT_EQ(CantorPair(3, 5), 41);
  EXPECT_EQ(GraphToCircuitTracer(Princess()), GraphToCircuitTracer(Princess()));
  v1::AttributionGraph other = PrincessMessage();
  other.mutable_header()->mutable_options()->set_importance_factor(true);
  EXPECT_NE(GraphDigest(other.header()),
            GraphDigest(PrincessMessage().header()));
}

TEST(TracedNodes, AccumulateInfluenceFromTheLargestDown) {
  const GraphView view = RandomGraphView(150, 3);
  const std::vector<double> cumulative = Cumulative(view);
  double total = 0;
  for (const double share : view.shares()) total += share;
  // Brute force: everything of at least this share, this one included.
  for (int i = 0; i < view.num_nodes(); ++i) {
    double least = 0;
    double most = 0;
    for (int j = 0; j < view.num_nodes(); ++j) {
      if (view.shares()[j] > view.shares()[i]) least += view.shares()[j];
      if (view.shares()[j] >= view.shares()[i]) most += view.shares()[j];
    }
    EXPECT_GE(cumulative[static_cast<size_t>(i)], least / total - 1e-9);
    EXPECT_LE(cumulative[static_cast<size_t>(i)], most / total + 1e-9);
  }
}

TEST(SpdExport, HasTheAppsFields) {
  const json file = Parsed(GraphToSpd(Princess()));
  EXPECT_TRUE(file.at("id").is_number_integer());
  EXPECT_EQ(file.at("graphType"), "standard");
  EXPECT_EQ(file.at("tokens"), json({"the", " princess", " lost"}));
  // Strongest first; the Delta's and the bias's edges are counted instead.
  ASSERT_EQ(file.at("edges").size(), 8u);
  EXPECT_EQ(file.at("edges")[0].at("src"), "h.0.attn.o_proj:2:9");
  EXPECT_EQ(file.at("edges")[0].at("tgt"), "output:2:100");
  EXPECT_EQ(file.at("edges")[0].at("val"), 3.0);
  EXPECT_EQ(file.at("edges")[0].at("is_cross_seq"), false);
  EXPECT_EQ(file.at("edges")[2].at("src"), "h.0.attn.v_proj:1:5");
  EXPECT_EQ(file.at("edges")[2].at("is_cross_seq"), true);
  EXPECT_EQ(file.at("omitted"), json({{"nodes", 2}, {"edges", 2}}));
  EXPECT_EQ(file.at("maxAbsAttr"), 3.0);
  EXPECT_EQ(file.at("maxAbsSubcompAct"), 2.0);
  EXPECT_EQ(file.at("l0_total"), 4);
  EXPECT_EQ(file.at("nodeCiVals").size(), 8u);
  EXPECT_EQ(file.at("nodeCiVals").at("wte:1:0"), 1.0);
  EXPECT_EQ(file.at("nodeCiVals").at("h.0.attn.v_proj:1:5"), 0.75);
  EXPECT_EQ(file.at("nodeSubcompActs").size(), 4u);
  EXPECT_EQ(file.at("nodeSubcompActs").at("h.0.mlp.c_fc:2:0"), 1.5);
  const json& her = file.at("outputProbs").at("2:100");
  EXPECT_EQ(her.at("token"), " her");
  EXPECT_EQ(her.at("logit"), 9.5);
  EXPECT_EQ(her.at("target_prob"), her.at("prob"));
  EXPECT_FALSE(file.contains("optimization"));
}

TEST(SpdExport, ListsEveryEdgeByFallingSize) {
  const json file = Parsed(GraphToSpd(RandomGraphView(150, 3)));
  double last = INFINITY;
  for (const json& edge : file.at("edges")) {
    const double size = std::abs(edge.at("val").get<double>());
    EXPECT_LE(size, last);
    last = size;
    EXPECT_TRUE(file.at("nodeCiVals").contains(edge.at("src")));
    EXPECT_TRUE(file.at("nodeCiVals").contains(edge.at("tgt")));
  }
  EXPECT_EQ(
      file.at("edges").size() + file.at("omitted").at("edges").get<size_t>(),
      static_cast<size_t>(RandomGraphView(150, 3).edges().num_edges()));
}

// Of a masked run the model's own probabilities are not known.
TEST(SpdExport, DoesNotInventTheModelsOwnProbabilities) {
  v1::AttributionGraph message = PrincessMessage();
  message.mutable_header()->mutable_options()->set_run(
      v1::ATTRIBUTED_RUN_LISTED);
  const json file = Parsed(GraphToSpd(Answered(message, 8)));
  EXPECT_TRUE(file.at("outputProbs").at("2:100").at("target_prob").is_null());
}

TEST(DotExport, DeclaresEachNodeAndEdgeOnce) {
  const GraphView view = RandomGraphView(150, 3);
  const std::string text = GraphToDot(view);
  const std::regex edge("\n  n(\\d+) -> n(\\d+) \\[[^\n]*\\];");
  std::set<std::pair<std::string, std::string>> edges;
  for (auto it = std::sregex_iterator(text.begin(), text.end(), edge);
       it != std::sregex_iterator(); ++it) {
    edges.emplace((*it)[1], (*it)[2]);
  }
  EXPECT_EQ(static_cast<int64_t>(edges.size()), view.edges().num_edges());
  const std::regex node("\n  n(\\d+) \\[label=\"");
  EXPECT_EQ(
      std::distance(std::sregex_iterator(text.begin(), text.end(), node), {}),
      view.num_nodes());
}

// Every quoted string of the file ends where it should.
TEST(DotExport, QuotesHostileText) {
  const std::string text = GraphToDot(Hostile());
  bool in_string = false;
  std::string outside;
  for (size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      outside += text[i];
    }
  }
  EXPECT_FALSE(in_string);
  EXPECT_EQ(outside.find("alert"), std::string::npos);
  EXPECT_EQ(outside.find("script"), std::string::npos);
}

TEST(JsonExports, HoldHostileTextAsItIs) {
  const GraphView view = Hostile();
  EXPECT_EQ(
      Parsed(GraphToNeuronpedia(view)).at("metadata").at("prompt_tokens")[1],
      kHostile);
  EXPECT_EQ(
      Parsed(GraphToCircuitTracer(view)).at("metadata").at("prompt_tokens")[1],
      kHostile);
  EXPECT_EQ(Parsed(GraphToSpd(view)).at("tokens")[1], kHostile);
}

}  // namespace
}  // namespace spar::client
