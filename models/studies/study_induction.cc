// Trains the smallest transformer with an induction head, decomposes it, and
// writes a report: which subcomponents matter at which positions.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <CLI/CLI.hpp>

#include <ATen/Parallel.h>

#include "models/studies/importance_picture.h"
#include "models/studies/induction_study.h"
#include "models/studies/study_flags.h"

namespace spar::studies {
namespace {

struct InductionFlags {
  InductionStudy study = {};
  int threads = 1;
  std::string picture = {};
};

// A Markdown table.
void PrintFinding(const InductionFinding& finding) {
  std::printf("| module | subcomponents used | s1 | m | s2 | elsewhere |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const InductionModule& module : finding.modules) {
    std::printf("| %s | %zu |", module.name.c_str(), module.used.size());
    for (const double sum : module.at_role) std::printf(" %.3f |", sum);
    std::printf("\n");
  }
  std::printf(
      "\nTarget: accuracy %.4f. Faithfulness %.2e (mean square of the weights "
      "%.2e). Masks g: KL %.2e nats, accuracy %.4f. Masks g > 0.5: KL %.2e.\n",
      finding.accuracy, finding.faithfulness, finding.weight_square,
      finding.ci_masked, finding.ci_masked_accuracy, finding.rounded);
}

std::string TokenName(int64_t id, const RepeatedMarkerOptions& data) {
  if (id == 0) return "0";
  return id == data.marker() ? "S" : std::to_string(id);
}

bool WritePicture(const InductionFinding& finding,
                  const RepeatedMarkerOptions& data,
                  const std::filesystem::path& path) {
  ImportancePicture picture;
  for (const int64_t id : finding.example) {
    picture.positions.push_back(TokenName(id, data));
  }
  for (const InductionModule& module : finding.modules) {
    for (const int c : module.used) {
      PictureRow& row = picture.rows.emplace_back();
      row.module = module.name;
      row.label = std::to_string(c);
      for (const std::vector<float>& g : module.example) {
        row.importances.push_back(g[c]);
      }
    }
  }
  std::ofstream file(path);
  file << ToSvg(picture);
  return static_cast<bool>(file.flush());
}

int Run(InductionFlags flags) {
  at::set_num_threads(flags.threads);
  const auto start = std::chrono::steady_clock::now();
  const auto finding = DecomposeInductionHead(
      flags.study,
      [](const models::TrainProgress& progress) { PrintStep(progress, 500); });
  if (!finding.ok()) {
    std::fprintf(stderr, "%s\n", finding.status().ToString().c_str());
    return 1;
  }
  PrintFinding(*finding);
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  std::printf("Seed %llu, %d steps of %d sequences, %.0f s.\n",
              static_cast<unsigned long long>(flags.study.seed),
              flags.study.steps, flags.study.batch_size, seconds.count());
  if (flags.picture.empty()) return 0;
  if (WritePicture(*finding, flags.study.target.data, flags.picture)) return 0;
  std::fprintf(stderr, "cannot write %s\n", flags.picture.c_str());
  return 1;
}

int Main(int argc, char** argv) {
  InductionFlags flags;
  InductionStudy& study = flags.study;
  CLI::App app("Decomposes an induction head.");
  AddSeedAndThreads(app, study.seed, flags.threads);
  app.add_option("--picture", flags.picture,
                 "write one sequence's importances, an SVG file");
  app.add_option("--target-steps", study.target.training.steps,
                 "of the target's training")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--steps", study.steps, "of the decomposition's training")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--batch", study.batch_size, "sequences of a step of it")
      ->check(CLI::Range(1, 100'000));
  app.add_option("--components", study.num_components, "of each module")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--price", study.price, "of importance")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--last-power", study.last_power,
                 "p of the price at the end; 2 at the beginning")
      ->check(CLI::PositiveNumber);
  app.add_option("--rate", study.rate, "learning rate")
      ->check(CLI::PositiveNumber);
  app.option_defaults()->always_capture_default();
  CLI11_PARSE(app, argc, argv);
  return Run(flags);
}

}  // namespace
}  // namespace spar::studies

int main(int argc, char** argv) {
  return spar::studies::Main(argc, argv);
}
