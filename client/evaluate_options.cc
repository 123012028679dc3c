#include "client/evaluate_options.h"

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "client/option_words.h"
#include "client/prompt_options.h"

namespace spar::client {
namespace {

// NAME=MODULE,MODULE
v1::EvaluationSubset ParseSubset(const std::string& text) {
  v1::EvaluationSubset subset;
  const size_t equals = text.find('=');
  if (equals == text.npos || equals + 1 == text.size()) {
    throw CLI::ValidationError(text, "want NAME=MODULE,MODULE");
  }
  subset.set_name(text.substr(0, equals));
  std::istringstream parts(text.substr(equals + 1));
  for (std::string part; std::getline(parts, part, ',');) {
    subset.add_modules(part);
  }
  return subset;
}

void AddRowOptions(CLI::App& app, CommandLine& line) {
  v1::EvaluationOptions& options = *line.evaluate.request.mutable_options();
  app.add_option("decomposition", line.argument,
                 "MODEL/NAME; NAME alone where the server has one model, or "
                 "--model says which")
      ->required();
  AddPromptsOptions(app, line);
  app.add_option("--text", line.evaluate.text_paths,
                 "File of text to be cut into rows, or - for standard input; "
                 "needs --row-length. May be given again")
      ->allow_extra_args(false);
  app.add_option_function<int32_t>(
      "--row-length", [&options](int32_t n) { options.set_row_length(n); },
      "Cut every prompt and text into rows of so many tokens");
  app.add_option_function<int32_t>(
      "--batch-rows", [&options](int32_t n) { options.set_batch_row_count(n); },
      "Rows run and attacked together (as many as have 2,048 tokens)");
}

void AddMeasures(CLI::App& app, v1::EvaluationOptions& options) {
  app.add_option_function<double>(
      "--alive-threshold",
      [&options](double x) { options.set_alive_threshold(x); },
      "Active where the importance is above this (0)");
  app.add_option_function<double>(
      "--alive-mean",
      [&options](double x) { options.set_alive_mean_importance(x); },
      "Alive with a mean importance above this (1e-6)");
  app.add_option_function<double>(
      "--rounding-threshold",
      [&options](double x) { options.set_rounding_threshold(x); },
      "Of the rounded masks of the table (0)");
  app.add_option_function<int32_t>(
      "--samples", [&options](int32_t n) { options.set_sample_count(n); },
      "Runs under stochastic and under random masks (1)");
  app.add_option_function<std::vector<double>>(
         "--thresholds",
         [&options](const std::vector<double>& thresholds) {
           options.mutable_sweep_thresholds()->Assign(thresholds.begin(),
                                                      thresholds.end());
         },
         "Of the curve against sparsity (0,0.01,0.03,0.1,0.3,0.5,0.7,0.9)")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option_function<std::vector<std::string>>(
         "--subset",
         [&options](const std::vector<std::string>& subsets) {
           for (const std::string& subset : subsets) {
             *options.add_subsets() = ParseSubset(subset);
           }
         },
         "NAME=MODULE,MODULE: modules to be masked alone, too. May be given "
         "again")
      ->allow_extra_args(false);
  AddSeed(app, "Seed of every random draw (0)",
          [&options](uint64_t seed) { options.set_seed(seed); });
}

void AddEvaluationAttack(CLI::App& app, EvaluateArguments& evaluate) {
  v1::EvaluationAttack& attack = evaluate.attack;
  attack.set_max_batch_count(1);
  app.add_flag("--no-attack", evaluate.no_attack, "Leave the attacks out");
  app.add_option_function<std::vector<int32_t>>(
         "--attack-steps",
         [&attack](const std::vector<int32_t>& steps) {
           attack.mutable_step_counts()->Assign(steps.begin(), steps.end());
         },
         "After which the damage is told, ascending (1,5,20,80)")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option_function<double>(
      "--attack-step-size", [&attack](double x) { attack.set_step_size(x); },
      "Size of a step (0.1)");
  app.add_option_function<int32_t>(
      "--attack-restarts",
      [&attack](int32_t n) { attack.set_restart_count(n); },
      "Starts, of which the worst counts (1)");
  app.add_option_function<int32_t>(
      "--attack-batches",
      [&attack](int32_t n) { attack.set_max_batch_count(n); },
      "How many batches are attacked; 0: all (1)");
  AddWords<v1::EvaluationAttackScope>(
      app, "--attack-scope",
      {{"shared", v1::EVALUATION_ATTACK_SCOPE_SHARED_ACROSS_BATCH},
       {"per-datapoint", v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT}},
      "Whom one source is for: shared, all positions of a batch, or "
      "per-datapoint; both by default",
      [&attack](v1::EvaluationAttackScope scope) { attack.add_scopes(scope); });
}

}  // namespace

void AddEvaluateOptions(CLI::App& app, CommandLine& line) {
  AddRowOptions(app, line);
  AddMeasures(app, *line.evaluate.request.mutable_options());
  AddEvaluationAttack(app, line.evaluate);
  app.add_option("--report", line.evaluate.report_path,
                 "Folder for report.md and its charts");
  app.add_flag("--progress", line.always_progress,
               "Show progress also where stderr is no terminal");
}

}  // namespace spar::client
