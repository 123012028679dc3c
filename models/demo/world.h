// L1. The small world that the demo model knows: words and facts.
//
// Countries are real; what people do is invented once, from a fixed seed.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace spar::demo {

using Words = std::vector<std::string>;

// Splits at single spaces.
Words SplitWords(std::string_view text);
// Joins by single spaces.
std::string JoinWords(const Words& words);

// A thing or a being with its two forms.
struct Noun {
  std::string singular = {};
  std::string plural = {};
};

// A relation with every (subject, answer) pair and the ways to say it. In a
// phrasing "$s" is the subject and "*$a" the answer, which ends the query.
struct Relation {
  std::string name = {};
  std::vector<std::array<std::string, 2>> facts = {};
  std::vector<std::string> phrasings = {};
  // Ways to deny a wrong answer "$w" first; empty where none is natural.
  std::vector<std::string> denials = {};
};

struct World {
  std::vector<Relation> relations = {};
  Words women = {};  // first names
  Words men = {};
  std::vector<Noun> things = {};
  std::vector<Noun> women_nouns = {};  // queen, queens
  std::vector<Noun> men_nouns = {};
  Words adjectives = {};  // of things, for noun phrases
  std::vector<std::array<std::string, 2>> opposites = {};
  Words prepositions = {};  // of place
  Words cities = {};
  Words nonsense = {};  // words that mean nothing
};

// Built once; immutable.
const World& TheWorld();

}  // namespace spar::demo
