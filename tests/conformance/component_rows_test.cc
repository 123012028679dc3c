// Rows over the units of a decomposition: the LibTorch backend and its float64
// checker against plain loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "models/decomposition/random_decomposition.h"
#include "models/splitting_backend.h"
#include "models/torch/torch_backend.h"
#include "tests/conformance/decoders.h"
#include "tests/conformance/plain_rows.h"
#include "tests/conformance/rows.h"

namespace spar::models {
namespace {

constexpr int kComponents = 11;
constexpr char kName[] = "vpd";

// Float32 through three layers of streams of order one, with random factors
// that do not sum up to their weight: logits of order one to ten.
double Tolerance(const Vector& logits) {
  double scale = 1;
  for (const double logit : logits) scale = std::max(scale, std::abs(logit));
  return 2e-4 * scale;
}

const std::vector<std::pair<UnitSpace, UnitScheme>> kSpaces = {
    {UnitSpace::kSubcomponents, UnitScheme::kSubcomponentAndDelta},
    {UnitSpace::kNodes, UnitScheme::kNodeAndDelta}};

std::vector<std::vector<TokenId>> ReferencePrompts(const DecoderSpec& spec) {
  std::mt19937 random(7);
  std::vector<std::vector<TokenId>> prompts;
  for (int i = 0; i < 12; ++i) {
    prompts.push_back(RandomTokens(random, spec.vocab_size,
                                   std::min(1 + i, spec.context_length)));
  }
  return prompts;
}

class ComponentRowsTest : public testing::TestWithParam<NamedDecoder> {
 protected:
  std::unique_ptr<Backend> Make(TorchBackendOptions options = {}) const {
    options.num_threads = 1;
    options.reference_prompts = ReferencePrompts(snapshot_->spec());
    options.decompositions = {{kName, decomposition_}, {"other", other_}};
    auto backend = MakeTorchBackend(snapshot_, options);
    EXPECT_TRUE(backend.ok()) << backend.status();
    return *std::move(backend);
  }

  PlainRows Plain() const {
    return PlainRows(*snapshot_, *decomposition_,
                     ReferencePrompts(snapshot_->spec()));
  }

  UnitTable Units(const Prompt& prompt) const {
    return MakeUnitTable(decomposition_->spec(), prompt.space,
                         static_cast<int>(prompt.tokens.size()));
  }

  // Prompts of three lengths in both spaces, references and position modes.
  std::vector<std::shared_ptr<const Prompt>> Prompts() {
    const DecoderSpec& spec = snapshot_->spec();
    std::vector<std::shared_ptr<const Prompt>> prompts;
    for (const int length : {1, 5, 9}) {
      Prompt prompt;
      prompt.tokens = RandomTokens(random_, spec.vocab_size, length);
      prompt.target = static_cast<TokenId>(random_() % spec.vocab_size);
      prompt.decomposition = kName;
      for (const auto& [space, scheme] : kSpaces) {
        for (const ReferenceKind reference :
             {ReferenceKind::kZero, ReferenceKind::kMean}) {
          for (const PositionMode mode :
               {PositionMode::kKeepIds, PositionMode::kReindex}) {
            prompt.space = space;
            prompt.reference = reference;
            prompt.position_mode = mode;
            prompts.push_back(MakePrompt(prompt));
          }
        }
      }
    }
    return prompts;
  }

  IndexSet SomePositions(int length) {
    IndexSet some = RandomSubset(random_, length, 0.5);
    some.Insert(length - 1);
    return some;
  }

  // What searches ask for: everything, nothing, one unit off of everything and
  // of few, no Deltas, nested and random sets, sparse to full.
  std::vector<Row> Assorted() {
    std::vector<Row> rows;
    for (const auto& prompt : Prompts()) {
      const UnitTable units = Units(*prompt);
      const int length = static_cast<int>(prompt->tokens.size());
      const IndexSet all = IndexSet::All(units.size());
      const auto without_deltas = [&](IndexSet set) {
        for (UnitId unit = 0; unit < units.size(); ++unit) {
          if (units.At(unit).kind == UnitKind::kDelta) set.Remove(unit);
        }
        return set;
      };
      std::vector<IndexSet> sets = {all, IndexSet(units.size()),
                                    without_deltas(all)};
      const auto one_less = [&](IndexSet set) {
        const std::vector<int32_t> members = set.Members();
        if (!members.empty()) set.Remove(members[random_() % members.size()]);
        return set;
      };
      sets.push_back(one_less(all));
      for (const double density : {0.05, 0.5, 0.95}) {
        sets.push_back(RandomSubset(random_, units.size(), density));
        sets.push_back(one_less(sets.back()));
        sets.push_back(without_deltas(sets.back()));
      }
      for (const IndexSet& set : sets) {
        rows.push_back({prompt, set, IndexSet::All(length)});
        rows.push_back({prompt, set, SomePositions(length)});
      }
    }
    return rows;
  }

