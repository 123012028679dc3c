#include "client/training_text.h"

#include <cstdio>

#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

using base::Cat;

std::string ClockText(int64_t seconds) {
  char text[40];
  std::snprintf(text, sizeof text, "%lld:%02d:%02d",
                static_cast<long long>(seconds / 3600),
                static_cast<int>(seconds / 60 % 60),
                static_cast<int>(seconds % 60));
  return text;
}

}  // namespace

std::string TrainingText(const v1::TrainingProgress& progress) {
  const bool warming_up = progress.phase() == v1::TRAINING_PHASE_WARM_UP;
  std::string text = Cat(warming_up ? "faithfulness " : "step ",
                         progress.step_count(), "/", progress.max_step_count(),
                         "  total ", Printed("%.4g", progress.total_loss()));
  for (const v1::TrainingLoss& loss : progress.losses()) {
    text += Cat("  ", Escaped(loss.name()), " ", Printed("%.4g", loss.value()));
  }
  double l0 = 0;
  int64_t alive = 0;
  for (const v1::TrainedModule& module : progress.modules()) {
    l0 += module.mean_l0();
    alive += module.alive_count();
  }
  if (progress.modules_size() > 0) {
    text += Cat("  l0 ", Printed("%.4g", l0), " of ", alive, " alive");
  }
  text += Cat("  ", Printed("%.4g", SecondsOf(progress.step_duration())),
              " s/step");
  if (progress.has_remaining()) {
    text += Cat("  ", ClockText(progress.remaining().seconds()), " left");
  }
  return text;
}

std::string TrainingText(const v1::TrainingCheckpoint& checkpoint) {
  return Cat("checkpoint ", checkpoint.step_count(), ": ",
             Escaped(checkpoint.path()));
}

}  // namespace spar::client
