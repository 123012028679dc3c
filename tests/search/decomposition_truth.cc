#include "tests/search/decomposition_truth.h"

#include <memory>

#include "gtest/gtest.h"

#include "tests/search/search_testing.h"

namespace spar::search {

using models::UnitScheme;

models::FakeBackendOptions DecomposedToy(uint64_t seed) {
  models::FakeBackendOptions options = ToyOptions(seed);
  options.decompositions = {"other", "main"};
  options.num_components = 5;
  return options;
}

Question DecomposedQuestion(uint64_t seed, UnitScheme scheme, Mode mode) {
  Question question;
  question.tokens = RandomTokens(seed, 6, 24);
  question.options.mode = mode;
  question.options.scheme = scheme;
  question.options.decomposition = "main";
  question.options.sparse_fraction = 1;
  return question;
}

double TrueMargin(models::FakeBackend& backend,
                  const Certificate& c,
                  const std::vector<models::TokenId>& tokens,
                  const std::set<int32_t>& units,
                  const std::set<int32_t>& positions) {
  const bool nodes =
      c.scheme == UnitScheme::kNode || c.scheme == UnitScheme::kNodeAndDelta;
  const bool counts_delta = c.scheme == UnitScheme::kSubcomponentAndDelta ||
                            c.scheme == UnitScheme::kNodeAndDelta;
  constexpr int kModules = 2;
  constexpr int kPerModule = 6;  // five subcomponents, then Delta
  constexpr int kPerPosition = kModules * kPerModule;
  const int length = static_cast<int>(tokens.size());
  const int shift = length - static_cast<int>(c.tokens.size());
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = tokens;
  prompt->target = c.target;
  prompt->reference = c.reference;
  prompt->position_mode = c.position_mode;
  prompt->space =
      nodes ? models::UnitSpace::kNodes : models::UnitSpace::kSubcomponents;
  prompt->decomposition = "main";
  models::Row row;
  row.prompt = prompt;
  row.units = models::IndexSet(kPerPosition * (nodes ? length : 1));
  for (int id = 0; id < row.units.universe(); ++id) {
    const int within = id % kPerPosition;
    const bool delta = within % kPerModule == kPerModule - 1;
    const int own =
        nodes ? within + (id / kPerPosition - shift) * kPerPosition : within;
    if ((delta && !counts_delta) || units.count(own) > 0) row.units.Insert(id);
  }
  row.positions = models::IndexSet(length);
  for (const int32_t t : positions) row.positions.Insert(t + shift);
  const auto margin = backend.EvaluateExactly(row);
  EXPECT_TRUE(margin.ok()) << margin.status();
  return margin.value_or(0);
}

namespace {

double FullMargin(models::FakeBackend& backend,
                  const Certificate& c,
                  const std::vector<models::TokenId>& tokens) {
  auto prompt = std::make_shared<models::Prompt>();
  prompt->tokens = tokens;
  prompt->target = c.target;
  models::Row row;
  row.prompt = prompt;
  row.units = models::IndexSet::All(backend.units().size());
  row.positions = models::IndexSet::All(static_cast<int>(tokens.size()));
  return *backend.EvaluateExactly(row);
}

double Contrast(models::FakeBackend& backend,
                const Certificate& c,
                const std::set<int32_t>& units,
                const std::set<int32_t>& positions) {
  int others = 0;
  for (const auto& control : c.controls) {
    others += TrueMargin(backend, c, control, units, positions) <= 0;
  }
  return static_cast<double>(others) / static_cast<double>(c.controls.size());
}

double Precision(models::FakeBackend& backend,
                 const Certificate& c,
                 const std::set<int32_t>& positions) {
  int says = 0;
  for (std::vector<models::TokenId> sample : c.replacements) {
    for (const int32_t t : positions) sample[t] = c.tokens[t];
    says += FullMargin(backend, c, sample) > 0;
  }
  return static_cast<double>(says) / static_cast<double>(c.replacements.size());
}

}  // namespace

void ExpectHolds(models::FakeBackend& backend, const Certificate& c) {
  const std::set<int32_t> units(c.units.begin(), c.units.end());
  const std::set<int32_t> positions(c.positions.begin(), c.positions.end());
  const double margin = TrueMargin(backend, c, c.tokens, units, positions);
  EXPECT_GT(margin, c.required_margin);
  EXPECT_NEAR(margin, c.margin, 1e-4);
  EXPECT_NEAR(TrueMargin(backend, c, c.tokens, {}, positions), c.margin_empty,
              1e-4);
  EXPECT_NEAR(FullMargin(backend, c, c.tokens), c.margin_full, 1e-4);
  const bool contrast = c.contrast_threshold > 0;
  if (contrast) {
    EXPECT_GE(Contrast(backend, c, units, positions), c.contrast_threshold);
  }
  for (size_t i = 0; i < c.units.size(); ++i) {
    std::set<int32_t> fewer = units;
    fewer.erase(c.units[i]);
    const double without = TrueMargin(backend, c, c.tokens, fewer, positions);
    EXPECT_NEAR(without, c.unit_deletion_margins[i], 1e-4);
    if (without <= c.required_margin) continue;
    ASSERT_TRUE(contrast) << c.unit_names[i] << " is not needed";
    EXPECT_LT(Contrast(backend, c, fewer, positions), c.contrast_threshold)
        << c.unit_names[i];
  }
  size_t next = 0;
  for (const int32_t t : c.positions) {
    if (t + 1 == static_cast<int>(c.tokens.size())) continue;
    std::set<int32_t> fewer = positions;
    fewer.erase(t);
    const double without = TrueMargin(backend, c, c.tokens, units, fewer);
    EXPECT_NEAR(without, c.position_deletion_margins[next++], 1e-4);
    if (without <= c.required_margin) continue;
    ASSERT_EQ(c.mode, Mode::kGrounded) << "position " << t << " is not needed";
    EXPECT_LT(Precision(backend, c, fewer), c.precision_threshold) << t;
  }
}

}  // namespace spar::search