  const std::shared_ptr<const Snapshot> snapshot_ = GetParam().snapshot;
  const std::shared_ptr<const Decomposition> decomposition_ =
      MakeRandomDecomposition(
          RandomDecompositionSpec(*snapshot_, AllSites(kComponents), CiSpec{}),
          {.seed = 5});
  const std::shared_ptr<const Decomposition> other_ = MakeRandomDecomposition(
      RandomDecompositionSpec(
          *snapshot_, {{ModuleSite::kDown, 7}, {ModuleSite::kO, 3}}, CiSpec{}),
      {.seed = 6});
  std::mt19937 random_{11};
};

TEST_P(ComponentRowsTest, AnswerAsThePlainLoopsDo) {
  const std::unique_ptr<Backend> backend = Make();
  const std::vector<Row> rows = Assorted();
  const auto results = backend->Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  PlainRows plain = Plain();
  for (size_t i = 0; i < rows.size(); ++i) {
    const Vector logits = plain.Logits(rows[i]);
    const TokenId target = rows[i].prompt->target;
    const double margin = PlainRows::Margin(logits, target);
    EXPECT_NEAR((*results)[i].margin, margin, Tolerance(logits)) << "row " << i;
    EXPECT_NEAR((*results)[i].target_logit, logits[target], Tolerance(logits));
    if (i % 5 != 0) continue;
    const auto exact = backend->EvaluateExactly(rows[i]);
    ASSERT_TRUE(exact.ok()) << exact.status();
    EXPECT_NEAR(*exact, margin, 1e-9 * (1 + std::abs(margin))) << "row " << i;
  }
}

TEST_P(ComponentRowsTest, KeepingEverythingIsTheModelItself) {
  const std::unique_ptr<Backend> backend = Make();
  for (const auto& prompt : Prompts()) {
    const int length = static_cast<int>(prompt->tokens.size());
    Prompt plain = *prompt;
    plain.space = UnitSpace::kHeadsAndNeurons;
    plain.decomposition.clear();
    const IndexSet positions = SomePositions(length);
    const Row rows[] = {
        {prompt, IndexSet::All(Units(*prompt).size()), positions},
        {MakePrompt(plain), IndexSet::All(backend->units().size()), positions}};
    const auto results = backend->Evaluate(rows);
    ASSERT_TRUE(results.ok()) << results.status();
    EXPECT_NEAR((*results)[0].margin, (*results)[1].margin, 3e-5);
    EXPECT_NEAR(*backend->EvaluateExactly(rows[0]),
                *backend->EvaluateExactly(rows[1]), 1e-10);
  }
}

TEST_P(ComponentRowsTest, EveryReuseIsExact) {
  const ReuseOptions none = {.batch_rows = false,
                             .share_layers = false,
                             .compact_positions = false,
                             .compact_units = false,
                             .readout_only = false};
  std::vector<ReuseOptions> some(6, none);
  some[0].batch_rows = true;
  some[1].batch_rows = some[1].share_layers = true;
  some[2].compact_positions = true;
  some[3].compact_units = true;
  some[4].readout_only = true;
  some[5] = {};
  std::vector<Row> rows = Assorted();
  std::shuffle(rows.begin(), rows.end(), random_);
  rows.resize(60);
  const auto plain = Make({.reuse = none})->Evaluate(rows);
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (size_t reuse = 0; reuse < some.size(); ++reuse) {
    const auto results = Make({.reuse = some[reuse]})->Evaluate(rows);
    ASSERT_TRUE(results.ok()) << results.status();
    for (size_t i = 0; i < rows.size(); ++i) {
      const double scale =
          std::max(1.0, std::fabs(double{(*plain)[i].target_logit}) +
                            std::fabs(double{(*plain)[i].margin}));
      EXPECT_NEAR((*results)[i].margin, (*plain)[i].margin, 2e-4 * scale)
          << "reuse " << reuse << ", row " << i;
    }
  }
}

// tau_acc stands ten times the noise floor above tau, and final margins come
// from rows alone.
TEST_P(ComponentRowsTest, TheNoiseFloorHoldsForRowsAloneAndTogether) {
  const std::unique_ptr<Backend> backend = Make();
  std::vector<Row> rows = Assorted();
  std::shuffle(rows.begin(), rows.end(), random_);
  rows.resize(200);
  const auto together = backend->Evaluate(rows);
  ASSERT_TRUE(together.ok()) << together.status();
  for (size_t i = 0; i < rows.size(); i += 3) {
    const auto alone = backend->Evaluate(std::span(&rows[i], 1));
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_NEAR((*alone)[0].margin, (*together)[i].margin,
                10 * backend->calibration().noise_floor);
  }
}

TEST_P(ComponentRowsTest, GradientsEqualDifferencesOfThePlainLoops) {
  const std::unique_ptr<Backend> backend = Make();
  std::vector<GradientRow> rows;
  for (const auto& prompt : Prompts()) {
    GradientRow row{.prompt = prompt};
    for (int unit = 0; unit < Units(*prompt).size(); ++unit) {
      const uint32_t draw = random_() % 100;
      row.masks.push_back(draw < 10   ? 0
                          : draw < 20 ? 1
                                      : static_cast<float>(draw) / 100.0f);
    }
    row.positions = SomePositions(static_cast<int>(prompt->tokens.size()));
    rows.push_back(std::move(row));
  }
  const auto results = backend->Gradients(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  PlainRows plain = Plain();
  for (size_t i = 0; i < rows.size(); ++i) {
    const Prompt& prompt = *rows[i].prompt;
    const RowGradient& result = (*results)[i];
    const UnitTable units = Units(prompt);
    ASSERT_EQ(static_cast<int>(result.gradient.size()), units.size());
    Vector masks(rows[i].masks.begin(), rows[i].masks.end());
    const auto logits = [&] {
      return plain.Logits(prompt, rows[i].positions, masks);
    };
    const Vector here = logits();
    const double tolerance = Tolerance(here);
    EXPECT_NEAR(result.margin, PlainRows::Margin(here, prompt.target),
                tolerance);
    EXPECT_NEAR(result.smooth_margin,
                PlainRows::SmoothMargin(here, prompt.target), tolerance);
    double largest = 0;
    for (const float slope : result.gradient) {
      largest = std::max(largest, std::fabs(double{slope}));
    }
    for (int draw = 0; draw < 25; ++draw) {
      // A Delta each fourth time.
      UnitId unit = static_cast<UnitId>(random_() % units.size());
      while (draw % 4 == 0 && units.At(unit).kind != UnitKind::kDelta) {
        unit = (unit + 1) % units.size();
      }
      const double mask = masks[unit];
      constexpr double kStep = 1e-5;
      masks[unit] = mask + kStep;
      const double up = PlainRows::SmoothMargin(logits(), prompt.target);
      masks[unit] = mask - kStep;
      const double down = PlainRows::SmoothMargin(logits(), prompt.target);
      masks[unit] = mask;
      EXPECT_NEAR(result.gradient[unit], (up - down) / (2 * kStep),
                  1e-3 * std::max(1.0, largest))
          << "row " << i << ", " << units.Name(unit);
      const int position = units.At(unit).position;
      if (position >= 0 && !rows[i].positions.Contains(position)) {
        EXPECT_EQ(result.gradient[unit], 0);
      }
    }
  }
}

TEST_P(ComponentRowsTest, OneCallMayHoldRowsOfEveryKind) {
  const std::unique_ptr<Backend> backend = Make();
  std::vector<Row> rows = Assorted();
  std::shuffle(rows.begin(), rows.end(), random_);
  rows.resize(60);
  const std::vector<Row> units = AssortedRows(*backend, 3);
  for (size_t i = 0; i < 60; ++i) rows.push_back(units[i * 3]);
  for (size_t i = 0; i < 20; ++i) {
    Prompt prompt = *rows[i].prompt;
    prompt.decomposition = "other";
    const UnitTable table = MakeUnitTable(
        other_->spec(), prompt.space, static_cast<int>(prompt.tokens.size()));
    rows.push_back({MakePrompt(prompt),
                    RandomSubset(random_, table.size(), 0.6),
                    rows[i].positions});
  }
  std::shuffle(rows.begin(), rows.end(), random_);
  const auto results = backend->Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  std::vector<GradientRow> gradient_rows;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto exact = backend->EvaluateExactly(rows[i]);
    ASSERT_TRUE(exact.ok()) << exact.status();
    const double scale = std::max(
        1.0, std::fabs(double{(*results)[i].target_logit}) + std::fabs(*exact));
    EXPECT_NEAR((*results)[i].margin, *exact, 2e-4 * scale) << "row " << i;
    gradient_rows.push_back({rows[i].prompt,
                             std::vector<float>(rows[i].units.universe(), 0.5f),
                             rows[i].positions});
  }
  const auto gradients = backend->Gradients(gradient_rows);
  ASSERT_TRUE(gradients.ok()) << gradients.status();
  for (size_t i = 0; i < rows.size(); i += 7) {
    const auto alone = backend->Gradients(std::span(&gradient_rows[i], 1));
    ASSERT_TRUE(alone.ok()) << alone.status();
    EXPECT_NEAR((*gradients)[i].smooth_margin, (*alone)[0].smooth_margin, 1e-3);
    ASSERT_EQ((*gradients)[i].gradient.size(), (*alone)[0].gradient.size());
    for (size_t u = 0; u < (*alone)[0].gradient.size(); ++u) {
      EXPECT_NEAR((*gradients)[i].gradient[u], (*alone)[0].gradient[u], 1e-3);
    }
  }
}

TEST_P(ComponentRowsTest, TheOwnPredictionIsTheStrongestToken) {
  const std::unique_ptr<Backend> backend = Make();
  std::vector<Row> rows = Assorted();
  std::shuffle(rows.begin(), rows.end(), random_);
  rows.resize(40);
  for (Row& row : rows) {
    Prompt prompt = *row.prompt;
    prompt.target = kOwnPrediction;
    row.prompt = MakePrompt(prompt);
  }
  const auto results = backend->Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  PlainRows plain = Plain();
  for (size_t i = 0; i < rows.size(); ++i) {
    const Vector logits = plain.Logits(rows[i]);
    EXPECT_GE((*results)[i].margin, 0);
    EXPECT_NEAR(*std::max_element(logits.begin(), logits.end()),
                logits[(*results)[i].target], Tolerance(logits));
  }
}

TEST_P(ComponentRowsTest, ABatchTooLargeIsRefusedAndHalvesDoFit) {
  std::vector<Row> rows = Assorted();
  std::shuffle(rows.begin(), rows.end(), random_);
  rows.resize(60);
  const auto expected = Make()->Evaluate(rows);
  ASSERT_TRUE(expected.ok()) << expected.status();
  const auto refused = Make({.max_batch_bytes = 1000})->Evaluate(rows).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  const auto detail = base::DetailOf(refused);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "BATCH_TOO_LARGE");
  EXPECT_GT(std::stoll(detail->metadata.at("bytes")), 1000);
  SplittingBackend splitting(Make({.max_batch_bytes = 200'000}));
  const auto results = splitting.Evaluate(rows);
  ASSERT_TRUE(results.ok()) << results.status();
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_NEAR((*results)[i].margin, (*expected)[i].margin, 1e-2);
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         ComponentRowsTest,
                         testing::ValuesIn(AllDecoders()),
                         [](const auto& test) { return test.param.name; });

class ComponentRows : public testing::Test {
 protected:
  ComponentRows()
      : snapshot_(MakeRandomSnapshot(SmallModels()[1].shape, false, 3)),
        decomposition_(MakeRandomDecomposition(
            RandomDecompositionSpec(
                *snapshot_, AllSites(kComponents), CiSpec{}),
            {.seed = 5})) {}

  std::unique_ptr<Backend> Make(TorchBackendOptions options) const {
    options.num_threads = 1;
    options.decompositions = {{kName, decomposition_}};
    auto backend = MakeTorchBackend(snapshot_, options);
    EXPECT_TRUE(backend.ok()) << backend.status();
    return *std::move(backend);
  }

  Row SomeRow(Prompt prompt, double density = 0.7) const {
    const int length = static_cast<int>(prompt.tokens.size());
    std::mt19937 random(4);
    const int units =
        MakeUnitTable(decomposition_->spec(), prompt.space, length).size();
    return {MakePrompt(std::move(prompt)), RandomSubset(random, units, density),
            IndexSet::All(length)};
  }

  const std::shared_ptr<const Snapshot> snapshot_;
  const std::shared_ptr<const Decomposition> decomposition_;
};

TEST_F(ComponentRows, HostileOnesAreRefusedByName) {
  const std::unique_ptr<Backend> backend = Make({});
  const auto reason_of = [&](const Row& row) {
    const absl::Status status = backend->Evaluate(std::span(&row, 1)).status();
    EXPECT_EQ(backend->EvaluateExactly(row).status(), status);
    const auto detail = base::DetailOf(status);
    return detail.has_value() ? detail->reason : "";
  };
  const Prompt nodes{.tokens = {1, 2, 3},
                     .target = 4,
                     .space = UnitSpace::kNodes,
                     .decomposition = kName};
  Row row = SomeRow(nodes);
  EXPECT_EQ(reason_of(row), "");
  row.units = IndexSet::All(row.units.universe() - 1);
  EXPECT_EQ(reason_of(row), "ROW_OUT_OF_RANGE");
  Prompt unknown = nodes;
  unknown.decomposition = "unknown";
  EXPECT_EQ(reason_of(SomeRow(unknown)), "DECOMPOSITION_NOT_FOUND");
  Prompt unwanted = nodes;
  unwanted.space = UnitSpace::kHeadsAndNeurons;
  row = SomeRow(nodes);
  row.prompt = MakePrompt(unwanted);
  EXPECT_EQ(reason_of(row), "DECOMPOSITION_NOT_WANTED");
  Prompt mean = nodes;
  mean.reference = ReferenceKind::kMean;
  EXPECT_EQ(reason_of(SomeRow(mean)), "NO_REFERENCE_PROMPTS");
  row = SomeRow(nodes);
  row.positions.Remove(2);
  EXPECT_EQ(reason_of(row), "READOUT_REMOVED");
  GradientRow gradient{.prompt = MakePrompt(nodes),
                       .masks = std::vector<float>(row.units.universe(), 0.5f),
                       .positions = IndexSet::All(3)};
  EXPECT_TRUE(backend->Gradients(std::span(&gradient, 1)).ok());
  gradient.masks[17] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(backend->Gradients(std::span(&gradient, 1)).ok());
}

// A node counts at its position in the whole prompt, whichever are deleted.
TEST_F(ComponentRows, NodesAtDeletedPositionsChangeNothing) {
  const std::unique_ptr<Backend> backend = Make({});
  for (const PositionMode mode :
       {PositionMode::kKeepIds, PositionMode::kReindex}) {
    Row row = SomeRow({.tokens = {5, 6, 7, 8},
                       .target = 4,
                       .position_mode = mode,
                       .space = UnitSpace::kNodes,
                       .decomposition = kName});
    row.positions.Remove(1);
    Row changed = row;
    const int per_position = row.units.universe() / 4;
    for (int unit = per_position; unit < 2 * per_position; ++unit) {
      row.units.Insert(unit);
      changed.units.Remove(unit);
    }
    const auto margin = [&](const Row& of) {
      return (*backend->Evaluate(std::span(&of, 1)))[0].margin;
    };
    EXPECT_EQ(margin(row), margin(changed));
    changed.units.Remove(row.units.Members().front());
    EXPECT_NE(margin(row), margin(changed));
  }
}

// The checker reads the folder's numbers; the engine's are rounded to eight
// bits of mantissa.
TEST_F(ComponentRows, Bfloat16StorageComesClose) {
  const std::unique_ptr<Backend> backend =
      Make({.decomposition_dtype = "bfloat16"});
  for (const auto& [space, scheme] : kSpaces) {
    const Row row = SomeRow({.tokens = {5, 6, 7, 8},
                             .target = 4,
                             .space = space,
                             .decomposition = kName});
    const auto results = backend->Evaluate(std::span(&row, 1));
    ASSERT_TRUE(results.ok()) << results.status();
    const double exact = *backend->EvaluateExactly(row);
    const double scale = std::max(
        1.0, std::fabs(double{(*results)[0].target_logit}) + std::fabs(exact));
    EXPECT_NEAR((*results)[0].margin, exact, 0.1 * scale);
  }
}

TEST_F(ComponentRows, TwinsAnswerAlike) {
  TorchBackendOptions options;
  options.num_threads = 1;
  options.decompositions = {{kName, decomposition_}};
  options.reference_prompts = {{1, 2, 3}, {4, 5}};
  const auto backends = MakeTorchBackends(snapshot_, options, 2);
  ASSERT_TRUE(backends.ok()) << backends.status();
  ASSERT_EQ(backends->size(), 2u);
  const Row row = SomeRow({.tokens = {5, 6, 7, 8},
                           .target = 4,
                           .reference = ReferenceKind::kMean,
                           .space = UnitSpace::kNodes,
                           .decomposition = kName});
  const auto first = (*backends)[0]->Evaluate(std::span(&row, 1));
  const auto second = (*backends)[1]->Evaluate(std::span(&row, 1));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ((*first)[0].margin, (*second)[0].margin);
}

}  // namespace
}  // namespace spar::models
