#include "models/studies/study_flags.h"

#include <cstdio>

#include <CLI/CLI.hpp>

namespace spar::studies {

void AddSeedAndThreads(CLI::App& app, uint64_t& seed, int& threads) {
  app.add_option("--seed", seed, "of everything drawn");
  app.add_option("--threads", threads, "of the arithmetic")
      ->check(CLI::Range(1, 256));
}

void PrintStep(const models::TrainProgress& progress, int64_t every) {
  if (progress.step % every != 0 && progress.step != progress.steps) return;
  std::fprintf(stderr, "step %lld", static_cast<long long>(progress.step));
  for (const models::TrainTerm& term : progress.terms) {
    std::fprintf(stderr, "  %s %.3g", term.name.c_str(), term.value);
  }
  for (const models::TrainModule& module : progress.modules) {
    std::fprintf(stderr, "  %s L0 %.2f alive %d", module.name.c_str(),
                 module.l0, module.alive);
  }
  std::fprintf(stderr, "\n");
}

}  // namespace spar::studies
