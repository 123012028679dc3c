// The demo corpus: its answers follow from its texts, and what is held out of
// training never occurs in it.
#include "models/demo/corpus.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "models/demo/vocabulary.h"
#include "tests/models/demo/oracle.h"

namespace spar::demo {
namespace {

constexpr int kSamples = 2000;

TEST(DemoCorpus, EveryAnswerFollowsFromItsPrompt) {
  for (const Query& query : HeldOutQueries(6 * kSamples, {}, 11)) {
    ASSERT_TRUE(AnswerFollows(query))
        << QueryTypeName(query.type) << ": " << JoinWords(query.prompt)
        << " -> " << query.answer;
  }
}

TEST(DemoCorpus, AWrongAnswerDoesNotFollow) {
  int wrong = 0;
  std::vector<Query> queries = HeldOutQueries(6 * kSamples, {}, 12);
  for (Query& query : queries) {
    query.answer = "again";
    wrong += AnswerFollows(query) ? 0 : 1;
  }
  EXPECT_EQ(wrong, static_cast<int>(queries.size()));
}

TEST(DemoCorpus, HeldOutFactsAreNeverSaidThatWayInTraining) {
  std::set<std::string> asked;
  Random random(13);
  for (int i = 0; i < kSamples; ++i) {
    const Episode episode =
        NextEpisode(QueryType::kFact, Split::kHeldOut, random);
    asked.insert(JoinWords(episode.words));
  }
  for (int i = 0; i < 20 * kSamples; ++i) {
    const Episode episode =
        NextEpisode(QueryType::kFact, Split::kTraining, random);
    ASSERT_FALSE(asked.contains(JoinWords(episode.words)))
        << JoinWords(episode.words);
  }
}

TEST(DemoCorpus, EveryFactIsSaidInTraining) {
  std::set<std::string> said;
  Random random(14);
  for (int i = 0; i < 40 * kSamples; ++i) {
    const Episode episode =
        NextEpisode(QueryType::kFact, Split::kTraining, random);
    said.insert(episode.key.substr(0, episode.key.find('|')) + " " +
                episode.words[episode.answers.back()]);
  }
  int facts = 0;
  for (const Relation& relation : TheWorld().relations) {
    for (const auto& fact : relation.facts) {
      ++facts;
      EXPECT_TRUE(said.contains(fact[0] + " " + fact[1]))
          << relation.name << " of " << fact[0];
    }
  }
  EXPECT_GE(facts, 400);
}

TEST(DemoCorpus, SubjectsOfARelationAreDistinct) {
  for (const Relation& relation : TheWorld().relations) {
    std::set<std::string> subjects;
    for (const auto& fact : relation.facts) {
      EXPECT_TRUE(subjects.insert(fact[0]).second) << fact[0];
    }
  }
}

TEST(DemoCorpus, EveryWordIsInTheVocabulary) {
  const Vocabulary vocabulary(CorpusWords());
  EXPECT_LE(vocabulary.size(), 2000);
  Random random(15);
  for (int i = 0; i < kSamples; ++i) {
    for (const std::string& word : TrainingStretch(64, random).words) {
      ASSERT_NE(vocabulary.Id(word), 0) << word;
    }
  }
}

TEST(DemoCorpus, AnswersOfAStretchBeginInsideIt) {
  Random random(16);
  int answers = 0;
  for (int i = 0; i < kSamples; ++i) {
    const Stretch stretch = TrainingStretch(64, random);
    ASSERT_EQ(stretch.words.size(), 64u);
    ASSERT_EQ(stretch.answer.size(), 64u);
    ASSERT_EQ(stretch.essential.size(), 64u);
    ASSERT_FALSE(stretch.answer[0]);
    for (size_t j = 0; j < stretch.words.size(); ++j) {
      answers += stretch.answer[j] ? 1 : 0;
      EXPECT_TRUE(stretch.essential[j] || !stretch.answer[j]);
    }
  }
  EXPECT_GE(answers, 4 * kSamples);
}

TEST(DemoCorpus, QueriesFitTheBoundsAsked) {
  const QueryOptions options{
      .max_distractors = 2, .min_words = 6, .max_words = 30};
  const auto queries = HeldOutQueries(kSamples, options, 17);
  for (size_t i = 0; i < queries.size(); ++i) {
    EXPECT_EQ(queries[i].type, kQueryTypes[i % 6]);
    EXPECT_GE(queries[i].prompt.size(), 6u);
    EXPECT_LE(queries[i].prompt.size(), 30u);
  }
}

TEST(DemoCorpus, TheSameSeedGivesTheSameQueries) {
  const auto one = HeldOutQueries(60, {}, 18);
  const auto two = HeldOutQueries(60, {}, 18);
  const auto other = HeldOutQueries(60, {}, 19);
  int equal = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].prompt, two[i].prompt);
    equal += one[i].prompt == other[i].prompt ? 1 : 0;
  }
  EXPECT_LT(equal, 5);
}

TEST(DemoCorpus, AgreementReachesOverTwentyWords) {
  Random random(20);
  int far = 0;
  for (int i = 0; i < kSamples; ++i) {
    const Episode episode =
        NextEpisode(QueryType::kAgreement, Split::kHeldOut, random);
    far += episode.answers.front() >= 22 ? 1 : 0;
  }
  EXPECT_GE(far, kSamples / 20);
}

}  // namespace
}  // namespace spar::demo
