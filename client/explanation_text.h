// L5. An explanation as people read it.
#pragma once

#include <string>

#include "client/style.h"

#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/model_service.pb.h"

namespace spar::client {

// The prompt with its kept positions lit (in brackets without colour), wrapped
// behind `indent` columns; then an arrow and the target. No newline at the end.
std::string FormatPrompt(const v1::Explanation& explanation,
                         int indent,
                         const Style& style);

// The whole report: prompt, verdict, map, margins, precision, contrast,
// remark, effort.
std::string FormatExplanation(const v1::Explanation& explanation,
                              const v1::Model& model,
                              const Style& style);

// "CRYSTALLIZED", "deletion", ...: the enum's name for people.
std::string VerdictName(v1::Verdict verdict);
std::string PhaseName(v1::Phase phase);

}  // namespace spar::client
