// L5. A training as the messages of its stream.
#pragma once

#include "models/training.h"
#include "server/service/training_host.h"
#include "spar/v1/training.pb.h"

namespace spar::service {

// Without is_logged.
void ToProto(const models::TrainProgress& progress, v1::TrainingProgress* to);

void ToProto(const ServedModel& model,
             const TrainingBegin& begin,
             v1::TrainingStart* to);

}  // namespace spar::service
