// L3. The question a crystallize search answers, and the answer: plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/row.h"
#include "models/unit_table.h"

namespace spar::search {

// Revision of the algorithm: part of every certificate. Raise it whenever the
// same question may get another answer.
inline constexpr int kAlgorithmRevision = 2;

// Of robust mode's attack.
inline constexpr int kMaxAttackSteps = 1000;
inline constexpr int kMaxAttackRestarts = 64;

enum class Mode {
  kSufficient,  // the paper's literal problem: m(S, T) > tau_acc
  kGrounded,    // search.md §3.11: T also holds the full model's prediction,
                // S keeps a share of the margin and says something else
                // elsewhere
};

struct CrystallizeOptions {
  Mode mode = Mode::kGrounded;
  models::UnitScheme scheme = models::UnitScheme::kHeadAndNeuron;
  std::string decomposition = {};  // by name, for its schemes; else empty
  models::ReferenceKind reference = models::ReferenceKind::kZero;
  models::PositionMode position_mode = models::PositionMode::kKeepIds;
  double tau = 1e-3;       // logits; decisions use tau + 10 x the noise floor
  bool pin_first = false;  // keep the first position in T

  // Grounded mode.
  double precision_threshold = 0.9;  // theta
  double margin_share = 0.5;         // phi: of the full model's margin
  double contrast_threshold = 0.8;

  double sparse_fraction = 0.1;  // kappa: more than this is DISTRIBUTED

  // Budgets; 0 means none.
  int64_t max_rows = 0;
  double max_seconds = 0;
  int target_units = 0;  // improve only until |S| is this small

  // Robust mode: S must also hold against this attack (attack.h).
  int attack_steps = 0;           // 0: off
  double attack_step_size = 0.1;  // of a mask
  int attack_restarts = 4;

