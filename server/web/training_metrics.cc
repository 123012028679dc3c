#include "server/web/training_metrics.h"

#include <string>

#include "server/web/metric_family.h"

namespace spar::web {

void AddTrainingFamilies(const std::optional<service::TrainingState>& state,
                         std::vector<prometheus::MetricFamily>* families) {
  const auto gauge = [](const char* name, const char* help) {
    return Family(name, help, prometheus::MetricType::Gauge);
  };
  auto step = gauge("spar_training_step", "Steps done of this phase.");
  auto steps = gauge("spar_training_steps", "Steps of this phase.");
  auto total = gauge("spar_training_total_loss", "What is minimised.");
  auto loss = gauge("spar_training_loss", "A loss, before its coefficient.");
  auto l0 = gauge("spar_training_l0", "Active subcomponents by position.");
  auto alive = gauge("spar_training_alive",
                     "Subcomponents active in the last 100 steps.");
  auto seconds = gauge("spar_training_step_seconds", "Of the last step.");
  if (state.has_value()) {
    const models::TrainProgress& progress = state->progress;
    const std::string& model = state->model;
    const std::string phase = progress.warming_up ? "faithfulness" : "training";
    Add({{"model", model}, {"phase", phase}},
        static_cast<double>(progress.step), &step);
    Add({{"model", model}, {"phase", phase}},
        static_cast<double>(progress.steps), &steps);
    Add({{"model", model}}, progress.total, &total);
    for (const models::TrainTerm& term : progress.terms) {
      Add({{"model", model}, {"loss", term.name}}, term.value, &loss);
    }
    for (const models::TrainModule& module : progress.modules) {
      Add({{"model", model}, {"module", module.name}}, module.l0, &l0);
      Add({{"model", model}, {"module", module.name}}, module.alive, &alive);
    }
    Add({{"model", model}}, progress.seconds, &seconds);
  }
  for (auto* family : {&step, &steps, &total, &loss, &l0, &alive, &seconds}) {
    families->push_back(std::move(*family));
  }
}

}  // namespace spar::web
