#include "client/prune_answer.h"

#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "tests/client/sample_pruning.h"

namespace spar::client {
namespace {

TEST(PruneReader, NumbersRowsByPromptThenByCoefficient) {
  const auto answer = ReadAll(SampleMessages(2));
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->rows.size(), 6u);
  for (int prompt = 0; prompt < 2; ++prompt) {
    for (int coefficient = 0; coefficient < 3; ++coefficient) {
      const v1::PrunedRow& row =
          answer->rows[static_cast<size_t>(answer->RowOf(prompt, coefficient))];
      EXPECT_EQ(row.prompt_index(), prompt);
      EXPECT_EQ(row.coefficient_index(), coefficient);
    }
  }
  EXPECT_TRUE(answer->explanations.empty());
  EXPECT_EQ(answer->summary.curves_size(), 2);
}

TEST(PruneReader, KeepsExplanationsByRow) {
  std::vector<v1::PruneResponse> messages = SampleMessages();
  for (const int coefficient : {2, 0, 1}) {
    messages.insert(messages.end() - 1, SampleRowExplanation(coefficient));
  }
  const auto answer = ReadAll(messages);
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->explanations.size(), 3u);
  EXPECT_EQ(answer->explanations.at(2).coefficient_index(), 2);
}

TEST(PruneReader, RefusesMessagesThatDoNotFit) {
  using Messages = std::vector<v1::PruneResponse>;
  const std::vector<std::function<void(Messages&)>> breaks = {
      [](Messages& m) { m.erase(m.begin()); },
      [](Messages& m) { m.insert(m.begin(), SampleHeader()); },
      [](Messages& m) { m[0].mutable_header()->clear_coefficients(); },
      [](Messages& m) { m[0].mutable_header()->clear_prompts(); },
      [](Messages& m) { m.pop_back(); },
      [](Messages& m) { m.erase(m.begin() + 2); },
      [](Messages& m) { m[3] = m[2]; },
      [](Messages& m) { m.push_back(SampleRow(0)); },
      [](Messages& m) { m[2].mutable_row()->set_prompt_index(1); },
      [](Messages& m) { m[2].mutable_row()->set_coefficient_index(-1); },
      [](Messages& m) { m[2].mutable_row()->set_coefficient_index(3); },
      [](Messages& m) {
        m[2].mutable_row()->mutable_nodes()->add_importances(1);
      },
      [](Messages& m) { m[2].mutable_row()->mutable_nodes()->set_sites(0, 3); },
      [](Messages& m) {
        m[2].mutable_row()->mutable_nodes()->set_positions(0, 5);
      },
      [](Messages& m) {
        m[2].mutable_row()->mutable_nodes()->set_subcomponents(0, -1);
      },
      [](Messages& m) { m.insert(m.end() - 1, SampleRowExplanation(0)); },
      [](Messages& m) { m.insert(m.end() - 1, 3, SampleRowExplanation(0)); },
      [](Messages& m) { m.back().mutable_summary()->clear_curves(); },
      [](Messages& m) {
        m.back().mutable_summary()->mutable_curves(0)->set_prompt_index(1);
      },
      [](Messages& m) {
        m.back()
            .mutable_summary()
            ->mutable_curves(0)
            ->mutable_points()
            ->RemoveLast();
      },
      [](Messages& m) {
        m.back()
            .mutable_summary()
            ->mutable_curves(0)
            ->mutable_points(0)
            ->set_coefficient_index(3);
      },
  };
  EXPECT_TRUE(ReadAll(SampleMessages()).ok());
  for (size_t i = 0; i < breaks.size(); ++i) {
    Messages messages = SampleMessages();
    breaks[i](messages);
    EXPECT_TRUE(absl::IsDataLoss(ReadAll(messages).status())) << i;
  }
}

}  // namespace
}  // namespace spar::client
