#include <gtest/gtest.h>

#include "models/studies/toy_study.h"

namespace spar::studies {
namespace {

// The known answer of the smallest toy: each of the five features has one
// subcomponent of its own in both weights, and no other matters to it. Half
// the steps and an eighth of the rows of the study's own recipe leave some
// entries between the two tolerances.
TEST(RecoveryTest, FindsTheFiveFeaturesOfATms) {
  ToyStudy study = ToyStudies().front();
  ASSERT_EQ(study.name, "tms_5-2");
  study.steps = 5000;
  study.data.batch_size = 512;
  const auto finding = Decompose(study, 0, nullptr);
  ASSERT_TRUE(finding.ok()) << finding.status();
  ASSERT_EQ(finding->modules.size(), 2u);
  for (const ModuleFinding& module : finding->modules) {
    EXPECT_EQ(module.loose_error, 0) << module.name;
    EXPECT_LE(module.error, 5) << module.name;  // of 100 entries
  }
  EXPECT_LT(finding->last.terms[0].value, 1e-6);  // faithfulness
}

}  // namespace
}  // namespace spar::studies
