// What a search costs beside the loops it replaces, with the same kernels.
//
// All three answer in SUFFICIENT mode, with the same threshold:
//   literal     every unit of the full set is deleted in turn, one forward
//               each, then every position
//   researcher  gradient order at the full model, binary search for a passing
//               prefix, then one forward per unit of it, then per position
//   ours        crystallize, through the explainer, one question at a time
//
// The loops run twice. `literal` and `researcher` are what "one forward per
// candidate" means: a dense masked forward of the whole prompt, every unit
// computed; only the logits of the other positions are left out. Beside them,
// `..._with_reuse` are the same loops on a backend with all of Spar's exact
// reuse, which compacts to the kept units and positions.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "models/backend.h"
#include "models/snapshot/reference_prompts.h"
#include "models/snapshot/snapshot.h"
#include "models/text/tokenizer.h"
#include "models/torch/torch_backend.h"
#include "server/search/explainer.h"

namespace spar {
namespace {

using models::IndexSet;
using models::TokenId;

struct Cost {
  double seconds = 0;
  double cpu_seconds = 0;  // of the process: steadier on a shared machine
  double forwards = 0;     // batches that were waited for
  double rows = 0;
  double units = 0;
  double positions = 0;
};

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) +
         1e-9 * static_cast<double>(now.tv_nsec);
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle]
                                : (values[middle - 1] + values[middle]) / 2;
}

// One forward at a time on one question.
class Loop {
 public:
  Loop(models::Backend* backend, std::vector<TokenId> tokens, TokenId target)
      : backend_(backend) {
    auto prompt = std::make_shared<models::Prompt>();
    prompt->tokens = std::move(tokens);
    prompt->target = target;
    row_.prompt = prompt;
    row_.units = IndexSet::All(backend->units().size());
    row_.positions = IndexSet::All(static_cast<int>(prompt->tokens.size()));
    bar_ = 1e-3 + 10 * backend->calibration().noise_floor;
  }

  absl::StatusOr<Cost> Literal() {
    const auto start = std::chrono::steady_clock::now();
    RETURN_IF_ERROR(DeleteUnits(row_.units.Members()));
    RETURN_IF_ERROR(DeletePositions());
    return Finish(start);
  }

  absl::StatusOr<Cost> Researcher() {
    const auto start = std::chrono::steady_clock::now();
    models::GradientRow at_full;
    at_full.prompt = row_.prompt;
    at_full.positions = row_.positions;
    at_full.masks.assign(row_.units.universe(), 1.0f);
    ASSIGN_OR_RETURN(const auto gradients,
                     backend_->Gradients(std::span(&at_full, 1)));
    cost_.forwards += 1;
    cost_.rows += 1;
    const std::vector<float>& gain = gradients.front().gradient;
    std::vector<int32_t> order = row_.units.Members();
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return gain[a] > gain[b]; });
    int low = -1;
    int high = static_cast<int>(order.size());
    while (high - low > 1) {
      const int middle = low + (high - low) / 2;
      ASSIGN_OR_RETURN(const bool passes, Passes(Prefix(order, middle)));
      (passes ? high : low) = middle;
    }
    row_ = Prefix(order, high);
    order.resize(high);
    std::reverse(order.begin(), order.end());
    RETURN_IF_ERROR(DeleteUnits(order));
    RETURN_IF_ERROR(DeletePositions());
    return Finish(start);
  }

 private:
  absl::StatusOr<bool> Passes(const models::Row& row) {
    ASSIGN_OR_RETURN(const auto results,
                     backend_->Evaluate(std::span(&row, 1)));
    cost_.forwards += 1;
    cost_.rows += 1;
    return results.front().margin > bar_;
  }
  models::Row Prefix(const std::vector<int32_t>& order, int size) const {
    models::Row row = row_;
    row.units = IndexSet(row_.units.universe());
    for (int i = 0; i < size; ++i) row.units.Insert(order[i]);
    return row;
  }
  absl::Status DeleteUnits(const std::vector<int32_t>& order) {
    for (const int32_t unit : order) {
      models::Row trial = row_;
      trial.units.Remove(unit);
      ASSIGN_OR_RETURN(const bool passes, Passes(trial));
      if (passes) row_ = std::move(trial);
    }
    return absl::OkStatus();
  }
  absl::Status DeletePositions() {
    for (int t = 0; t + 1 < row_.positions.universe(); ++t) {
      models::Row trial = row_;
      trial.positions.Remove(t);
      ASSIGN_OR_RETURN(const bool passes, Passes(trial));
      if (passes) row_ = std::move(trial);
    }
    return absl::OkStatus();
  }
  Cost Finish(std::chrono::steady_clock::time_point start) {
    cost_.seconds = SecondsSince(start);
    cost_.cpu_seconds = CpuSeconds() - cpu_start_;
    cost_.units = row_.units.Count();
    cost_.positions = row_.positions.Count();
    return cost_;
  }

  models::Backend* const backend_;
  models::Row row_;
  double bar_ = 0;
  const double cpu_start_ = CpuSeconds();
  Cost cost_;
};

