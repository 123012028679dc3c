// Trains toy models whose mechanisms are known, decomposes them, and says how
// much of what is known was found. `--tables` shows them.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <ATen/Parallel.h>

#include "models/studies/study_flags.h"
#include "models/studies/toy_study.h"

namespace spar::studies {
namespace {

struct ToyFlags {
  std::string toy = "tms_5-2";
  int steps = 0;
  int batch = 0;
  uint64_t seed = 0;
  int threads = 1;
  bool tables = false;
};

void PrintTable(const ImportanceTable& table) {
  const std::vector<int> own = BestColumns(table);
  for (const std::vector<float>& row : table) {
    for (const int c : own) std::printf(" %4.2f", row[c]);
    std::printf("\n");
  }
}

int Run(const ToyFlags& flags) {
  at::set_num_threads(flags.threads);
  for (const ToyStudy& listed : ToyStudies()) {
    if (listed.name != flags.toy) continue;
    ToyStudy study = listed;
    if (flags.steps > 0) study.steps = flags.steps;
    if (flags.batch > 0) study.data.batch_size = flags.batch;
    const auto start = std::chrono::steady_clock::now();
    const auto finding =
        Decompose(study, flags.seed, [](const models::TrainProgress& progress) {
          PrintStep(progress, 1000);
        });
    if (!finding.ok()) {
      std::fprintf(stderr, "%s\n", finding.status().ToString().c_str());
      return 1;
    }
    int total = 0;
    int loose_total = 0;
    for (const ModuleFinding& module : finding->modules) {
      const std::string pattern =
          module.pattern.identity
              ? "identity"
              : "dense " + std::to_string(module.pattern.num_dense);
      std::printf("%s, %s: %d errors at tolerance 0.1, %d at 0.2\n",
                  module.name.c_str(), pattern.c_str(), module.error,
                  module.loose_error);
      if (flags.tables) PrintTable(module.importances);
      total += module.error;
      loose_total += module.loose_error;
    }
    const std::chrono::duration<double> seconds =
        std::chrono::steady_clock::now() - start;
    std::printf(
        "%s seed %llu, %d steps of %d: IdentityCIError %d (%d at 0.2), %.0f "
        "s\n",
        study.name.c_str(), static_cast<unsigned long long>(flags.seed),
        study.steps, study.data.batch_size, total, loose_total,
        seconds.count());
    return 0;
  }
  std::fprintf(stderr, "no toy is named '%s'\n", flags.toy.c_str());
  return 2;
}

int Main(int argc, char** argv) {
  ToyFlags flags;
  CLI::App app("Decomposes toy models whose mechanisms are known.");
  std::vector<std::string> names;
  for (const ToyStudy& study : ToyStudies()) names.push_back(study.name);
  app.add_option("--toy", flags.toy, "which")->check(CLI::IsMember(names));
  app.add_option("--steps", flags.steps,
                 "of the decomposition's training (0: the study's own)")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--batch", flags.batch,
                 "rows of a step of it (0: the study's own)")
      ->check(CLI::Range(0, 1'000'000));
  AddSeedAndThreads(app, flags.seed, flags.threads);
  app.add_flag("--tables", flags.tables,
               "print the importances of each feature alone, by the "
               "subcomponents that fit them best");
  CLI11_PARSE(app, argc, argv);
  return Run(flags);
}

}  // namespace
}  // namespace spar::studies

int main(int argc, char** argv) {
  return spar::studies::Main(argc, argv);
}
