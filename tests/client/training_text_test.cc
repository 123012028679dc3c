#include "client/training_text.h"

#include "gtest/gtest.h"

namespace spar::client {
namespace {

TEST(TrainingText, SaysAStepInOneLine) {
  v1::TrainingProgress progress;
  progress.set_phase(v1::TRAINING_PHASE_TRAINING);
  progress.set_step_count(1200);
  progress.set_max_step_count(40000);
  progress.set_total_loss(0.83124);
  v1::TrainingLoss& loss = *progress.add_losses();
  loss.set_name("Faith\n");
  loss.set_value(1.23456e-6);
  for (int i = 0; i < 2; ++i) {
    v1::TrainedModule& module = *progress.add_modules();
    module.set_mean_l0(15.625);
    module.set_alive_count(205);
  }
  progress.mutable_step_duration()->set_nanos(210'000'000);
  progress.mutable_remaining()->set_seconds(8051);
  EXPECT_EQ(
      TrainingText(progress),
      "step 1200/40000  total 0.8312  Faith\\n 1.235e-06  l0 31.25 of 410 "
      "alive  0.21 s/step  2:14:11 left");
}

TEST(TrainingText, SaysNothingOfWhatAWarmUpLacks) {
  v1::TrainingProgress progress;
  progress.set_phase(v1::TRAINING_PHASE_WARM_UP);
  progress.set_step_count(3);
  progress.set_max_step_count(400);
  progress.set_total_loss(2);
  EXPECT_EQ(TrainingText(progress), "faithfulness 3/400  total 2  0 s/step");
}

TEST(TrainingText, NamesACheckpoint) {
  v1::TrainingCheckpoint checkpoint;
  checkpoint.set_step_count(7);
  checkpoint.set_path("runs/\x1b/7");
  EXPECT_EQ(TrainingText(checkpoint), "checkpoint 7: runs/\\x1b/7");
}

}  // namespace
}  // namespace spar::client
