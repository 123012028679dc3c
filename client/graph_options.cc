#include "client/graph_options.h"

#include <string>

#include "client/graph/exports.h"
#include "client/option_words.h"

#include "base/status.h"

namespace spar::client {
namespace {

// "FORMAT=FILE", or a sentence about what is wrong.
std::string ParseExport(const std::string& text, GraphExport* to) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals + 1 == text.size()) {
    return base::Cat("--export ", text, ": want FORMAT=FILE");
  }
  const std::optional<GraphFormat> format =
      ParseGraphFormat(text.substr(0, equals));
  if (!format) {
    return base::Cat("--export ", text, ": the formats are ",
                     GraphFormatNames());
  }
  *to = {*format, text.substr(equals + 1)};
  return "";
}

void AddRun(CLI::App& app, v1::AttributeRequest& request) {
  v1::AttributeOptions& options = *request.mutable_options();
  app.add_option_function<std::string>(
      "--decomposition",
      [&request](const std::string& name) { request.set_decomposition(name); },
      "Name of a decomposition; heads and neurons by default");
  AddWords<v1::NormGradient>(
      app, "--norm",
      {{"full", v1::NORM_GRADIENT_FULL}, {"frozen", v1::NORM_GRADIENT_FROZEN}},
      "The norm's whole Jacobian (full, default), or its denominator held "
      "still",
      [&options](v1::NormGradient norm) { options.set_norm(norm); });
  app.add_flag_callback(
      "--importance-factor",
      [&options] { options.set_importance_factor(true); },
      "Multiply each edge by its source's causal importance");
  AddWords<v1::AttributedRun>(
      app, "--run",
      {{"target", v1::ATTRIBUTED_RUN_TARGET},
       {"importance", v1::ATTRIBUTED_RUN_IMPORTANCE},
       {"listed", v1::ATTRIBUTED_RUN_LISTED}},
      "The run taken apart: of the model (target, default), masked by "
      "importance, or of the listed nodes alone",
      [&options](v1::AttributedRun run) { options.set_run(run); });
}

void AddRules(CLI::App& app, v1::AttributeOptions& options) {
  v1::AttributionNodeRule& nodes = *options.mutable_node_rule();
  v1::AttributionLogitRule& logits = *options.mutable_logit_rule();
  v1::AttributionEdgeRule& edges = *options.mutable_edge_rule();
  app.add_option_function<double>(
      "--min-importance", [&nodes](double x) { nodes.set_min_importance(x); },
      "Subcomponents of causal importance above this (0)");
  app.add_option_function<int32_t>(
      "--max-subcomponents",
      [&nodes](int32_t n) { nodes.set_max_subcomponent_count(n); },
      "The most of a site at one position; 0: all (default)");
  app.add_option_function<int32_t>(
      "--max-neurons", [&nodes](int32_t n) { nodes.set_max_neuron_count(n); },
      "The most neurons of a layer at one position (64)");
  app.add_option_function<double>(
      "--min-probability",
      [&logits](double x) { logits.set_min_probability(x); },
      "Logits more probable than this (0.01)");
  app.add_option_function<int32_t>(
      "--max-logits", [&logits](int32_t n) { logits.set_max_count(n); },
      "The most logits (10)");
  app.add_option_function<double>(
      "--min-edge", [&edges](double x) { edges.set_min_magnitude(x); },
      "Edges of at least this size (0)");
  app.add_option_function<int32_t>(
      "--max-edges", [&edges](int32_t n) { edges.set_max_per_target(n); },
      "The most edges into one node, the largest; 0: all (default)");
}

}  // namespace

void AddAttributeRequest(CLI::App& app, CommandLine& line) {
  v1::AttributeRequest& request = line.attribute;
  AddRun(app, request);
  AddRules(app, *request.mutable_options());
  v1::AttributionQuery& query = *request.mutable_query();
  // The token is asked about, so the graph must have it.
  app.add_option_function<std::string>(
      "--target",
      [&request](const std::string& token) {
        request.mutable_query()->mutable_logit()->set_token_text(token);
        request.mutable_options()->add_logits()->set_token_text(token);
      },
      "The token whose logit is asked about; the likeliest by default");
  app.add_option_function<int32_t>(
      "--paths", [&query](int32_t n) { query.set_path_count(n); },
      "How many of the strongest paths (16)");
  AddWords<v1::PathWeighting>(
      app, "--paths-by",
      {{"share", v1::PATH_WEIGHTING_SHARE},
       {"effect", v1::PATH_WEIGHTING_EFFECT},
       {"product", v1::PATH_WEIGHTING_PRODUCT}},
      "What makes a path strong: share (default), effect or product",
      [&query](v1::PathWeighting by) { query.set_path_weighting(by); });
}

void AddGraphQuestion(CLI::App& app, CommandLine& line) {
  app.add_option(
      "--target", line.graph.target,
      "Node where influences and paths end, as MODULE:INDEX@POSITION "
      "(the saved answer's)");
  app.add_option("--source", line.graph.source,
                 "Node where paths begin (any that nothing writes into)");
  app.add_option_function<int32_t>(
         "--paths", [&line](int32_t n) { line.graph.num_paths = n; },
         "How many of the strongest paths (the saved answer's, else 16)")
      ->check(CLI::Range(0, 1000));
  AddWords<v1::PathWeighting>(
      app, "--paths-by",
      {{"share", v1::PATH_WEIGHTING_SHARE},
       {"effect", v1::PATH_WEIGHTING_EFFECT},
       {"product", v1::PATH_WEIGHTING_PRODUCT}},
      "What makes a path strong: share (default), effect or product",
      [&line](v1::PathWeighting by) { line.graph.weighting = by; });
}

void AddGraphOutput(CLI::App& app, CommandLine& line) {
  app.add_option_function<std::vector<std::string>>(
         "--export",
         [&line](const std::vector<std::string>& values) {
           for (const std::string& value : values) {
             const std::string wrong =
                 ParseExport(value, &line.graph.exports.emplace_back());
             if (!wrong.empty()) throw CLI::ValidationError(wrong);
           }
         },
         base::Cat("FORMAT=FILE, may be given again; formats: ",
                   GraphFormatNames()))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--html", line.graph.html_path,
                 "File for a page that shows the graph");
  app.add_option("--html-nodes", line.graph.html_nodes,
                 "The most nodes that the page draws")
      ->check(CLI::Range(1, 5000))
      ->capture_default_str();
}

void AddLineCount(CLI::App& app, CommandLine& line) {
  app.add_option("--lines", line.graph.num_lines, "How many lines of each kind")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
}

}  // namespace spar::client
