#include "server/service/training_to_proto.h"

#include "server/service/to_proto.h"

namespace spar::service {

void ToProto(const models::TrainProgress& progress, v1::TrainingProgress* to) {
  to->set_phase(progress.warming_up ? v1::TRAINING_PHASE_WARM_UP
                                    : v1::TRAINING_PHASE_TRAINING);
  to->set_step_count(progress.step);
  to->set_max_step_count(progress.steps);
  to->set_total_loss(progress.total);
  for (const models::TrainTerm& term : progress.terms) {
    v1::TrainingLoss& loss = *to->add_losses();
    loss.set_name(term.name);
    loss.set_coefficient(term.coefficient);
    loss.set_value(term.value);
  }
  for (const models::TrainModule& from : progress.modules) {
    v1::TrainedModule& module = *to->add_modules();
    module.set_name(from.name);
    module.set_subcomponent_count(from.num_components);
    module.set_mean_l0(from.l0);
    module.set_alive_count(from.alive);
  }
  to->set_learning_rate(progress.rate);
  to->set_component_gradient_norm(progress.components_norm);
  to->set_importance_gradient_norm(progress.ci_norm);
  SetDuration(progress.seconds, to->mutable_step_duration());
  if (!progress.warming_up) {
    SetDuration(progress.eta_seconds, to->mutable_remaining());
  }
}

void ToProto(const ServedModel& model,
             const TrainingBegin& begin,
             v1::TrainingStart* to) {
  to->set_model(model.ResourceName());
  to->set_model_digest(model.explainer->info().digest);
  to->set_config_digest(begin.config_digest);
  to->set_out_dir(begin.out_dir);
}

}  // namespace spar::service
