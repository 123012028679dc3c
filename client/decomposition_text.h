// L5. Decompositions and causal importances as people read them.
#pragma once

#include <string>

#include "client/prompt_lists.h"
#include "client/style.h"

#include "spar/v1/decomposition_service.pb.h"

namespace spar::client {

// What it is; where it has modules, a line for each.
std::string FormatDecomposition(const v1::Decomposition& decomposition,
                                const Style& style);

// A table for each module that is alive anywhere: a line for each position
// where it is, with the number, causal importance and activation of what is
// alive, strongest first.
std::string FormatImportances(const v1::ImportancesStart& start,
                              const PromptLists& prompt,
                              const Style& style);

}  // namespace spar::client
