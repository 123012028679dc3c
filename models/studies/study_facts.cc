// Makes the demo model forget facts, one at a time, by taking subcomponents of
// its decomposition out, and says what else changes. Prints Markdown tables.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "base/status.h"
#include "models/decomposition/decomposition.h"
#include "models/demo/random.h"
#include "models/snapshot/snapshot.h"
#include "models/studies/fact_study.h"
#include "models/studies/study_flags.h"
#include "models/torch/torch_backend.h"

namespace spar::studies {
namespace {

struct FactFlags {
  std::string model = "models/demo/model";
  std::string decomposition = "models/demo/decomposition";
  int facts = 20;
  int threads = 1;
  bool names = false;
  FactStudyOptions study = {.decomposition = "main"};
};

absl::StatusOr<std::unique_ptr<models::Backend>> Open(const FactFlags& flags) {
  ASSIGN_OR_RETURN(std::shared_ptr<const models::Snapshot> snapshot,
                   models::Snapshot::Open(flags.model, {}));
  ASSIGN_OR_RETURN(
      std::shared_ptr<const models::Decomposition> decomposition,
      models::Decomposition::Open(flags.decomposition, *snapshot, {}));
  models::TorchBackendOptions options;
  options.num_threads = flags.threads;
  options.decompositions = {{flags.study.decomposition, decomposition}};
  return models::MakeTorchBackend(std::move(snapshot), options);
}

// `count` facts of the relation, none twice.
std::vector<int> Drawn(int count, const FactStudyOptions& study) {
  std::vector<int> facts(RelationOf(study.relation).forth->facts.size());
  for (size_t i = 0; i < facts.size(); ++i) facts[i] = static_cast<int>(i);
  demo::Random random(study.seed);
  for (size_t i = 0; i + 1 < facts.size(); ++i) {
    const int left = static_cast<int>(facts.size() - i);
    std::swap(facts[i], facts[i + random.Below(left)]);
  }
  if (facts.size() > static_cast<size_t>(count)) facts.resize(count);
  return facts;
}

void PrintFact(const FactFinding& finding) {
  std::printf(
      "| %s, %s | %zu | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f | %.3f | %s | "
      "%s |\n",
      finding.subject.c_str(), finding.answer.c_str(),
      finding.suppressed.size(), finding.before.fact, finding.after.fact,
      finding.control.fact, finding.after.others, finding.after.worst_fall,
      finding.after.subject, finding.after.back,
      finding.before.back_says.c_str(), finding.after.back_says.c_str());
  std::fflush(stdout);
}

void PrintNames(const models::Backend& backend, const FactFinding& finding) {
  const models::DecompositionSpec& spec = backend.decompositions()[0].spec;
  std::printf("%s\t%s\t", finding.subject.c_str(), finding.answer.c_str());
  const char* space = "";
  for (const Component& component : finding.suppressed) {
    std::printf("%s%s#subcomponent=%d", space,
                spec.modules[component.module].name.c_str(), component.index);
    space = " ";
  }
  std::printf("\n");
}

using Reader = double (*)(const FactReading&);

struct Line {
  const char* what;
  Reader read;
};

constexpr Line kLines[] = {
    {"the fact, phrasings not seen in choosing",
     [](const FactReading& r) { return r.fact; }},
    {"share of those where it is the likeliest word",
     [](const FactReading& r) { return r.said; }},
    {"the relation's facts of other subjects",
     [](const FactReading& r) { return r.others; }},
    {"share of those where it is the likeliest word",
     [](const FactReading& r) { return r.others_said; }},
    {"largest fall of one of those",
     [](const FactReading& r) { return r.worst_fall; }},
    {"the subject's other facts",
     [](const FactReading& r) { return r.subject; }},
    {"facts of another relation",
     [](const FactReading& r) { return r.elsewhere; }},
    {"the other direction", [](const FactReading& r) { return r.back; }},
};

std::string Quartiles(const std::vector<FactFinding>& findings,
                      FactReading FactFinding::*when,
                      Reader read) {
  std::vector<double> values;
  for (const FactFinding& finding : findings) {
    values.push_back(read(finding.*when));
  }
  char text[64];
  std::snprintf(text, sizeof(text), "%.3f [%.3f, %.3f]", Quantile(values, 0.5),
                Quantile(values, 0.25), Quantile(values, 0.75));
  return text;
}

void PrintSummary(const std::vector<FactFinding>& findings) {
  std::printf(
      "\n| median [quartiles] | before | after | controls |\n"
      "|---|---|---|---|\n");
  for (const Line& line : kLines) {
    std::printf("| %s | %s | %s | %s |\n", line.what,
                Quartiles(findings, &FactFinding::before, line.read).c_str(),
                Quartiles(findings, &FactFinding::after, line.read).c_str(),
                Quartiles(findings, &FactFinding::control, line.read).c_str());
  }
  std::vector<double> counts;
  double seconds = 0;
  for (const FactFinding& finding : findings) {
    counts.push_back(static_cast<double>(finding.suppressed.size()));
    seconds += finding.seconds;
  }
  std::printf("\n%zu facts, median %.1f subcomponents each, %.0f s\n",
              findings.size(), Quantile(counts, 0.5), seconds);
}

absl::Status Study(const FactFlags& flags) {
  ASSIGN_OR_RETURN(const std::unique_ptr<models::Backend> backend, Open(flags));
  std::printf(
      "| fact | out | before | after | controls | others | worst fall | "
      "subject | back | says back, before | after |\n"
      "|---|---|---|---|---|---|---|---|---|---|---|\n");
  std::vector<FactFinding> findings;
  const std::vector<int> facts = Drawn(flags.facts, flags.study);
  for (const int fact : facts) {
    ASSIGN_OR_RETURN(FactFinding finding,
                     SuppressFact(*backend, flags.study, fact));
    PrintFact(finding);
    findings.push_back(std::move(finding));
  }
  PrintSummary(findings);
  if (!flags.names) return absl::OkStatus();
  for (const FactFinding& finding : findings) PrintNames(*backend, finding);
  return absl::OkStatus();
}

int FactsMain(int argc, char** argv) {
  FactFlags flags;
  CLI::App app("Takes facts out of the demo model by its decomposition.");
  app.add_option("--model", flags.model, "its folder");
  app.add_option("--decomposition", flags.decomposition, "its folder");
  app.add_option("--relation", flags.study.relation, "of the facts")
      ->check(CLI::IsMember({"sport", "capital"}));
  app.add_option("--facts", flags.facts, "how many, drawn")
      ->check(CLI::Range(1, 1000));
  app.add_option("--most", flags.study.most, "subcomponents taken out")
      ->check(CLI::Range(1, 1000));
  app.add_option("--goal", flags.study.goal,
                 "the probability at which a fact counts as forgotten")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--weight", flags.study.weight, "of the harm to other facts")
      ->check(CLI::Range(0.0, 1000.0));
  AddSeedAndThreads(app, flags.study.seed, flags.threads);
  app.add_flag("--names", flags.names,
               "print what was taken out: subject, answer, parts, by tabs");
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Study(flags);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", std::string(base::MessageOf(status)).c_str());
  return 1;
}

}  // namespace
}  // namespace spar::studies

int main(int argc, char** argv) {
  return spar::studies::FactsMain(argc, argv);
}
