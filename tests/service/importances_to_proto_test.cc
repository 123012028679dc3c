// Importances as messages: what does not fit in one goes on in the next.
#include "server/service/importances_to_proto.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "server/service/limits.h"
#include "tests/service/word_tokenizer.h"

namespace spar::service {
namespace {

struct Entry {
  int module = 0;
  int position = 0;
  int component = 0;
  float importance = 0;
  float activation = 0;

  friend bool operator==(const Entry&, const Entry&) = default;
};

// counts: [module][position], numbers are distinct and far apart.
search::ImportanceAnswer Answer(const std::vector<std::vector<int>>& counts) {
  search::ImportanceAnswer answer;
  for (const std::vector<int>& module : counts) {
    models::ModuleImportances& to = answer.modules.emplace_back();
    for (const int count : module) {
      for (int i = 0; i < count; ++i) {
        to.component.push_back(7 * i + 3);
        to.importance.push_back(static_cast<float>(i) + 0.5f);
        to.activation.push_back(-static_cast<float>(i));
      }
      to.begin.push_back(std::ssize(to.component));
    }
    answer.num_entries += std::ssize(to.component);
  }
  return answer;
}

std::vector<Entry> Entries(const search::ImportanceAnswer& answer) {
  std::vector<Entry> entries;
  for (size_t m = 0; m < answer.modules.size(); ++m) {
    const models::ModuleImportances& module = answer.modules[m];
    for (size_t t = 0; t + 1 < module.begin.size(); ++t) {
      for (int64_t e = module.begin[t]; e < module.begin[t + 1]; ++e) {
        entries.push_back({static_cast<int>(m), static_cast<int>(t),
                           module.component[e], module.importance[e],
                           module.activation[e]});
      }
    }
  }
  return entries;
}

void Append(const v1::PromptImportances& message, std::vector<Entry>& to) {
  for (const v1::ModuleImportances& module : message.modules()) {
    int entry = 0;
    for (int i = 0; i < module.counts_size(); ++i) {
      int number = 0;
      for (int k = 0; k < module.counts(i); ++k, ++entry) {
        number += module.subcomponent_deltas(entry);
        to.push_back({module.module(), module.first_position() + i, number,
                      module.importances(entry), module.activations(entry)});
      }
    }
    EXPECT_EQ(entry, module.importances_size());
    EXPECT_EQ(entry, module.activations_size());
    EXPECT_EQ(entry, module.subcomponent_deltas_size());
  }
}

TEST(ImportanceMessages, GoOnWhereTheLastOneEnded) {
  const auto tokenizer = testing::MakeWordTokenizer(24);
  const int full = kMaxEntriesPerMessage;
  // Positions and modules that straddle messages, that fill one, that are
  // empty; and more tokens than a message takes beside entries.
  const std::vector<search::ImportanceAnswer> answers = {
      Answer({{0, 2, 0}, {0, 0, 0}, {1, 0, 3}}),
      Answer({{full - 200, 500, 0, 1}, {0, 0, 0, 2 * full + 17}}),
      Answer({std::vector<int>(5'000, 0)}),
      Answer({std::vector<int>(6'000, 60)}),
  };
  std::vector<std::vector<models::TokenId>> prompts;
  for (const search::ImportanceAnswer& answer : answers) {
    prompts.emplace_back(answer.modules[0].begin.size() - 1, 5);
  }
  ImportanceMessages messages(answers, 10, prompts, tokenizer.get());
  std::vector<std::vector<Entry>> got(answers.size());
  std::vector<int> tokens(answers.size());
  v1::PromptImportances message;
  int last = 10;
  int count = 0;
  while (messages.Next(&message)) {
    ASSERT_LT(++count, 100);
    ASSERT_GE(message.prompt(), last);
    last = message.prompt();
    const size_t p = static_cast<size_t>(last) - 10;
    EXPECT_LT(message.ByteSizeLong(), size_t{4} << 20);
    EXPECT_EQ(message.token_count(), std::ssize(prompts[p]));
    EXPECT_EQ(message.entry_count(), answers[p].num_entries);
    EXPECT_TRUE(message.tokens_size() > 0 || message.modules_size() > 0);
    for (const v1::Token& token : message.tokens()) EXPECT_EQ(token.id(), 5);
    tokens[p] += message.tokens_size();
    Append(message, got[p]);
  }
  for (size_t p = 0; p < answers.size(); ++p) {
    EXPECT_EQ(tokens[p], std::ssize(prompts[p]));
    EXPECT_EQ(got[p], Entries(answers[p])) << p;
  }
  EXPECT_FALSE(messages.Next(&message));
}

}  // namespace
}  // namespace spar::service
