#include "models/studies/fact_study.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <set>
#include <span>
#include <utility>

#include "base/status.h"
#include "models/ablation.h"
#include "models/demo/episode.h"
#include "models/demo/random.h"
#include "models/demo/vocabulary.h"

namespace spar::studies {
namespace {

using models::AblationRow;
using Prompts = std::vector<FactPrompt>;

constexpr int kElsewhere = 24;  // facts of another relation

// The prompts of one fact's study.
struct FactPrompts {
  Prompts choosing = {};  // the fact
  Prompts choosing_others = {};
  Prompts judging = {};  // the fact
  Prompts judging_others = {};
  Prompts subject = {};
  Prompts elsewhere = {};
  Prompts back = {};
};

// Of `subjects` in turn, one phrasing each.
void AddFacts(const demo::Relation& relation,
              std::span<const int> facts,
              const std::vector<std::string>& phrasings,
              Prompts& prompts) {
  for (size_t i = 0; i < facts.size(); ++i) {
    const auto& [subject, answer] = relation.facts[facts[i]];
    prompts.push_back(
        PromptOf(phrasings[i % phrasings.size()], subject, answer));
  }
}

std::vector<int> Shuffled(int count, demo::Random& random) {
  std::vector<int> order(count);
  for (int i = 0; i < count; ++i) order[i] = i;
  for (int i = count - 1; i > 0; --i) {
    std::swap(order[i], order[random.Below(i + 1)]);
  }
  return order;
}

FactPrompts PromptsOf(const FactStudyOptions& options, int fact) {
  const StudiedRelation studied = RelationOf(options.relation);
  const demo::Relation& relation = *studied.forth;
  const auto& [subject, answer] = relation.facts[fact];
  demo::Random random(options.seed + 1000003 * static_cast<uint64_t>(fact));
  std::vector<int> others =
      Shuffled(static_cast<int>(relation.facts.size()), random);
  std::erase(others, fact);
  const size_t seen = std::min<size_t>(options.num_others, others.size() / 2);

  const std::vector<std::string> choosing = ChoosingPhrasings(relation);
  const std::vector<std::string> judging = JudgingPhrasings(relation);
  FactPrompts prompts;
  for (const std::string& phrasing : choosing) {
    prompts.choosing.push_back(PromptOf(phrasing, subject, answer));
  }
  for (const std::string& phrasing : judging) {
    prompts.judging.push_back(PromptOf(phrasing, subject, answer));
  }
  const std::span<const int> all = others;
  AddFacts(relation, all.first(seen), choosing, prompts.choosing_others);
  AddFacts(relation, all.subspan(seen), judging, prompts.judging_others);
  for (const std::string& phrasing : studied.back) {
    prompts.back.push_back(PromptOf(phrasing, answer, subject));
  }
  for (const demo::Relation& other : demo::TheWorld().relations) {
    if (other.name == relation.name) continue;
    bool same_subjects = false;
    for (const auto& [about, told] : other.facts) {
      if (about != subject) continue;
      same_subjects = true;
      for (const std::string& phrasing : other.phrasings) {
        prompts.subject.push_back(PromptOf(phrasing, about, told));
      }
    }
    if (same_subjects || !prompts.elsewhere.empty()) continue;
    const std::vector<int> order =
        Shuffled(static_cast<int>(other.facts.size()), random);
    AddFacts(other, std::span(order).first(kElsewhere), other.phrasings,
             prompts.elsewhere);
  }
  return prompts;
}

// Runs of one backend under edits of weights.
class EditedModel {
 public:
  EditedModel(models::Backend& backend, const std::string& decomposition)
      : backend_(backend),
        decomposition_(decomposition),
        vocabulary_(demo::CorpusWords()) {}

  std::vector<models::TokenId> Tokens(const FactPrompt& prompt) const {
    return vocabulary_.Ids(prompt.words);
  }
  const std::string& Word(models::TokenId id) const {
    return vocabulary_.Word(id);
  }

