// L5. The words of pruning on the wire and here.
#pragma once

#include "models/prune.h"
#include "server/service/option_check.h"
#include "spar/v1/pruning_service.pb.h"

namespace spar::service {

inline constexpr EnumValue<models::PruneLoss> kPruneLosses[] = {
    {v1::PRUNE_LOSS_UNSPECIFIED, models::PruneLoss::kCrossEntropy},
    {v1::PRUNE_LOSS_CROSS_ENTROPY, models::PruneLoss::kCrossEntropy},
    {v1::PRUNE_LOSS_DIVERGENCE, models::PruneLoss::kDivergence},
};
inline constexpr EnumValue<models::PruneMasks> kPruneMasks[] = {
    {v1::PRUNE_MASKS_UNSPECIFIED, models::PruneMasks::kStochastic},
    {v1::PRUNE_MASKS_CAUSAL_IMPORTANCE, models::PruneMasks::kCausalImportance},
    {v1::PRUNE_MASKS_STOCHASTIC, models::PruneMasks::kStochastic},
};
inline constexpr EnumValue<models::PruneStart> kPruneStarts[] = {
    {v1::PRUNE_START_UNSPECIFIED, models::PruneStart::kImportances},
    {v1::PRUNE_START_IMPORTANCES, models::PruneStart::kImportances},
    {v1::PRUNE_START_ONES, models::PruneStart::kOnes},
};
inline constexpr EnumValue<models::RateShape> kRateShapes[] = {
    {v1::PRUNE_RATE_SHAPE_UNSPECIFIED, models::RateShape::kConstant},
    {v1::PRUNE_RATE_SHAPE_CONSTANT, models::RateShape::kConstant},
    {v1::PRUNE_RATE_SHAPE_LINEAR, models::RateShape::kLinear},
    {v1::PRUNE_RATE_SHAPE_COSINE, models::RateShape::kCosine},
};

}  // namespace spar::service
