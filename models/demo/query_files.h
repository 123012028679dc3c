// L1. The text files of held-out prompts that come with the demo model.
#pragma once

#include <string>

namespace spar::demo {

// reference_prompts.txt: 512 prompts of 6 to 30 words, the types in turn.
std::string ReferencePromptsText();

// queries.txt: 50 queries of each type, up to 30 words long, a line each:
// type, tab, prompt, tab, answer. Other queries than the reference prompts.
std::string QueriesText();

}  // namespace spar::demo
