// Whether the answer to a demo query is right, found by reading the prompt:
// nothing here is shared with the code that makes the prompts.
#pragma once

#include "models/demo/corpus.h"

namespace spar::demo {

// Syntax, agreement, induction, brackets and opposites: the answer is the one
// that the prompt's last sentences determine. Facts and their denials: a fact
// of the world about someone or something in the last two sentences says so,
// and nothing there denies it.
bool AnswerFollows(const Query& query);

}  // namespace spar::demo
