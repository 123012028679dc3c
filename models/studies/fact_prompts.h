// L1. Prompts that ask the demo model for facts of its world, in the direction
// in which it was taught them and in the other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/demo/world.h"

namespace spar::studies {

// A prompt that the answer follows.
struct FactPrompt {
  demo::Words words = {};
  std::string answer = {};

  friend bool operator==(const FactPrompt&, const FactPrompt&) = default;
};

// A relation of TheWorld() and how its answers are asked for their subjects.
struct StudiedRelation {
  const demo::Relation* forth = nullptr;
  // In them "$s" is the answer of the fact, "*$a" its subject.
  std::vector<std::string> back = {};
  // Whether the corpus asks that way, too.
  bool taught_back = false;
};

// "sport", whose other direction the corpus does not hold, and "capital", whose
// other direction it does.
StudiedRelation RelationOf(std::string_view name);

// The phrasing's words before its answer. Aborts on a phrasing without one.
FactPrompt PromptOf(const std::string& phrasing,
                    const std::string& subject,
                    const std::string& answer);

// Phrasings that choose what to suppress, and those that say what came of it:
// every other one each.
std::vector<std::string> ChoosingPhrasings(const demo::Relation& relation);
std::vector<std::string> JudgingPhrasings(const demo::Relation& relation);

}  // namespace spar::studies