  int improvement_rounds = 4;  // add-and-prune rounds and restarts
  uint64_t seed = 0;
};

struct Question {
  std::vector<models::TokenId> tokens = {};
  // The token to explain; the model's own prediction when absent.
  std::optional<models::TokenId> target = std::nullopt;
  CrystallizeOptions options = {};
  // Units to begin from, distinct and of the scheme: S is what deletion leaves
  // of them, after others were added where they do not pass. There is no
  // improvement then, and in kSufficient T is all positions until S is found.
  std::optional<std::vector<models::UnitId>> initial_units = std::nullopt;
};

enum class Phase {
  kBaseline,
  kPositions,
  kScores,
  kPrefix,
  kDeletion,
  kPositionsGivenUnits,
  kCertificate,
  kImprovement,
  kAssessment,  // precision and contrast on fresh samples
  kAttack,      // robust mode: growth and deletion under the attack
};

enum class Verdict {
  kCrystallized,
  kPrior,            // the scaffold alone passes
  kDistributed,      // the best set found exceeds kappa of the units
  kUnstable,         // the full model does not pass
  kBudgetExhausted,  // the best verified set so far
};

// A share estimated from samples, with its 95 % Wilson interval.
struct Estimate {
  double value = 0;
  double low = 0;
  double high = 0;
  int num_samples = 0;  // 0: could not be estimated
};

struct Effort {
  int64_t rows = 0;           // rows evaluated
  int64_t gradient_rows = 0;  // rows differentiated
  int64_t rounds = 0;         // batches this search waited for
  double seconds = 0;         // since the search began
};

// A verified restriction: m(S, T) > tau_acc was measured. Complete in itself.
struct Event {
  int64_t sequence = 0;  // from 1, without gaps
  Phase phase = Phase::kBaseline;
  std::vector<models::UnitId> units = {};  // S, ascending
  std::vector<int32_t> positions = {};     // T, ascending
  double margin = 0;
  Effort effort = {};
};

// What robust mode found. Says nothing about other attacks.
struct Robustness {
  int steps = 0;
  double step_size = 0;
  int restarts = 0;
  bool holds = false;  // the set given holds against this attack
  // Worst margin found after up to so many steps: of the set given, and of the
  // plain set that robust mode began with.
  std::vector<std::pair<int, double>> curve = {};
  std::vector<std::pair<int, double>> plain_curve = {};
  int plain_units = 0;  // |S| of the plain set
};

// The attack part of a robust certificate; docs/certificate.md.
struct CertifiedAttack {
  int steps = 0;
  double step_size = 0;
  int restarts = 0;
  double margin = 0;  // the worst found
  // Per deletion the lowest margin found: the plain one, or where that (and the
  // contrast or precision) does not refuse it, what the attack finds.
  std::vector<double> unit_deletion_margins = {};
  std::vector<double> position_deletion_margins = {};
};

// Everything an independent program needs to check an explanation.
// search.md §3.7. Margins are logits of the canonical single-row path.
struct Certificate {
  int algorithm_revision = kAlgorithmRevision;
  std::string model_digest = {};
  std::string weights_digest = {};
  std::string config_json = {};  // canonical JSON
  int unit_numbering = models::kUnitNumberingVersion;
  models::UnitScheme scheme = models::UnitScheme::kHeadAndNeuron;
  std::string decomposition_digest = {};  // empty: heads and neurons
  int num_units = 0;                      // in the scheme
  Mode mode = Mode::kGrounded;
  models::ReferenceKind reference = models::ReferenceKind::kZero;
  std::string reference_digest = {};
  models::PositionMode position_mode = models::PositionMode::kKeepIds;
  std::string dtype = {};
  std::string device = {};
  std::vector<models::TokenId> tokens = {};
  models::TokenId target = 0;
  double tau = 0;
  double tau_acc = 0;  // the one threshold every margin is compared with
  // The bar that single deletions are held to. SUFFICIENT: tau_acc. GROUNDED:
  // max(tau_acc, margin_share x margin_full), also the bar of (S, T) itself.
  double required_margin = 0;
  bool pin_first = false;                    // position 0 is never a deletion
  std::vector<models::UnitId> units = {};    // S, ascending
  std::vector<std::string> unit_names = {};  // of S, same order
  std::vector<int32_t> positions = {};       // T, ascending
  double margin = 0;                         // m(S, T)
  std::vector<double> unit_deletion_margins = {};  // per unit of S
  // Per position of T but the readout (and the pinned first). In GROUNDED mode
  // deleting a position may pass the margin and fail the precision instead:
  // then the matching entry of position_deletion_precisions says so.
  std::vector<double> position_deletion_margins = {};
  std::vector<double> position_deletion_precisions = {};  // GROUNDED only
  // GROUNDED: deleting a unit may pass the margin and fail the contrast.
  std::vector<double> unit_deletion_contrasts = {};
  double contrast_threshold = 0;
  // GROUNDED: the samples behind those numbers, so that anyone can recompute
  // them. Sample i of a set T is the prompt on T and replacements[i] elsewhere.
  std::vector<std::vector<models::TokenId>> replacements = {};
  // Prompts on which the full model does not say the target; T counts from the
  // end. All are at least as long as the furthest position of T needs.
  std::vector<std::vector<models::TokenId>> controls = {};
  double precision_threshold = 0;  // GROUNDED only
  double margin_empty = 0;         // m(no units of the scheme, T)
  double margin_full = 0;          // m(all units, all positions)
  int num_borderline = 0;  // margins within the noise floor x 10 of the bar
  int64_t rounds = 0;
  int64_t rows = 0;
  uint64_t seed = 0;
  std::string decision_digest = {};  // over the accept/reject decisions
  std::optional<CertifiedAttack> attack = std::nullopt;  // robust mode only
};

// What a search ends with.
struct Explanation {
  Verdict verdict = Verdict::kUnstable;
  Phase last_phase = Phase::kBaseline;  // reached when the budget ended
  std::vector<models::TokenId> tokens = {};
  models::TokenId target = 0;
  std::vector<models::UnitId> units = {};  // S, ascending
  std::vector<int32_t> positions = {};     // T, ascending
  int num_units = 0;                       // in the scheme
  // Parameters held by S, of subcomponents once for all their positions, as a
  // share of the model's.
  double parameter_share = 0;
  double margin = 0;  // m(S, T)
  double margin_full = 0;
  double margin_empty = 0;
  // Necessity: m(all units of the scheme but S, all positions). Absent where
  // the budget had no row left for it.
  std::optional<double> margin_complement = std::nullopt;
  std::optional<Robustness> robustness = std::nullopt;  // robust mode only
  Estimate precision = {};  // of T, on samples the search did not use
  Estimate contrast = {};   // of (S, T), likewise
  // Sufficient and telling: precision and contrast reach their thresholds.
  bool telling = false;
  std::string remark = {};  // one sentence for people: what it says or not
  std::optional<Certificate> certificate = std::nullopt;
  // DISTRIBUTED: margin against kept fraction, of the best order.
  std::vector<std::pair<double, double>> margin_curve = {};
  Effort effort = {};
};

}  // namespace spar::search
