#include "client/ablate_options.h"

#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "client/option_words.h"

namespace spar::client {
namespace {

// PART[@POSITION][:VALUE or :xFACTOR]
v1::Intervention ParseIntervention(const std::string& text) {
  v1::Intervention intervention;
  std::string part = text;
  const auto number = [&text](const std::string& digits) {
    size_t end = 0;
    double value = 0;
    try {
      value = std::stod(digits, &end);
    } catch (const std::exception&) {
      end = 0;
    }
    if (end == 0 || end != digits.size()) {
      throw CLI::ValidationError(text,
                                 "want PART[@POSITION][:VALUE or :xFACTOR]");
    }
    return value;
  };
  if (const size_t colon = part.rfind(':'); colon != part.npos) {
    const std::string value = part.substr(colon + 1);
    part.resize(colon);
    if (value.starts_with("x")) {
      intervention.set_factor(number(value.substr(1)));
    } else {
      intervention.set_offset(number(value));
    }
  }
  if (const size_t at = part.rfind('@'); at != part.npos) {
    const double position = number(part.substr(at + 1));
    if (position != static_cast<int32_t>(position)) {
      throw CLI::ValidationError(text, "a position is a whole number");
    }
    intervention.set_position(static_cast<int32_t>(position));
    part.resize(at);
  }
  intervention.set_part(part);
  return intervention;
}

void AddInterventions(CLI::App& app, v1::AblateRequest& ablation) {
  const auto add = [&app](const std::string& name, const std::string& help,
                          const std::function<v1::Intervention*()>& make) {
    app.add_option_function<std::vector<std::string>>(
           name,
           [make](const std::vector<std::string>& texts) {
             for (const std::string& text : texts) {
               *make() = ParseIntervention(text);
             }
           },
           help)
        ->allow_extra_args(false);
  };
  add("--off",
      "PART off in every run: MODULE#head=2, #neuron=31, #subcomponent=5 or "
      "#delta; 0-9 or * for several; @POSITION for one position; :VALUE sets "
      "the mask, :xFACTOR scales it. May be given again",
      [&ablation] { return ablation.add_interventions(); });
  add("--sweep", "The same, in runs of their own: one for each PART",
      [&ablation] { return ablation.add_swept(); });
  app.add_flag_callback(
      "--cumulative", [&ablation] { ablation.set_sweep(v1::SWEEP_CUMULATIVE); },
      "Sweep: the first off, then the first two, and so on");
  app.add_option_function<std::vector<std::string>>(
         "--edit",
         [&ablation](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) {
             v1::TokenEdit& edit = *ablation.add_edits();
             int position = 0, token = 0, end = 0;
             if (std::sscanf(text.c_str(), "%d:%d%n", &position, &token,
                             &end) != 2 ||
                 static_cast<size_t>(end) != text.size()) {
               throw CLI::ValidationError(text, "want POSITION:TOKEN_ID");
             }
             edit.set_position(position);
             edit.set_token_id(token);
           }
         },
         "POSITION:TOKEN_ID that the masked runs read instead")
      ->allow_extra_args(false);
}

void AddMasks(CLI::App& app, v1::AblateRequest& ablation) {
  app.add_option_function<std::string>(
      "--decomposition",
      [&ablation](const std::string& name) {
        ablation.set_decomposition(name);
      },
      "Name of the model's decomposition");
  AddWords<v1::MaskStrategy>(
      app, "--masks",
      {{"target", v1::MASK_STRATEGY_TARGET},
       {"unmasked", v1::MASK_STRATEGY_UNMASKED},
       {"ci", v1::MASK_STRATEGY_CAUSAL_IMPORTANCE},
       {"rounded", v1::MASK_STRATEGY_ROUNDED},
       {"stochastic", v1::MASK_STRATEGY_STOCHASTIC},
       {"adversarial", v1::MASK_STRATEGY_ADVERSARIAL},
       {"none", v1::MASK_STRATEGY_NONE}},
      "Masks before interventions: target (default), unmasked, ci, rounded, "
      "stochastic, adversarial or none",
      [&ablation](v1::MaskStrategy masks) { ablation.set_strategy(masks); });
  const auto real = [&app](const std::string& name, const std::string& help,
                           const std::function<void(double)>& set) {
    app.add_option_function<double>(name, set, help);
  };
  const auto whole = [&app](const std::string& name, const std::string& help,
                            const std::function<void(int32_t)>& set) {
    app.add_option_function<int32_t>(name, set, help);
  };
  real("--threshold", "rounded: importances above this are 1 (0)",
       [&ablation](double value) { ablation.set_threshold(value); });
  real("--delta", "Mask of every Delta, in place of the strategy's",
       [&ablation](double value) { ablation.set_delta(value); });
  whole("--samples", "stochastic: runs of each step (1)",
        [&ablation](int32_t n) { ablation.set_sample_count(n); });
  whole("--adversary-steps", "adversarial: steps of the attack (20)",
        [&ablation](int32_t n) {
          ablation.mutable_adversary()->set_step_count(n);
        });
  real("--adversary-step-size", "adversarial: size of a step (0.1)",
       [&ablation](double size) {
         ablation.mutable_adversary()->set_step_size(size);
       });
  whole("--adversary-restarts", "adversarial: starts (1)",
        [&ablation](int32_t n) {
          ablation.mutable_adversary()->set_restart_count(n);
        });
  app.add_flag_callback(
      "--adversary-shared",
      [&ablation] { ablation.mutable_adversary()->set_shared_positions(true); },
      "adversarial: one source for all positions");
  AddSeed(app, "Seed of every random draw (0)",
          [&ablation](uint64_t seed) { ablation.set_seed(seed); });
  whole("--generate", "Continue the prompt by so many tokens under the masks",
        [&ablation](int32_t n) {
          ablation.mutable_generation()->set_max_token_count(n);
        });
  real("--temperature", "generate: 0 takes the strongest token (0)",
       [&ablation](double value) {
         ablation.mutable_generation()->set_temperature(value);
       });
}

}  // namespace

void AddAblateOptions(CLI::App& app, v1::AblateRequest& ablation) {
  AddInterventions(app, ablation);
  AddMasks(app, ablation);
}

}  // namespace spar::client
