// L6. Trainings that clients ask for, below the folder that the operator
// allowed.
#pragma once

#include <memory>

#include "server/config.h"
#include "server/service/training_host.h"

namespace spar {

// Null without command.training_dir.
std::unique_ptr<service::TrainingHost> MakeTrainingHost(
    const ServeCommand& command);

}  // namespace spar
