// L5. Evaluations as people read them.
#pragma once

#include <string>
#include <string_view>

#include "client/evaluation_answer.h"
#include "client/style.h"

namespace spar::client {

// "CI" for EVALUATION_MASKS_CAUSAL_IMPORTANCE, as reports call masks.
std::string_view NameOf(v1::EvaluationMasks masks);
std::string_view NameOf(v1::EvaluationAttackScope scope);
// The subset's name; "all modules" for the i-th table or curve that is of all.
std::string NameOfTable(const EvaluationAnswer& answer, size_t i);

// What was evaluated, on how much and in which time; then every part as a
// table. Modules are a line each.
std::string FormatEvaluation(const EvaluationAnswer& answer,
                             const Style& style);

}  // namespace spar::client
