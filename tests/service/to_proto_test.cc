#include "server/service/to_proto.h"

#include <numeric>
#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "server/search/certificate.h"
#include "server/service/limits.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

std::vector<int32_t> Undelta(
    const google::protobuf::RepeatedField<int32_t>& deltas) {
  std::vector<int32_t> ids(deltas.begin(), deltas.end());
  std::partial_sum(ids.begin(), ids.end(), ids.begin());
  return ids;
}

class ToProtoTest : public ::testing::Test {
 protected:
  testing::ScriptedExplainer* explainer_ = nullptr;
  const ServedModel model_ = testing::MakeServedModel("toy", &explainer_);
  const AnswerContext context_{.model = &model_,
                               .tokens = {3, 1, 4, 1, 5},
                               .units = model_.explainer->units(),
                               .num_units = 24};
};

TEST_F(ToProtoTest, DescribesAModel) {
  v1::Model model;
  ToProto(model_, &model);
  EXPECT_EQ(model.name(), "models/toy");
  EXPECT_EQ(model.digest(), explainer_->info().digest);
  EXPECT_EQ(model.layer_count(), 2);
  EXPECT_EQ(model.head_count(), 2);
  EXPECT_EQ(model.neuron_count(), 10);
  EXPECT_EQ(model.vocab_size(), 24);
  EXPECT_EQ(model.context_length(), 32);
  EXPECT_EQ(model.unit_count(), 24);
  EXPECT_EQ(model.noise_floor(), explainer_->calibration().noise_floor);
  EXPECT_FALSE(model.has_reference_prompts());
  EXPECT_EQ(model.load_time().seconds(), 1'700'000'000);
  EXPECT_EQ(model.load_time().nanos(), 0);
}

TEST_F(ToProtoTest, NamesTheUnitsAndTokensOfAnEvent) {
  search::Event event;
  event.sequence = 7;
  event.phase = search::Phase::kDeletion;
  event.units = {1, 5, 23};
  event.positions = {2, 4};
  event.margin = 0.5;
  event.effort = {.rows = 9, .gradient_rows = 2, .rounds = 3, .seconds = 1.25};
  v1::CrystallizeEvent wire;
  ToProto(event, context_, &wire);
  EXPECT_EQ(wire.sequence(), 7);
  EXPECT_EQ(wire.phase(), v1::PHASE_DELETION);
  ASSERT_EQ(wire.units_size(), 3);
  EXPECT_EQ(wire.units(0).kind(), "head");
  EXPECT_EQ(wire.units(0).index(), 1);
  EXPECT_EQ(wire.units(1).kind(), "neuron");
  EXPECT_EQ(wire.units(1).index(), 3);
  EXPECT_EQ(wire.units(2).layer(), 1);
  EXPECT_EQ(wire.units(2).name(), explainer_->units().Name(23));
  EXPECT_EQ(Undelta(wire.unit_id_deltas()), event.units);
  EXPECT_EQ(wire.kept_unit_count(), 3);
  EXPECT_EQ(wire.unit_count(), 24);
  ASSERT_EQ(wire.positions_size(), 2);
  EXPECT_EQ(wire.positions(1).index(), 4);
  EXPECT_EQ(wire.positions(1).token().id(), 5);
  EXPECT_EQ(wire.positions(1).token().text(), "t5");
  EXPECT_EQ(wire.margin(), 0.5);
  EXPECT_EQ(wire.effort().row_count(), 9);
  EXPECT_EQ(wire.effort().elapsed().seconds(), 1);
  EXPECT_EQ(wire.effort().elapsed().nanos(), 250'000'000);
}

TEST_F(ToProtoTest, TellsEveryPhaseAndVerdictApart) {
  for (int i = 0; i <= static_cast<int>(search::Phase::kAttack); ++i) {
    search::Event event;
    event.phase = static_cast<search::Phase>(i);
    v1::CrystallizeEvent wire;
    ToProto(event, context_, &wire);
    EXPECT_EQ(wire.phase(), i + 1);
  }
  for (int i = 0; i <= static_cast<int>(search::Verdict::kBudgetExhausted);
       ++i) {
    search::Explanation explanation;
    explanation.verdict = static_cast<search::Verdict>(i);
    v1::Explanation wire;
    ToProto(explanation, context_, &wire);
    EXPECT_EQ(wire.verdict(), i + 1);
  }
}

TEST_F(ToProtoTest, CarriesTheCertificateAsJsonAndAsFields) {
  search::Explanation explanation;
  explanation.verdict = search::Verdict::kCrystallized;
  explanation.tokens = context_.tokens;
  explanation.target = 2;
  explanation.units = {0, 9};
  explanation.num_units = 24;
  explanation.positions = {4};
  explanation.remark = "It says something.";
  explanation.precision = {
      .value = 0.9, .low = 0.8, .high = 0.95, .num_samples = 64};
  explanation.margin_curve = {{0.5, 1.5}};
  search::Certificate& certificate = explanation.certificate.emplace();
  certificate.model_digest = "ab";
  certificate.tokens = context_.tokens;
  certificate.units = {0, 9};
  certificate.unit_names = {"a", "b"};
  certificate.unit_deletion_margins = {-1, -2};
  v1::Explanation wire;
  ToProto(explanation, context_, &wire);
  EXPECT_EQ(wire.prompt_size(), 5);
  EXPECT_EQ(wire.target().text(), "t2");
  EXPECT_EQ(wire.kept_unit_count(), 2);
  EXPECT_EQ(Undelta(wire.unit_id_deltas()), explanation.units);
  EXPECT_EQ(wire.precision().sample_count(), 64);
  EXPECT_EQ(wire.margin_curve(0).margin(), 1.5);
  EXPECT_EQ(wire.remark(), "It says something.");
  const std::string json = search::CertificateToJson(certificate);
  EXPECT_EQ(wire.certificate().canonical_json(), json);
  EXPECT_EQ(wire.certificate().digest(), search::CertificateDigest(json));
  EXPECT_EQ(wire.certificate().digest().size(), 64u);
  EXPECT_EQ(wire.certificate().unit_names(1), "b");
  EXPECT_EQ(wire.certificate().unit_deletion_margins(1), -2);
}

TEST_F(ToProtoTest, CarriesWhatRobustModeFound) {
  search::Explanation explanation;
  explanation.margin_complement = -0.5;
  search::Robustness& robustness = explanation.robustness.emplace();
  robustness.steps = 5;
  robustness.step_size = 0.25;
  robustness.restarts = 3;
  robustness.holds = true;
  robustness.curve = {{0, 2.0}, {1, 1.5}, {5, 0.5}};
  robustness.plain_curve = {{0, 1.0}, {5, -2.0}};
  robustness.plain_units = 4;
  v1::Explanation wire;
  ToProto(explanation, context_, &wire);
  EXPECT_TRUE(wire.has_complement_margin());
  EXPECT_EQ(wire.complement_margin(), -0.5);
  EXPECT_EQ(wire.robustness().step_count(), 5);
  EXPECT_EQ(wire.robustness().step_size(), 0.25);
  EXPECT_EQ(wire.robustness().restart_count(), 3);
  EXPECT_TRUE(wire.robustness().holds());
  ASSERT_EQ(wire.robustness().curve_size(), 3);
  EXPECT_EQ(wire.robustness().curve(1).step_count(), 1);
  EXPECT_EQ(wire.robustness().curve(1).worst_margin(), 1.5);
  EXPECT_EQ(wire.robustness().plain_curve(1).worst_margin(), -2.0);
  EXPECT_EQ(wire.robustness().plain_unit_count(), 4);
  wire.Clear();
  ToProto(search::Explanation(), context_, &wire);
  EXPECT_FALSE(wire.has_robustness());
  EXPECT_FALSE(wire.has_complement_margin());
}

TEST(LargeAnswers, StayBelowFourMebibytes) {
  testing::ScriptedExplainer* unused = nullptr;
  ServedModel model = testing::MakeServedModel("large", &unused);
  models::FakeBackendOptions options;
  options.num_layers = 2;
  options.num_neurons = 50'000;
  model.explainer =
      std::make_unique<testing::ScriptedExplainer>(std::move(options));
  const int num_units = model.explainer->units().size();
  const AnswerContext context{.model = &model,
                              .tokens = {1},
                              .units = model.explainer->units(),
                              .num_units = num_units};

  search::Explanation explanation;
  explanation.tokens = {1};
  explanation.units.resize(num_units);
  std::iota(explanation.units.begin(), explanation.units.end(), 0);
  explanation.remark = "Large.";
  search::Certificate& certificate = explanation.certificate.emplace();
  certificate.units = explanation.units;
  for (const models::UnitId id : explanation.units) {
    certificate.unit_names.push_back(model.explainer->units().Name(id));
    certificate.unit_deletion_margins.push_back(-0.123456789);
  }
  v1::CrystallizeResponse response;
  ToProto(explanation, context, response.mutable_explanation());
  EXPECT_LT(response.ByteSizeLong(), 3'000'000u);
  EXPECT_EQ(response.explanation().units_size(), 0);
  EXPECT_EQ(response.explanation().kept_unit_count(), num_units);
  EXPECT_EQ(Undelta(response.explanation().unit_id_deltas()),
            explanation.units);
  EXPECT_FALSE(response.explanation().has_certificate());
  EXPECT_NE(response.explanation().remark().find("certificate is left out"),
            std::string::npos);

  search::Event event;
  event.units = explanation.units;
  ToProto(event, context, response.mutable_event());
  EXPECT_LT(response.ByteSizeLong(), 3'000'000u);
  event.units.resize(kMaxNamedUnits);
  response.Clear();
  ToProto(event, context, response.mutable_event());
  EXPECT_EQ(response.event().units_size(), kMaxNamedUnits);
  EXPECT_LT(response.ByteSizeLong(), 3'000'000u);
}

}  // namespace
}  // namespace spar::service
