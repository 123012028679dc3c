// The price of importance and what changes with the steps, against numbers that
// were computed from the formulas by other means.
#include <cmath>

#include "gtest/gtest.h"

#include "models/torch/aten.h"
#include "models/torch/prune/minimality.h"
#include "models/torch/prune/schedules.h"

namespace spar::models {
namespace {

// One module of two subcomponents at two positions. The second subcomponent is
// dead at the first position.
class PriceTest : public testing::Test {
 protected:
  PriceTest() : decomposed_(decoder_, {OneModule()}) {
    subject_.decomposed = &decomposed_;
    nodes_.length = 2;
    nodes_.tokens = {0, 0};
    nodes_.begin = {0, 3};
    nodes_.position = {0, 1, 1};
    nodes_.component = {0, 0, 1};
    row_.nodes = &nodes_;
  }

  static ComponentModule OneModule() {
    ComponentModule module;
    module.module.site = ModuleSite::kDown;
    module.module.num_components = 2;
    module.module.d_in = 1;
    module.module.d_out = 1;
    return module;
  }

  Minimality::Price Of(double p, double beta) const {
    const PruneNorm norm{.beta = beta};
    const std::vector<PruneRow> rows = {row_, row_};
    const Minimality minimality(norm, rows, subject_);
    const at::Tensor h =
        at::tensor(std::vector<float>{0.5f, 1, 0.25f, 0.5f, 1, 0.25f},
                   at::dtype(at::kFloat));
    return minimality.Of(h, p);
  }

  static double At(const at::Tensor& x, int64_t i) {
    return x[i].item<double>();
  }

  const Decoder decoder_ = {};
  DecomposedDecoder decomposed_;
  PruneSubject subject_ = {};
  PromptNodes nodes_ = {};
  PruneRow row_ = {};
};

TEST_F(PriceTest, EqualsKnownValues) {
  for (const int64_t row : {0, 1}) {
    EXPECT_NEAR(At(Of(2, 0.5).of_row, row), 1.02321817, 1e-6);
    EXPECT_NEAR(At(Of(0.4, 0.5).of_row, row), 1.90330855, 1e-6);
    EXPECT_NEAR(At(Of(1, 0).of_row, row), 0.875, 1e-6);
  }
}

// p / N h^(p-1), for p = 2 and N = 2: h itself.
TEST_F(PriceTest, SlopesAreDerivatives) {
  const at::Tensor slopes = Of(2, 0).slopes;
  EXPECT_NEAR(At(slopes, 0), 0.5, 1e-6);
  EXPECT_NEAR(At(slopes, 1), 1, 1e-6);
  EXPECT_NEAR(At(slopes, 5), 0.25, 1e-6);
}

TEST(ScheduleTest, RatesEqualKnownValues) {
  const PruneRate cosine{
      .rate = 5e-5, .shape = RateShape::kCosine, .final_share = 0.1};
  EXPECT_NEAR(ScheduledValue(cosine, 0, 400'000), 5e-5, 1e-15);
  EXPECT_NEAR(ScheduledValue(cosine, 100'000, 400'000), 4.34098713e-5, 1e-13);
  EXPECT_NEAR(ScheduledValue(cosine, 200'000, 400'000), 2.74999116e-5, 1e-13);
  EXPECT_NEAR(ScheduledValue(cosine, 399'999, 400'000), 5e-6, 1e-15);
  const PruneRate rising{.rate = 0.01, .warmup = 0.025};
  EXPECT_EQ(ScheduledValue(rising, 0, 400'000), 0);
  EXPECT_NEAR(ScheduledValue(rising, 5'000, 400'000), 0.005, 1e-15);
  EXPECT_NEAR(ScheduledValue(rising, 10'000, 400'000), 0.01, 1e-15);
  const PruneRate falling{.rate = 1, .shape = RateShape::kLinear};
  EXPECT_NEAR(ScheduledValue(falling, 5, 11), 0.5, 1e-15);
  EXPECT_EQ(ScheduledValue(falling, 0, 1), 1);
}

TEST(ScheduleTest, PowersAnnealLinearly) {
  const PruneNorm norm{.power = 2, .final_power = 0.4};
  EXPECT_NEAR(NormPower(norm, 25, 100), 1.6, 1e-12);
  PruneNorm late = norm;
  late.anneal_begin = 0.5;
  late.anneal_end = 0.75;
  EXPECT_EQ(NormPower(late, 49, 100), 2);
  EXPECT_NEAR(NormPower(late, 60, 100), 1.36, 1e-12);
  EXPECT_EQ(NormPower(late, 75, 100), 0.4);
  EXPECT_EQ(AnnealedAt(late, 100), 75);
  EXPECT_EQ(NormPower(PruneNorm{}, 99, 100), 0.3);
  EXPECT_EQ(AnnealedAt(PruneNorm{}, 100), 0);
}

}  // namespace
}  // namespace spar::models
