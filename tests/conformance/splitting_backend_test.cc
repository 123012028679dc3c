#include "models/splitting_backend.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "models/fake_backend.h"
#include "tests/conformance/rows.h"

namespace spar::models {
namespace {

std::vector<GradientRow> HalfMasks(const std::vector<Row>& rows) {
  std::vector<GradientRow> gradient_rows;
  for (const Row& row : rows) {
    gradient_rows.push_back(
        {.prompt = row.prompt,
         .masks = std::vector<float>(row.units.universe(), 0.5f),
         .positions = row.positions});
  }
  return gradient_rows;
}

TEST(SplittingBackend, HalvesABatchUntilItFitsAndKeepsTheOrder) {
  FakeBackend whole;
  auto limited = std::make_unique<FakeBackend>();
  limited->LimitBatchRows(3);
  SplittingBackend splitting(std::move(limited));
  const std::vector<Row> rows = AssortedRows(whole, 1);
  const auto expected = whole.Evaluate(rows);
  const auto results = splitting.Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  ASSERT_EQ(results->size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ((*results)[i].margin, (*expected)[i].margin);
  }

  const std::vector<GradientRow> gradient_rows = HalfMasks(rows);
  const auto expected_gradients = whole.Gradients(gradient_rows);
  const auto gradients = splitting.Gradients(gradient_rows);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ((*gradients)[i].gradient, (*expected_gradients)[i].gradient);
  }
}

TEST(SplittingBackend, RefusesASingleRowThatDoesNotFit) {
  auto inner = std::make_unique<FakeBackend>();
  const absl::Status refusal =
      absl::ResourceExhaustedError("needs 9 bytes; 8 may be used");
  inner->FailRowsWith(5, refusal);
  SplittingBackend splitting(std::move(inner));
  const int num_units = splitting.units().size();
  std::vector<Row> rows;
  for (const TokenId token : {1, 2, 5, 3}) {
    rows.push_back({.prompt = MakePrompt({.tokens = {token}, .target = 4}),
                    .units = IndexSet::All(num_units),
                    .positions = IndexSet::All(1)});
  }
  EXPECT_EQ(splitting.Evaluate(rows).status(), refusal);
}

TEST(SplittingBackend, PassesOtherErrorsOn) {
  auto limited = std::make_unique<FakeBackend>();
  FakeBackend& inner = *limited;
  SplittingBackend splitting(std::move(limited));
  const std::vector<Row> rows = AssortedRows(splitting, 1);
  inner.FailNext(absl::InternalError("broken"));
  EXPECT_EQ(splitting.Evaluate(rows).status(), absl::InternalError("broken"));
  EXPECT_EQ(inner.counters().batches, 1);
}

}  // namespace
}  // namespace spar::models
