// L5. Prunings as people read them.
#pragma once

#include <string>

#include "client/prune_answer.h"
#include "client/style.h"

namespace spar::client {

// What was pruned, how and in which time; one line.
std::string FormatPruning(const PruneAnswer& answer, const Style& style);

// One prompt: what the model says, its curve of size against loss as a table, a
// line for each price by size, then what the chosen row's runs say and its
// nodes as a map. Of the explanations only sizes are told.
std::string FormatPrunedPrompt(const PruneAnswer& answer,
                               int prompt_index,
                               const Style& style);

// The row that FormatPrunedPrompt chooses, as PruneAnswer numbers them.
int ChosenRow(const PruneAnswer& answer, int prompt_index);

}  // namespace spar::client
