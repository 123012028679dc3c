// L1. One small text of the demo corpus, and how such texts are made.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "models/demo/random.h"
#include "models/demo/world.h"

namespace spar::demo {

enum class QueryType {
  kSyntax,     // "neither the king" -> nor
  kFact,       // "the capital of france is" -> paris
  kNegation,   // "the door is not open . it is" -> closed
  kAgreement,  // "the keys , near the old house ," -> are
  kInduction,  // "vek zab mip again vek" -> zab
  kBrackets,   // "( [ { zab ; }" -> ]
};

inline constexpr QueryType kQueryTypes[] = {
    QueryType::kSyntax,    QueryType::kFact,      QueryType::kNegation,
    QueryType::kAgreement, QueryType::kInduction, QueryType::kBrackets};

std::string_view QueryTypeName(QueryType type);  // "syntax", "fact", ...

struct Episode {
  QueryType type = QueryType::kSyntax;
  Words words = {};
  // Indices into words whose word the ones before it determine.
  std::vector<int> answers = {};
  // Per word: whether an answer may hang on it.
  std::vector<bool> essential = {};
  // What decides whether this text is held out of training.
  std::string key = {};
};

using Slots = std::map<char, std::string>;

// Appends a template to the episode. "$x" is the slot's text and essential; a
// word after "*" is an answer, after "!" essential.
void Say(std::string_view text, const Slots& slots, Episode& episode);

// One episode of a type. Facts and their denials vary only where the held-out
// key says so; the key of every other type is its whole text.
Episode MakeEpisode(QueryType type, Random& random);

// Every word that an episode can hold, sorted.
Words CorpusWords();

}  // namespace spar::demo