// Asks one question and waits.
absl::StatusOr<search::Explanation> Ask(search::Explainer& explainer,
                                        const search::Question& question) {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<absl::StatusOr<search::Explanation>> result;
  const auto id = explainer.Start(
      question, nullptr, [&](absl::StatusOr<search::Explanation> answer) {
        const std::lock_guard<std::mutex> lock(mutex);
        result = std::move(answer);
        changed.notify_all();
      });
  if (!id.ok()) return id.status();
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return result.has_value(); });
  return *std::move(result);
}

absl::StatusOr<Cost> Ours(search::Explainer& explainer,
                          const std::vector<TokenId>& tokens,
                          search::Mode mode,
                          search::Explanation* answer) {
  search::Question question;
  question.tokens = tokens;
  question.options.mode = mode;
  const auto start = std::chrono::steady_clock::now();
  const double cpu_start = CpuSeconds();
  ASSIGN_OR_RETURN(*answer, Ask(explainer, question));
  Cost cost;
  cost.cpu_seconds = CpuSeconds() - cpu_start;
  cost.seconds = SecondsSince(start);
  cost.forwards = static_cast<double>(answer->effort.rounds);
  cost.rows =
      static_cast<double>(answer->effort.rows + answer->effort.gradient_rows);
  cost.units = static_cast<double>(answer->units.size());
  cost.positions = static_cast<double>(answer->positions.size());
  return cost;
}

struct Table {
  std::vector<Cost> costs = {};

  double MedianOf(double Cost::*field) const {
    std::vector<double> values;
    for (const Cost& cost : costs) values.push_back(cost.*field);
    return Median(std::move(values));
  }
  void Print(const std::string& name) const {
    std::printf("bench crystallize.%s.seconds %.5f s\n", name.c_str(),
                MedianOf(&Cost::seconds));
    std::printf("bench crystallize.%s.cpu_seconds %.5f s\n", name.c_str(),
                MedianOf(&Cost::cpu_seconds));
    std::printf("bench crystallize.%s.forwards %.1f forwards\n", name.c_str(),
                MedianOf(&Cost::forwards));
    std::printf("bench crystallize.%s.rows %.1f rows\n", name.c_str(),
                MedianOf(&Cost::rows));
    std::printf("bench crystallize.%s.units %.1f units\n", name.c_str(),
                MedianOf(&Cost::units));
    std::printf("bench crystallize.%s.positions %.1f positions\n", name.c_str(),
                MedianOf(&Cost::positions));
  }
};

double SpeedUp(const Table& loop,
               const Table& ours,
               double Cost::*field = &Cost::seconds) {
  std::vector<double> ratios;
  for (size_t i = 0; i < ours.costs.size(); ++i) {
    ratios.push_back(loop.costs[i].*field / ours.costs[i].*field);
  }
  return Median(std::move(ratios));
}

// Prompts on which our S is larger than the loop's.
int Larger(const Table& loop, const Table& ours) {
  int count = 0;
  for (size_t i = 0; i < ours.costs.size(); ++i) {
    count += ours.costs[i].units > loop.costs[i].units;
  }
  return count;
}

struct Settings {
  std::string model = SPAR_SOURCE_DIR "/models/demo/model";
  std::string queries = SPAR_SOURCE_DIR "/models/demo/queries.txt";
  int num_prompts = 40;
  int threads = 0;
  bool quick = false;
  bool details = false;
};

