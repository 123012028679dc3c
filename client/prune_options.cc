#include "client/prune_options.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "client/crystallize_options.h"
#include "client/option_words.h"
#include "client/prompt_options.h"

namespace spar::client {
namespace {

// Numbers of `app`, each with what it sets.
class Numbers {
 public:
  explicit Numbers(CLI::App& app) : app_(app) {}

  void Real(const std::string& name,
            const std::string& help,
            const std::function<void(double)>& set) {
    app_.add_option_function<double>(name, set, help);
  }
  void Whole(const std::string& name,
             const std::string& help,
             const std::function<void(int32_t)>& set) {
    app_.add_option_function<int32_t>(name, set, help);
  }

 private:
  CLI::App& app_;
};

void AddQuestion(CLI::App& app, PruneArguments& prune) {
  v1::PruneRequest& request = prune.request;
  app.add_option_function<std::string>(
         "--decomposition",
         [&request](const std::string& name) {
           request.set_decomposition(name);
         },
         "Name of the model's decomposition")
      ->required();
  app.add_option_function<std::vector<double>>(
         "--coefficients",
         [&request](const std::vector<double>& prices) {
           request.mutable_coefficients()->Assign(prices.begin(), prices.end());
         },
         "Prices of importance: 1e-4,1e-3; several make a curve (0.001)")
      ->delimiter(',')
      ->allow_extra_args(false);
  auto* const target =
      app.add_option("--target", prune.target_texts,
                     "The token to be said, as text; the model's prediction by "
                     "default. Given again: one for each prompt")
          ->allow_extra_args(false);
  app.add_option("--target-id", prune.target_ids, "The same by id")
      ->allow_extra_args(false)
      ->excludes(target);
  app.add_option("--position", prune.positions,
                 "The position after which it is said; the last by default. "
                 "Given again: one for each prompt")
      ->allow_extra_args(false);
}

void AddLoss(CLI::App& app, v1::PruneOptions& options) {
  Numbers numbers(app);
  AddWords<v1::PruneLoss>(
      app, "--loss",
      {{"cross-entropy", v1::PRUNE_LOSS_CROSS_ENTROPY},
       {"divergence", v1::PRUNE_LOSS_DIVERGENCE}},
      "What the masked run is held to: the target's cross-entropy (default), "
      "or the divergence from the model",
      [&options](v1::PruneLoss loss) { options.set_loss(loss); });
  numbers.Real("--weight", "Weight of the masked run's loss (1)",
               [&options](double x) { options.set_weight(x); });
  AddWords<v1::PruneMasks>(
      app, "--masks",
      {{"ci", v1::PRUNE_MASKS_CAUSAL_IMPORTANCE},
       {"stochastic", v1::PRUNE_MASKS_STOCHASTIC}},
      "stochastic (default), with Delta; or ci: the importances themselves, "
      "without",
      [&options](v1::PruneMasks masks) { options.set_masks(masks); });
  app.add_flag_callback(
      "--adversary", [&options] { options.mutable_adversary(); },
      "Hold the run under attack to the target too; so does each option below");
  numbers.Whole("--adversary-steps", "Steps of the attack (20)",
                [&options](int32_t n) {
                  options.mutable_adversary()->set_step_count(n);
                });
  numbers.Real(
      "--adversary-step-size", "Size of a step (0.1)",
      [&options](double x) { options.mutable_adversary()->set_step_size(x); });
  numbers.Whole("--adversary-restarts", "Starts, of which the worst counts (1)",
                [&options](int32_t n) {
                  options.mutable_adversary()->set_restart_count(n);
                });
  numbers.Real(
      "--adversary-weight", "Weight of the attacked run's loss (1)",
      [&options](double x) { options.mutable_adversary()->set_weight(x); });
}

// The norm is made when one of its options is given.
void AddNorm(CLI::App& app, v1::PruneOptions& options) {
  Numbers numbers(app);
  numbers.Real("--power", "Power of the price of importance (0.3)",
               [&options](double x) { options.mutable_norm()->set_power(x); });
  numbers.Real(
      "--final-power", "Its power in the end (the same)",
      [&options](double x) { options.mutable_norm()->set_final_power(x); });
  numbers.Real(
      "--anneal-begin", "Share of the steps when it begins to move (0)",
      [&options](double x) { options.mutable_norm()->set_anneal_begin(x); });
  numbers.Real(
      "--anneal-end", "Share of the steps when it has arrived (1)",
      [&options](double x) { options.mutable_norm()->set_anneal_end(x); });
  numbers.Real("--beta", "Weight of the frequency term (0)",
               [&options](double x) { options.mutable_norm()->set_beta(x); });
  app.add_flag_callback(
      "--by-sum", [&options] { options.mutable_norm()->set_by_sum(true); },
      "Do not divide the price by the prompt's length");
}

void AddOptimiser(CLI::App& app, v1::PruneOptions& options) {
  Numbers numbers(app);
  numbers.Whole("--steps", "Steps of each row (2000)",
                [&options](int32_t n) { options.set_step_count(n); });
  numbers.Real("--learning-rate", "Learning rate of AdamW (0.01)",
               [&options](double x) { options.set_learning_rate(x); });
  AddWords<v1::PruneRateShape>(
      app, "--rate-shape",
      {{"constant", v1::PRUNE_RATE_SHAPE_CONSTANT},
       {"linear", v1::PRUNE_RATE_SHAPE_LINEAR},
       {"cosine", v1::PRUNE_RATE_SHAPE_COSINE}},
      "How the rate goes: constant (default), linear or cosine",
      [&options](v1::PruneRateShape shape) { options.set_rate_shape(shape); });
  numbers.Real("--final-rate-share", "Share of the rate that is left (0)",
               [&options](double x) { options.set_final_rate_share(x); });
  numbers.Real("--warmup-share", "Share of the steps in which it rises (0)",
               [&options](double x) { options.set_warmup_share(x); });
  AddWords<v1::PruneStart>(
      app, "--start",
      {{"importances", v1::PRUNE_START_IMPORTANCES},
       {"ones", v1::PRUNE_START_ONES}},
      "Where it starts: importances (default) of the decomposition, or ones",
      [&options](v1::PruneStart start) { options.set_start(start); });
  numbers.Real("--alive-threshold",
               "Nodes above it at the start are optimised (0)",
               [&options](double x) { options.set_alive_threshold(x); });
  numbers.Real("--rounding-threshold", "Nodes above it in the end are kept (0)",
               [&options](double x) { options.set_rounding_threshold(x); });
  numbers.Whole("--stop-patience",
                "Steps without a better loss after which a row ends; 0: never "
                "(default)",
                [&options](int32_t n) { options.set_stop_patience(n); });
  numbers.Real("--stop-change",
               "What share of the loss counts as better (0.001)",
               [&options](double x) { options.set_stop_change(x); });
  AddSeed(app, "Seed of every random draw of the optimisation (0)",
          [&options](uint64_t seed) { options.set_seed(seed); });
}

void AddOutput(CLI::App& app, CommandLine& line) {
  app.add_flag("--progress", line.always_progress,
               "Show progress also where stderr is no terminal");
  app.add_option("--save", line.prune.save_path,
                 "File for the whole answer, as --output json without "
                 "progress: for --nodes-from and --units-from");
  auto* const crystallize =
      app.add_flag("--crystallize", line.prune.crystallize,
                   "Then search from each row's nodes for a certified set");
  app.add_option("--certificate", line.certificate_path,
                 "File to write the certificate to; of several rows {row} in "
                 "it becomes their number")
      ->needs(crystallize)
      ->group("With --crystallize");
  AddRowSearchOptions(app, line.options, crystallize);
}

}  // namespace

void AddPruneOptions(CLI::App& app, CommandLine& line) {
  v1::PruneOptions& options = *line.prune.request.mutable_options();
  AddPromptsOptions(app, line);
  AddQuestion(app, line.prune);
  AddLoss(app, options);
  AddNorm(app, options);
  AddOptimiser(app, options);
  AddOutput(app, line);
}

}  // namespace spar::client
