#include "models/studies/fact_prompts.h"

#include "base/status.h"
#include "models/demo/episode.h"

namespace spar::studies {
namespace {

const demo::Relation& NamedRelation(std::string_view name) {
  const std::vector<demo::Relation>& relations = demo::TheWorld().relations;
  for (const demo::Relation& relation : relations) {
    if (relation.name == name) return relation;
  }
  INVARIANT(false);
}

std::vector<std::string> EveryOther(const std::vector<std::string>& all,
                                    size_t first) {
  std::vector<std::string> some;
  for (size_t i = first; i < all.size(); i += 2) some.push_back(all[i]);
  return some;
}

}  // namespace

StudiedRelation RelationOf(std::string_view name) {
  StudiedRelation relation{.forth = &NamedRelation(name)};
  if (name == "sport") {
    relation.back = {"$s is the favourite sport of *$a .",
                     "$s is the sport of *$a .",
                     "what is $s ? it is the sport of *$a ."};
  } else {
    INVARIANT(name == "capital");
    relation.back = NamedRelation("country").phrasings;
    relation.taught_back = true;
  }
  return relation;
}

FactPrompt PromptOf(const std::string& phrasing,
                    const std::string& subject,
                    const std::string& answer) {
  demo::Episode episode;
  demo::Say(phrasing, {{'s', subject}, {'a', answer}}, episode);
  INVARIANT(!episode.answers.empty());
  episode.words.resize(episode.answers[0]);
  return {.words = std::move(episode.words), .answer = answer};
}

std::vector<std::string> ChoosingPhrasings(const demo::Relation& relation) {
  return EveryOther(relation.phrasings, 0);
}

std::vector<std::string> JudgingPhrasings(const demo::Relation& relation) {
  return EveryOther(relation.phrasings, 1);
}

}  // namespace spar::studies
