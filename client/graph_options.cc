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

}  // namespace

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
