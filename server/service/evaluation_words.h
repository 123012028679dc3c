// L5. The words of evaluations on the wire and here.
#pragma once

#include "models/evaluation.h"
#include "server/service/option_check.h"
#include "spar/v1/evaluation.pb.h"

namespace spar::service {

inline constexpr EnumValue<models::EvaluationMasks> kEvaluationMasks[] = {
    {v1::EVALUATION_MASKS_TARGET, models::EvaluationMasks::kTarget},
    {v1::EVALUATION_MASKS_UNMASKED, models::EvaluationMasks::kUnmasked},
    {v1::EVALUATION_MASKS_CAUSAL_IMPORTANCE,
     models::EvaluationMasks::kCausalImportance},
    {v1::EVALUATION_MASKS_ROUNDED, models::EvaluationMasks::kRounded},
    {v1::EVALUATION_MASKS_STOCHASTIC, models::EvaluationMasks::kStochastic},
    {v1::EVALUATION_MASKS_RANDOM, models::EvaluationMasks::kRandom},
    {v1::EVALUATION_MASKS_ZERO, models::EvaluationMasks::kZero},
};
inline constexpr EnumValue<models::AttackScope> kAttackScopes[] = {
    {v1::EVALUATION_ATTACK_SCOPE_SHARED_ACROSS_BATCH,
     models::AttackScope::kSharedAcrossBatch},
    {v1::EVALUATION_ATTACK_SCOPE_PER_DATAPOINT,
     models::AttackScope::kPerDatapoint},
};
inline constexpr EnumValue<models::EvaluationPhase> kEvaluationPhases[] = {
    {v1::EVALUATION_PHASE_RECONSTRUCTION,
     models::EvaluationPhase::kReconstruction},
    {v1::EVALUATION_PHASE_SUBSET, models::EvaluationPhase::kSubset},
    {v1::EVALUATION_PHASE_ATTACK, models::EvaluationPhase::kAttack},
};

}  // namespace spar::service
