// The prompts of the study of facts are of the demo model's own language.
#include "models/studies/fact_prompts.h"

#include <set>

#include <gtest/gtest.h>

#include "models/demo/episode.h"
#include "models/demo/vocabulary.h"

namespace spar::studies {
namespace {

TEST(FactPrompts, EndBeforeTheAnswer) {
  const FactPrompt prompt =
      PromptOf("what does $s play ? $s plays *$a .", "anna", "golf");
  EXPECT_EQ(demo::JoinWords(prompt.words), "what does anna play ? anna plays");
  EXPECT_EQ(prompt.answer, "golf");
}

TEST(FactPrompts, ChooseAndJudgeInDifferentWords) {
  const demo::Relation& relation = *RelationOf("sport").forth;
  const auto choosing = ChoosingPhrasings(relation);
  const auto judging = JudgingPhrasings(relation);
  EXPECT_EQ(choosing.size() + judging.size(), relation.phrasings.size());
  std::set<std::string> all(choosing.begin(), choosing.end());
  all.insert(judging.begin(), judging.end());
  EXPECT_EQ(all.size(), relation.phrasings.size());
}

TEST(FactPrompts, HoldKnownWordsInBothDirections) {
  const demo::Vocabulary vocabulary(demo::CorpusWords());
  for (const char* name : {"sport", "capital"}) {
    const StudiedRelation relation = RelationOf(name);
    for (const auto& [subject, answer] : relation.forth->facts) {
      for (const std::string& phrasing : relation.back) {
        const FactPrompt prompt = PromptOf(phrasing, answer, subject);
        EXPECT_EQ(prompt.answer, subject);
        for (const models::TokenId id : vocabulary.Ids(prompt.words)) {
          EXPECT_NE(id, 0) << demo::JoinWords(prompt.words);
        }
      }
    }
  }
}

// The claim that the study rests on: no phrasing of the corpus has a sport
// before the person whose it is, and capitals are asked both ways.
TEST(FactPrompts, SayWhichDirectionWasTaught) {
  EXPECT_FALSE(RelationOf("sport").taught_back);
  EXPECT_TRUE(RelationOf("capital").taught_back);
  const auto& relations = demo::TheWorld().relations;
  const demo::Relation& sports = *RelationOf("sport").forth;
  const demo::Relation& capitals = *RelationOf("capital").forth;
  std::set<std::string> answers_first;
  for (const demo::Relation& relation : relations) {
    for (const auto& [subject, answer] : relation.facts) {
      answers_first.insert(subject + " " + answer);
    }
  }
  for (const auto& [person, sport] : sports.facts) {
    EXPECT_FALSE(answers_first.contains(sport + " " + person));
  }
  for (const auto& [country, city] : capitals.facts) {
    EXPECT_TRUE(answers_first.contains(city + " " + country));
  }
}

}  // namespace
}  // namespace spar::studies