// Every k-th line "type <tab> prompt <tab> answer", as token ids.
absl::StatusOr<std::vector<std::vector<TokenId>>> ReadPrompts(
    const Settings& settings, const models::Tokenizer& tokenizer) {
  std::ifstream file(settings.queries);
  std::vector<std::string> texts;
  for (std::string line; std::getline(file, line);) {
    const size_t begin = line.find('\t');
    const size_t end = line.rfind('\t');
    if (begin == std::string::npos || end <= begin) continue;
    texts.push_back(line.substr(begin + 1, end - begin - 1));
  }
  if (texts.empty()) {
    return base::Error(absl::StatusCode::kNotFound,
                       base::Cat("no prompts in ", settings.queries), {});
  }
  std::vector<std::vector<TokenId>> prompts;
  const size_t count =
      std::min(texts.size(), static_cast<size_t>(settings.num_prompts));
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::vector<TokenId> tokens,
                     tokenizer.Encode(texts[i * texts.size() / count], {}));
    prompts.push_back(std::move(tokens));
  }
  return prompts;
}

absl::StatusOr<std::unique_ptr<models::Backend>> OpenBackend(
    const Settings& settings,
    const models::Tokenizer& tokenizer,
    bool with_reference_prompts,
    const models::ReuseOptions& reuse) {
  ASSIGN_OR_RETURN(std::shared_ptr<const models::Snapshot> snapshot,
                   models::Snapshot::Open(settings.model, {}));
  models::TorchBackendOptions options;
  options.num_threads = settings.threads;
  options.reuse = reuse;
  if (with_reference_prompts) {
    ASSIGN_OR_RETURN(const std::vector<std::string> texts,
                     models::ReadReferencePrompts(
                         settings.model + "/" + models::kReferencePromptsFile));
    for (const std::string& text : texts) {
      ASSIGN_OR_RETURN(std::vector<TokenId> tokens, tokenizer.Encode(text, {}));
      options.reference_prompts.push_back(std::move(tokens));
    }
  }
  return models::MakeTorchBackend(snapshot, options);
}

// The three ways to the same question, and the loops with reuse.
struct Tables {
  Table literal = {};
  Table researcher = {};
  Table literal_with_reuse = {};
  Table researcher_with_reuse = {};
  Table ours = {};
  Table assessed = {};
  Table grounded = {};
};

void PrintSpeedUps(const Tables& tables) {
  const auto print = [&](const char* name, const Table& loop) {
    std::printf("bench crystallize.speedup_%s %.2f x\n", name,
                SpeedUp(loop, tables.ours));
    std::printf("bench crystallize.cpu_speedup_%s %.2f x\n", name,
                SpeedUp(loop, tables.ours, &Cost::cpu_seconds));
  };
  print("literal", tables.literal);
  print("researcher", tables.researcher);
  if (tables.literal_with_reuse.costs.empty()) return;
  print("literal_with_reuse", tables.literal_with_reuse);
  print("researcher_with_reuse", tables.researcher_with_reuse);
}

