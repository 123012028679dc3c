// L1t. What the recipes of the studies share.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/studies/identity_error.h"
#include "models/studies/toy_target.h"
#include "models/train/train_config.h"

namespace spar::studies {

// Added to a study's seed for the data of the decomposition, so that they are
// not those of the toy's own training.
inline constexpr uint64_t kDataSeed = 1'000;

models::LossConfig Loss(std::string name,
                        models::LossKind kind,
                        double coefficient);

// A target's modules, each with so many subcomponents.
std::vector<models::DecomposedModule> ModulesWith(
    int num_components, const models::TrainTarget& target);

// Of a tensor [rows, C], float32 on the CPU.
ImportanceTable TableOf(const at::Tensor& importances);

}  // namespace spar::studies
