#include "client/crystallize_options.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "client/option_words.h"
#include "client/unit_schemes.h"
#include <google/protobuf/util/time_util.h>

namespace spar::client {
namespace {

using Schemes = std::map<std::string, v1::UnitScheme>;

void AddUnits(CLI::App& app,
              v1::CrystallizeOptions& options,
              const Schemes& schemes,
              const std::string& help) {
  AddWords<v1::UnitScheme>(
      app, "--units", schemes, help,
      [&options](v1::UnitScheme scheme) { options.set_unit_scheme(scheme); });
}

void AddKind(CLI::App& app,
             v1::CrystallizeOptions& options,
             const std::string& mode_help) {
  AddWords<v1::Mode>(
      app, "--mode",
      {{"grounded", v1::MODE_GROUNDED}, {"sufficient", v1::MODE_SUFFICIENT}},
      mode_help, [&options](v1::Mode mode) { options.set_mode(mode); });
  AddWords<v1::Reference>(
      app, "--reference",
      {{"zero", v1::REFERENCE_ZERO}, {"mean", v1::REFERENCE_MEAN}},
      "Value of a unit outside S: zero (default) or mean",
      [&options](v1::Reference kind) { options.set_reference(kind); });
  AddWords<v1::PositionMode>(
      app, "--position-mode",
      {{"keep-ids", v1::POSITION_MODE_KEEP_IDS},
       {"reindex", v1::POSITION_MODE_REINDEX}},
      "Ids of the positions left: keep-ids (default) or reindex",
      [&options](v1::PositionMode mode) { options.set_position_mode(mode); });
}

void AddThresholds(CLI::App& app, v1::CrystallizeOptions& options) {
  const auto number = [&app](const std::string& name, const std::string& help,
                             const std::function<void(double)>& set) {
    app.add_option_function<double>(name, set, help);
  };
  number("--tau", "Margin to exceed, in logits (0.001)",
         [&options](double tau) { options.set_tau(tau); });
  number("--precision", "Grounded: precision T must reach (0.9)",
         [&options](double share) { options.set_precision_threshold(share); });
  number("--margin-share", "Grounded: share of the full margin to keep (0.5)",
         [&options](double share) { options.set_margin_share(share); });
  number("--contrast", "Grounded: contrast (S, T) must reach (0.8)",
         [&options](double share) { options.set_contrast_threshold(share); });
  number("--sparse-fraction", "Larger shares of units are DISTRIBUTED (0.1)",
         [&options](double share) { options.set_sparse_fraction(share); });
  app.add_flag_callback(
      "--pin-first", [&options] { options.set_pin_first(true); },
      "Keep the first position in T");
}

void AddAttack(CLI::App& app, v1::CrystallizeOptions& options) {
  app.add_option_function<int32_t>(
      "--attack-steps",
      [&options](int32_t n) { options.set_attack_step_count(n); },
      "Robust mode: S must hold against an attack of so many sign steps on the "
      "units outside it; 0: no attack (default)");
  app.add_option_function<double>(
      "--attack-step-size",
      [&options](double size) { options.set_attack_step_size(size); },
      "Robust mode: how far a step moves a mask (0.1)");
  app.add_option_function<int32_t>(
      "--attack-restarts",
      [&options](int32_t n) { options.set_attack_restart_count(n); },
      "Robust mode: starts of the attack (4)");
}

void AddBudgets(CLI::App& app,
                v1::CrystallizeOptions& options,
                const std::string& seed_name) {
  app.add_option_function<int64_t>(
      "--max-rows", [&options](int64_t n) { options.set_max_row_count(n); },
      "Rows the search may evaluate; 0: no bound (default)");
  app.add_option_function<double>(
         "--max-seconds",
         [&options](double seconds) {
           *options.mutable_max_duration() =
               google::protobuf::util::TimeUtil::NanosecondsToDuration(
                   static_cast<int64_t>(seconds * 1e9));
         },
         "Seconds the search may take; the best set so far is the answer")
      ->check(CLI::Range(-1e9, 1e9));
  app.add_option_function<int32_t>(
      "--target-units",
      [&options](int32_t n) { options.set_target_unit_count(n); },
      "Improve only until |S| is at most this; 0: as far as it goes (default)");
  app.add_option_function<int32_t>(
      "--improvement-rounds",
      [&options](int32_t n) { options.set_improvement_round_count(n); },
      "Add-and-prune rounds after the first certificate (4)");
  app.add_option_function<int64_t>(
      seed_name, [&options](int64_t seed) { options.set_seed(seed); },
      "Seed of every random draw of a search (0)");
}

}  // namespace

void AddSearchOptions(CLI::App& app, v1::CrystallizeOptions& options) {
  AddKind(app, options, "grounded (default) or sufficient");
  AddUnits(
      app, options, UnitSchemeWords(),
      "head, neuron or head+neuron (default); of a decomposition subcomponent "
      "or node (a subcomponent at a position), or these with +delta");
  app.add_option_function<std::string>(
      "--decomposition",
      [&options](const std::string& name) { options.set_decomposition(name); },
      "Whose subcomponents or nodes --units counts");
  AddThresholds(app, options);
  AddAttack(app, options);
  AddBudgets(app, options, "--seed");
}

void AddRowSearchOptions(CLI::App& app,
                         v1::CrystallizeOptions& options,
                         CLI::Option* asked) {
  const std::vector<CLI::Option*> before = app.get_options();
  AddKind(app, options, "sufficient (default) or grounded");
  AddUnits(app, options,
           {{"node", v1::UNIT_SCHEME_NODE},
            {"node+delta", v1::UNIT_SCHEME_NODE_AND_DELTA}},
           "node+delta (default), or node: Delta is then always on");
  AddThresholds(app, options);
  AddAttack(app, options);
  AddBudgets(app, options, "--search-seed");
  for (CLI::Option* const option : app.get_options()) {
    if (std::find(before.begin(), before.end(), option) != before.end()) {
      continue;
    }
    option->needs(asked)->group("With --crystallize");
  }
}

}  // namespace spar::client