absl::Status RunBench(const Settings& settings) {
  constexpr models::ReuseOptions kReuse;
  constexpr models::ReuseOptions kDense = {.share_layers = false,
                                           .compact_positions = false,
                                           .compact_units = false};
  ASSIGN_OR_RETURN(const auto tokenizer,
                   models::Tokenizer::Open(settings.model));
  ASSIGN_OR_RETURN(const auto prompts, ReadPrompts(settings, *tokenizer));
  const auto open = [&](bool with_reference_prompts,
                        const models::ReuseOptions& reuse) {
    return OpenBackend(settings, *tokenizer, with_reference_prompts, reuse);
  };
  ASSIGN_OR_RETURN(auto dense, open(false, kDense));
  ASSIGN_OR_RETURN(auto reusing, open(false, kReuse));
  // Without reference prompts a search ends with its certificate, as the loops
  // end with their sets; with them it also measures precision and contrast.
  ASSIGN_OR_RETURN(auto bare_backend, open(false, kReuse));
  ASSIGN_OR_RETURN(auto full_backend, open(true, kReuse));
  const auto bare = search::Explainer::Make(std::move(bare_backend), {});
  const auto full = search::Explainer::Make(std::move(full_backend), {});

  Tables tables;
  for (const std::vector<TokenId>& tokens : prompts) {
    search::Explanation answer;
    ASSIGN_OR_RETURN(const Cost cost,
                     Ours(*bare, tokens, search::Mode::kSufficient, &answer));
    if (!answer.certificate.has_value()) continue;  // unstable
    tables.ours.costs.push_back(cost);
    const auto loop = [&](models::Backend& backend, Table& table,
                          absl::StatusOr<Cost> (Loop::*run)()) {
      Loop one(&backend, tokens, answer.target);
      ASSIGN_OR_RETURN(const Cost loop_cost, (one.*run)());
      table.costs.push_back(loop_cost);
      return absl::OkStatus();
    };
    RETURN_IF_ERROR(loop(*dense, tables.researcher, &Loop::Researcher));
    RETURN_IF_ERROR(loop(*dense, tables.literal, &Loop::Literal));
    if (!settings.quick) {
      RETURN_IF_ERROR(
          loop(*reusing, tables.researcher_with_reuse, &Loop::Researcher));
      RETURN_IF_ERROR(
          loop(*reusing, tables.literal_with_reuse, &Loop::Literal));
    }
    search::Explanation other;
    ASSIGN_OR_RETURN(const Cost assessed_cost,
                     Ours(*full, tokens, search::Mode::kSufficient, &other));
    tables.assessed.costs.push_back(assessed_cost);
    ASSIGN_OR_RETURN(const Cost grounded_cost,
                     Ours(*full, tokens, search::Mode::kGrounded, &other));
    tables.grounded.costs.push_back(grounded_cost);
    if (!settings.details) continue;
    for (const Table* table :
         {&tables.literal, &tables.researcher, &tables.researcher_with_reuse,
          &tables.ours, &tables.assessed, &tables.grounded}) {
      if (table->costs.empty()) continue;
      const Cost& each = table->costs.back();
      std::printf("%4.0f/%2.0f %6.0f rows %5.0f fw %8.4f s | ", each.units,
                  each.positions, each.rows, each.forwards, each.seconds);
    }
    std::printf("%s%s\n", tokenizer->Decode(tokens, false).c_str(),
                other.telling ? "" : " (not telling)");
  }
  tables.literal.Print("literal");
  tables.researcher.Print("researcher");
  if (!settings.quick) {
    tables.literal_with_reuse.Print("literal_with_reuse");
    tables.researcher_with_reuse.Print("researcher_with_reuse");
  }
  tables.ours.Print("ours");
  tables.assessed.Print("ours_assessed");
  tables.grounded.Print("grounded");
  std::printf("bench crystallize.prompts %zu prompts\n",
              tables.ours.costs.size());
  PrintSpeedUps(tables);
  std::printf("bench crystallize.larger_than_literal %d prompts\n",
              Larger(tables.literal, tables.ours));
  std::printf("bench crystallize.larger_than_researcher %d prompts\n",
              Larger(tables.researcher, tables.ours));
  return absl::OkStatus();
}

}  // namespace
}  // namespace spar

int main(int argc, char** argv) {
  spar::Settings settings;
  CLI::App app("cost of a search beside the loops it replaces");
  app.add_option("--model", settings.model, "snapshot folder");
  app.add_option("--queries", settings.queries,
                 "lines: type, prompt, answer, with tabs between");
  app.add_option("--prompts", settings.num_prompts, "how many prompts")
      ->check(CLI::PositiveNumber);
  app.add_option("--threads", settings.threads,
                 "intra-op; 0: as LibTorch does");
  app.add_flag("--quick", settings.quick,
               "3 prompts, no loops with reuse; under 40 s");
  app.add_flag("--details", settings.details, "a line for every prompt");
  CLI11_PARSE(app, argc, argv);
  if (settings.quick) settings.num_prompts = std::min(settings.num_prompts, 3);
  const absl::Status status = spar::RunBench(settings);
  if (status.ok()) return 0;
  std::cerr << "crystallize: " << spar::base::MessageOf(status) << "\n";
  return 1;
}
