#include "client/prompt_lists.h"

#include <functional>
#include <string>

#include <gtest/gtest.h>

namespace spar::client {
namespace {

v1::ImportancesResponse Start(int num_prompts) {
  v1::ImportancesResponse message;
  message.mutable_start()->set_prompt_count(num_prompts);
  message.mutable_start()->add_modules()->set_subcomponent_count(10);
  message.mutable_start()->add_modules()->set_subcomponent_count(3);
  return message;
}

// Two tokens; two entries of one position, the first of three in all.
v1::ImportancesResponse First() {
  v1::ImportancesResponse message;
  v1::PromptImportances& prompt = *message.mutable_importances();
  prompt.add_tokens()->set_id(4);
  prompt.add_tokens()->set_id(5);
  prompt.set_token_count(2);
  prompt.set_entry_count(3);
  prompt.set_cut_count(8);
  v1::ModuleImportances& lists = *prompt.add_modules();
  lists.set_first_position(1);
  lists.add_counts(2);
  for (const int delta : {2, 5}) {
    lists.add_subcomponent_deltas(delta);
    lists.add_importances(0.5f);
    lists.add_activations(static_cast<float>(delta));
  }
  return message;
}

// The rest, at the same position of the same module.
v1::ImportancesResponse Second() {
  v1::ImportancesResponse message = First();
  v1::PromptImportances& prompt = *message.mutable_importances();
  prompt.clear_tokens();
  v1::ModuleImportances& lists = *prompt.mutable_modules(0);
  lists.set_counts(0, 1);
  lists.clear_subcomponent_deltas();
  lists.add_subcomponent_deltas(9);
  lists.mutable_importances()->Truncate(1);
  lists.mutable_activations()->Truncate(1);
  return message;
}

TEST(PromptReader, PutsAPromptTogether) {
  PromptReader reader;
  ASSERT_TRUE(reader.Add(Start(1)).ok());
  EXPECT_FALSE(reader.Finish().ok());
  ASSERT_TRUE(reader.Add(First()).ok());
  EXPECT_FALSE(reader.Take().has_value());
  const absl::Status added = reader.Add(Second());
  ASSERT_TRUE(added.ok()) << added;
  const std::optional<PromptLists> prompt = reader.Take();
  ASSERT_TRUE(prompt.has_value());
  EXPECT_FALSE(reader.Take().has_value());
  EXPECT_EQ(prompt->tokens.size(), 2u);
  EXPECT_EQ(prompt->num_entries, 3);
  EXPECT_EQ(prompt->num_cut, 8);
  ASSERT_EQ(prompt->modules.size(), 2u);
  EXPECT_TRUE(prompt->modules[1].empty());
  ASSERT_EQ(prompt->modules[0].size(), 1u);
  const std::vector<AliveSubcomponent> want = {
      {2, 0.5f, 2}, {7, 0.5f, 5}, {9, 0.5f, 2}};
  EXPECT_EQ(prompt->modules[0].at(1), want);
  EXPECT_TRUE(reader.Finish().ok());
}

TEST(PromptReader, RefusesWhatDoesNotFit) {
  const std::function<void(v1::PromptImportances&)> spoilers[] = {
      [](auto& p) { p.set_prompt(1); },
      [](auto& p) { p.add_tokens(); },
      [](auto& p) { p.set_entry_count(1); },
      [](auto& p) { p.mutable_modules(0)->set_module(2); },
      [](auto& p) { p.mutable_modules(0)->set_module(-1); },
      [](auto& p) { p.mutable_modules(0)->set_module(1); },
      [](auto& p) { p.mutable_modules(0)->set_first_position(-1); },
      [](auto& p) { p.mutable_modules(0)->set_first_position(2); },
      [](auto& p) { p.mutable_modules(0)->set_first_position(2147483647); },
      [](auto& p) { p.mutable_modules(0)->set_counts(0, 1); },
      [](auto& p) { p.mutable_modules(0)->set_counts(0, 3); },
      [](auto& p) { p.mutable_modules(0)->set_counts(0, -2); },
      [](auto& p) { p.mutable_modules(0)->clear_importances(); },
      [](auto& p) { p.mutable_modules(0)->clear_activations(); },
      [](auto& p) { p.mutable_modules(0)->set_subcomponent_deltas(1, 0); },
      [](auto& p) { p.mutable_modules(0)->set_subcomponent_deltas(0, -1); },
      [](auto& p) { p.mutable_modules(0)->set_subcomponent_deltas(1, 8); },
  };
  int number = 0;
  for (const auto& spoil : spoilers) {
    PromptReader reader;
    ASSERT_TRUE(reader.Add(Start(1)).ok());
    v1::ImportancesResponse message = First();
    spoil(*message.mutable_importances());
    EXPECT_TRUE(absl::IsDataLoss(reader.Add(message))) << number;
    ++number;
  }
  PromptReader unstarted;
  EXPECT_TRUE(absl::IsDataLoss(unstarted.Add(First())));
  ASSERT_TRUE(unstarted.Add(Start(2)).ok());
  EXPECT_TRUE(absl::IsDataLoss(unstarted.Add(Start(2))));
}

}  // namespace
}  // namespace spar::client