  // The prompt with `off` out, and then with each of `swept` out besides:
  // 1 + swept.size() rows, with the answer as target.
  absl::StatusOr<std::vector<models::AblatedPosition>> Run(
      const FactPrompt& prompt,
      std::span<const Component> off,
      std::span<const Component> swept) const {
    models::AblationRequest request;
    request.tokens = Tokens(prompt);
    request.decomposition = decomposition_;
    request.target = vocabulary_.Id(prompt.answer);
    request.top_k = 1;
    request.interventions = Off(off);
    request.swept = Off(swept);
    ASSIGN_OR_RETURN(const std::unique_ptr<models::Ablation> ablation,
                     backend_.Ablate(request));
    std::vector<models::AblatedPosition> told;
    while (!ablation->done()) {
      ASSIGN_OR_RETURN(const std::vector<AblationRow> rows,
                       ablation->Next(1024));
      for (const AblationRow& row : rows) told.push_back(row.positions.at(0));
    }
    return told;
  }

 private:
  static std::vector<models::Intervention> Off(
      std::span<const Component> components) {
    std::vector<models::Intervention> off;
    for (const Component& component : components) {
      off.push_back({.site = component.module, .index = component.index});
    }
    return off;
  }

  models::Backend& backend_;
  const std::string decomposition_;
  const demo::Vocabulary vocabulary_;
};

// With an importance above 0 at some position of a prompt.
absl::StatusOr<std::vector<Component>> Candidates(
    models::Backend& backend,
    const EditedModel& model,
    const FactStudyOptions& options,
    const Prompts& prompts) {
  std::vector<std::vector<models::TokenId>> tokens;
  for (const FactPrompt& prompt : prompts) {
    tokens.push_back(model.Tokens(prompt));
  }
  ASSIGN_OR_RETURN(
      const std::vector<models::PromptImportances> answers,
      backend.Importances(options.decomposition, tokens, {.threshold = 0}));
  std::set<Component> active;
  for (const models::PromptImportances& answer : answers) {
    for (size_t m = 0; m < answer.modules.size(); ++m) {
      for (const int32_t index : answer.modules[m].component) {
        active.insert({static_cast<int32_t>(m), index});
      }
    }
  }
  return std::vector<Component>(active.begin(), active.end());
}

struct Round {
  double fact = 0;                              // probability so far
  std::vector<SuppressionEffect> effects = {};  // of each of the pool
};

absl::StatusOr<Round> Measure(const EditedModel& model,
                              const FactPrompts& prompts,
                              std::span<const Component> off,
                              std::span<const Component> pool) {
  Round round;
  for (const Component& component : pool) {
    round.effects.push_back({.component = component});
  }
  const auto add = [&](const Prompts& some, bool others) -> absl::Status {
    const double share = 1 / static_cast<double>(some.size());
    for (const FactPrompt& prompt : some) {
      ASSIGN_OR_RETURN(const auto told, model.Run(prompt, off, pool));
      const double so_far = told[0].target_log_probability;
      if (!others) round.fact += share * std::exp(so_far);
      for (size_t i = 0; i < pool.size(); ++i) {
        const double fall = so_far - told[i + 1].target_log_probability;
        if (others) {
          round.effects[i].others += share * std::abs(fall);
        } else {
          round.effects[i].fact += share * fall;
        }
      }
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(add(prompts.choosing, /*others=*/false));
  if (!pool.empty()) {
    RETURN_IF_ERROR(add(prompts.choosing_others, /*others=*/true));
  }
  return round;
}

absl::StatusOr<std::vector<Component>> Choose(
    const EditedModel& model,
    const FactStudyOptions& options,
    const FactPrompts& prompts,
    const std::vector<Component>& candidates) {
  std::vector<Component> pool = candidates;
  std::vector<Component> chosen;
  while (static_cast<int>(chosen.size()) < options.most) {
    ASSIGN_OR_RETURN(const Round round, Measure(model, prompts, chosen, pool));
    if (round.fact <= options.goal) break;
    std::vector<Component> ranked = Ranked(round.effects, options.weight);
    if (ranked.empty()) break;
    if (chosen.empty()) {
      pool = ranked;
      if (pool.size() > static_cast<size_t>(options.num_later)) {
        pool.resize(options.num_later);
      }
    }
    const int room = options.most - static_cast<int>(chosen.size());
    ranked.resize(
        std::min<size_t>(ranked.size(), std::min(options.a_round, room)));
    for (const Component& component : ranked) {
      chosen.push_back(component);
      std::erase(pool, component);
    }
  }
  return chosen;
}

struct Told {
  std::vector<double> probabilities = {};
  double mean = 0;
  double said = 0;  // share where the answer leads
  std::string first_word = {};
};

absl::StatusOr<Told> Ask(const EditedModel& model,
                         const Prompts& prompts,
                         std::span<const Component> off) {
  Told told;
  const double share = 1 / static_cast<double>(prompts.size());
  for (const FactPrompt& prompt : prompts) {
    ASSIGN_OR_RETURN(const auto rows, model.Run(prompt, off, {}));
    const double p = std::exp(rows[0].target_log_probability);
    told.probabilities.push_back(p);
    told.mean += share * p;
    told.said += rows[0].margin > 0 ? share : 0;
    if (told.first_word.empty()) {
      told.first_word = model.Word(rows[0].top.at(0).token);
    }
  }
  return told;
}

// `before`: of the others, in order; empty: this is the unedited model.
absl::StatusOr<FactReading> Read(const EditedModel& model,
                                 const FactPrompts& prompts,
                                 std::span<const Component> off,
                                 std::vector<double>& before) {
  ASSIGN_OR_RETURN(const Told fact, Ask(model, prompts.judging, off));
  ASSIGN_OR_RETURN(const Told others, Ask(model, prompts.judging_others, off));
  ASSIGN_OR_RETURN(const Told subject, Ask(model, prompts.subject, off));
  ASSIGN_OR_RETURN(const Told elsewhere, Ask(model, prompts.elsewhere, off));
  ASSIGN_OR_RETURN(const Told back, Ask(model, prompts.back, off));
  if (before.empty()) before = others.probabilities;
  FactReading reading{.fact = fact.mean,
                      .said = fact.said,
                      .others = others.mean,
                      .others_said = others.said,
                      .subject = subject.mean,
                      .elsewhere = elsewhere.mean,
                      .back = back.mean,
                      .back_says = back.first_word};
  for (size_t i = 0; i < before.size(); ++i) {
    reading.worst_fall =
        std::max(reading.worst_fall, before[i] - others.probabilities[i]);
  }
  return reading;
}

void AddShare(const FactReading& one, double share, FactReading& mean) {
  for (double FactReading::*field :
       {&FactReading::fact, &FactReading::said, &FactReading::others,
        &FactReading::others_said, &FactReading::subject,
        &FactReading::elsewhere, &FactReading::back}) {
    mean.*field += share * one.*field;
  }
  mean.worst_fall = std::max(mean.worst_fall, one.worst_fall);
  mean.back_says = one.back_says;
}

}  // namespace

absl::StatusOr<FactFinding> SuppressFact(models::Backend& backend,
                                         const FactStudyOptions& options,
                                         int fact) {
  const auto start = std::chrono::steady_clock::now();
  const models::DecompositionInfo* info = nullptr;
  for (const models::DecompositionInfo& resident : backend.decompositions()) {
    if (resident.name == options.decomposition) info = &resident;
  }
  INVARIANT(info != nullptr);
  std::vector<std::vector<float>> norms;
  for (const models::ModuleMeasures& module : info->modules) {
    norms.push_back(module.component_norms);
  }
  const EditedModel model(backend, options.decomposition);
  const FactPrompts prompts = PromptsOf(options, fact);
  ASSIGN_OR_RETURN(const std::vector<Component> candidates,
                   Candidates(backend, model, options, prompts.choosing));
  FactFinding finding;
  const auto& named = RelationOf(options.relation).forth->facts.at(fact);
  finding.subject = named[0];
  finding.answer = named[1];
  ASSIGN_OR_RETURN(finding.suppressed,
                   Choose(model, options, prompts, candidates));
  std::vector<double> others;
  ASSIGN_OR_RETURN(finding.before, Read(model, prompts, {}, others));
  ASSIGN_OR_RETURN(finding.after,
                   Read(model, prompts, finding.suppressed, others));
  for (int i = 0; i < options.num_controls; ++i) {
    const std::vector<Component> controls = EqualNormControls(
        finding.suppressed, candidates, norms, options.nearest,
        options.seed + 7919 * static_cast<uint64_t>(i + 1));
    ASSIGN_OR_RETURN(const FactReading reading,
                     Read(model, prompts, controls, others));
    AddShare(reading, 1.0 / options.num_controls, finding.control);
  }
  finding.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return finding;
}

}  // namespace spar::studies
