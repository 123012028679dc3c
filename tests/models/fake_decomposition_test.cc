// Rows of subcomponents and nodes of the toy model: other tests rely on it.
#include "models/fake_decomposition.h"

#include <cmath>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/fake_backend.h"

namespace spar::models {
namespace {

constexpr UnitSpace kSpaces[] = {UnitSpace::kSubcomponents, UnitSpace::kNodes};

FakeBackendOptions Options(double interaction = 1) {
  FakeBackendOptions options;
  options.interaction = interaction;
  options.decompositions = {"first", "second"};
  options.reference_prompts = {{1, 2, 3}, {4}, {5, 6, 7, 8}};
  options.num_components = 5;
  return options;
}

Prompt PromptOf(UnitSpace space, ReferenceKind reference) {
  Prompt prompt;
  prompt.tokens = {3, 9, 1, 14};
  prompt.target = 2;
  prompt.reference = reference;
  prompt.space = space;
  if (space != UnitSpace::kHeadsAndNeurons) prompt.decomposition = "second";
  return prompt;
}

int NumUnits(const FakeBackend& backend, const Prompt& prompt) {
  return static_cast<int>(
      CountUnits(*backend.FindDecomposition(prompt.decomposition), prompt.space,
                 static_cast<int>(prompt.tokens.size())));
}

Row RowOf(const Prompt& prompt, IndexSet units, IndexSet positions) {
  Row row;
  row.prompt = std::make_shared<const Prompt>(prompt);
  row.units = std::move(units);
  row.positions = std::move(positions);
  return row;
}

TEST(FakeDecompositionRows, AreThePlainModelWhereEverythingIsOn) {
  FakeBackend backend(Options());
  const IndexSet positions(4, std::vector<int32_t>{0, 2, 3});
  for (const UnitSpace space : kSpaces) {
    for (const auto reference : {ReferenceKind::kZero, ReferenceKind::kMean}) {
      const Prompt prompt = PromptOf(space, reference);
      const Prompt plain = PromptOf(UnitSpace::kHeadsAndNeurons, reference);
      const auto masked = backend.EvaluateExactly(
          RowOf(prompt, IndexSet::All(NumUnits(backend, prompt)), positions));
      const auto whole = backend.EvaluateExactly(
          RowOf(plain, IndexSet::All(backend.units().size()), positions));
      ASSERT_TRUE(masked.ok() && whole.ok()) << masked.status();
      EXPECT_DOUBLE_EQ(*masked, *whole);
    }
  }
}

TEST(FakeDecompositionRows, GradientsAreDifferencesOfMargins) {
  FakeBackend backend(Options());
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(0.1f, 0.9f);
  for (const UnitSpace space : kSpaces) {
    for (const auto reference : {ReferenceKind::kZero, ReferenceKind::kMean}) {
      GradientRow row;
      row.prompt = std::make_shared<const Prompt>(PromptOf(space, reference));
      row.positions = IndexSet(4, std::vector<int32_t>{1, 3});
      for (int i = 0; i < NumUnits(backend, *row.prompt); ++i) {
        row.masks.push_back(uniform(random));
      }
      const auto at = backend.Gradients(std::span(&row, 1));
      ASSERT_TRUE(at.ok()) << at.status();
      int moved = 0;
      for (size_t id = 0; id < row.masks.size(); ++id) {
        constexpr float kStep = 4e-3f;
        std::vector<GradientRow> both(2, row);
        both[0].masks[id] += kStep;
        both[1].masks[id] -= kStep;
        const auto ends = backend.Gradients(both);
        ASSERT_TRUE(ends.ok());
        const double difference =
            ((*ends)[0].smooth_margin - (*ends)[1].smooth_margin) /
            (double{both[0].masks[id]} - both[1].masks[id]);
        EXPECT_NEAR((*at)[0].gradient[id], difference, 1e-3) << id;
        moved += (*at)[0].gradient[id] != 0;
      }
      // Nodes at deleted positions move nothing; all else does.
      EXPECT_EQ(moved, space == UnitSpace::kNodes ? 24 : 12);
    }
  }
}

TEST(FakeDecompositionRows, ANodeEverywhereIsItsSubcomponent) {
  FakeBackend backend(Options());
  const Prompt nodes = PromptOf(UnitSpace::kNodes, ReferenceKind::kMean);
  const Prompt shared =
      PromptOf(UnitSpace::kSubcomponents, ReferenceKind::kMean);
  std::mt19937 random(3);
  for (int trial = 0; trial < 20; ++trial) {
    IndexSet units(NumUnits(backend, shared));
    IndexSet everywhere(NumUnits(backend, nodes));
    for (int id = 0; id < units.universe(); ++id) {
      if (random() % 2 == 0) continue;
      units.Insert(id);
      for (int t = 0; t < 4; ++t) everywhere.Insert(t * units.universe() + id);
    }
    const auto one =
        backend.EvaluateExactly(RowOf(shared, units, IndexSet::All(4)));
    const auto other =
        backend.EvaluateExactly(RowOf(nodes, everywhere, IndexSet::All(4)));
    ASSERT_TRUE(one.ok() && other.ok());
    EXPECT_DOUBLE_EQ(*one, *other);
  }
}

TEST(FakeDecompositionRows, EvaluateIsTheExactRowRounded) {
  FakeBackend backend(Options());
  std::mt19937 random(5);
  std::vector<Row> rows;
  for (const UnitSpace space : kSpaces) {
    const Prompt prompt = PromptOf(space, ReferenceKind::kZero);
    for (int i = 0; i < 10; ++i) {
      IndexSet units(NumUnits(backend, prompt));
      for (int id = 0; id < units.universe(); ++id) {
        if (random() % 3 != 0) units.Insert(id);
      }
      rows.push_back(RowOf(prompt, std::move(units), IndexSet::All(4)));
    }
  }
  const auto results = backend.Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ((*results)[i].margin,
              static_cast<float>(*backend.EvaluateExactly(rows[i])));
  }
}

TEST(FakeDecompositionRows, RefuseWhatIsNotTheirUniverse) {
  FakeBackend backend(Options());
  Prompt prompt = PromptOf(UnitSpace::kNodes, ReferenceKind::kZero);
  const Row small = RowOf(prompt, IndexSet::All(12), IndexSet::All(4));
  EXPECT_EQ(backend.Evaluate(std::span(&small, 1)).status().code(),
            absl::StatusCode::kInvalidArgument);
  prompt.decomposition = "third";
  const Row unknown = RowOf(prompt, IndexSet::All(48), IndexSet::All(4));
  EXPECT_EQ(base::DetailOf(backend.EvaluateExactly(unknown).status())->reason,
            "DECOMPOSITION_NOT_FOUND");
}

}  // namespace
}  // namespace spar::models
