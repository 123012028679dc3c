// L3. One question on its way to an answer: what all phases share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"

#include "models/backend.h"
#include "models/digest.h"
#include "server/search/explanation.h"
#include "server/search/oracle.h"
#include "server/search/question_units.h"
#include "server/search/search.h"

namespace spar::search {

// (S, T). S counts the units of the scheme only.
struct Restriction {
  models::IndexSet units = {};
  models::IndexSet positions = {};

  friend bool operator==(const Restriction&, const Restriction&) = default;
  template <typename H>
  friend H AbslHashValue(H hash, const Restriction& restriction) {
    return H::combine(std::move(hash), restriction.units,
                      restriction.positions);
  }
};

// Which part of a restriction a phase works on.
enum class Axis { kUnits, kPositions };

// What a restriction came to.
struct Trial {
  double margin = 0;
  double contrast = -1;  // -1: not asked
  bool passes = false;   // the margin, and where it is asked the contrast
};

// What a decision was about; see Case::Decide.
enum class Decision : char {
  kUnit = 'u',      // deletion of a unit
  kBlock = 'b',     // deletion of a block of units that begins with this one
  kPosition = 't',  // deletion of a position
  kAdded = 'a',     // the fixed positions with this one more; -1: alone
  kPrefix = 'p',    // a prefix of this size
  kSwap = 's',      // the improvement trial of this number
  kRestart = 'r',   // the set from the order of this number
  kInitial = 'i',   // the given units, so many
  kHeldOut = 'h',   // T of this size on the held-out samples
  kContrast = 'c',  // S of this size, or all units, on the controls
  kAttack = 'x',    // S of this size under the attack; see robust.h
};

// A prompt on which the full model does not say the target.
using Control = std::shared_ptr<const models::Prompt>;

// What of the model the searches use. Everything outlives them.
struct Subject {
  const models::ModelInfo* info = nullptr;
  const models::UnitTable* units = nullptr;  // heads and neurons
  const models::Calibration* calibration = nullptr;
  std::span<const std::vector<models::TokenId>> reference_prompts = {};
  std::span<const models::DecompositionInfo> decompositions = {};
  std::string zero_digest = {};  // of the zero reference
  std::string mean_digest = {};  // empty: no mean reference
};

// Lives on the loop's thread and outlives the frames of its search.
class Case {
 public:
  using OnEvent = std::function<void(const Event&)>;

  Case(const Subject& subject,
       Question question,
       Oracle* oracle,
       OnEvent on_event);

  const Subject subject;
  const Question question;
  Oracle* const oracle;
  // Null where the units are heads and neurons.
  const models::DecompositionInfo* const decomposition;
  const QuestionUnits units;
  const std::vector<models::UnitId> candidates;  // of the scheme, ascending
  const double tau_acc;
  const double noise;  // margins this near a bar are asked again alone

  // Set by the baseline.
  std::shared_ptr<const models::Prompt> prompt = nullptr;
  double margin_full = 0;
  double margin_empty = 0;

  // The bar of (S, T) and of its single deletions.
  double required_margin = 0;
  // Active while contrast_bar > 0.
  std::vector<Control> controls = {};
  double contrast_bar = 0;
  // GROUNDED: the held-out samples that decide on T.
  std::shared_ptr<const std::vector<std::vector<models::TokenId>>>
      replacements = nullptr;

  // Robust mode, once it has begun.
  std::optional<Robustness> robustness = std::nullopt;

  // Of the units, best first; heuristics that the phases leave to each other.
  std::vector<std::vector<int32_t>> orders = {};
  // What the decomposition says of the prompt; absent until it was asked, or
  // where it reads no prompt so long.
  std::optional<models::PromptImportances> importances = std::nullopt;
  bool asked_importances = false;

  Phase phase = Phase::kBaseline;
  Restriction best = {};  // verified: best_margin > tau_acc was measured
  double best_margin = 0;
  bool has_best = false;
  bool trying = false;  // what is found is not kept: it may be larger

  int num_tokens() const { return static_cast<int>(question.tokens.size()); }
  const CrystallizeOptions& options() const { return question.options; }
  const std::vector<models::TokenId>& tokens() const { return question.tokens; }
  bool grounded() const { return options().mode == Mode::kGrounded; }

  models::IndexSet NoUnits() const { return models::IndexSet(units.size()); }
  models::IndexSet AllUnits() const;  // of the scheme
  models::IndexSet AllPositions() const {
    return models::IndexSet::All(num_tokens());
  }
  // The positions that are never deleted: the readout, and the first if pinned.
  models::IndexSet FixedPositions() const;
  bool IsFixed(int position) const {
    return position == num_tokens() - 1 ||
           (options().pin_first && position == 0);
  }

  // Those of `positions` that may be deleted, ascending.
  std::vector<int32_t> FreePositions(const models::IndexSet& positions) const;

  // The restriction on the question's prompt, or on a control with T counted
  // from the end.
  models::Row RowOf(const Restriction& restriction) const;
  // The question's prompt on `positions` under `masks`, [unit].
  models::GradientRow GradientRowOf(const models::IndexSet& positions,
                                    std::vector<float> masks) const;
  models::Row ControlRow(const Control& control,
                         const Restriction& restriction) const;
  // The full model on `tokens`: a row of heads and neurons, whatever the
  // question's units.
  models::Row FullRow(std::vector<models::TokenId> tokens) const;
  // `tokens` as a prompt whose units are the question's.
  Control ControlOf(std::vector<models::TokenId> tokens) const;
  std::vector<float> MasksOf(const models::IndexSet& kept) const;

  // Keeps the restriction as the best and tells the listener, unless `trying`.
  void Keep(const Restriction& restriction, double margin);
  // Notes a decision: part of decision_digest. Every outcome that a phase acts
  // on is noted, in order; rows that were asked ahead and not used are not.
  void Decide(Decision decision, int item, bool accepted);
  const std::string& decisions() const { return decisions_; }
  std::string DecisionDigest() const;

  // What is known of a restriction; null: nothing. Remembers within a bound.
  const Trial* Known(const Restriction& restriction) const;
  void Remember(const Restriction& restriction, const Trial& trial);

 private:
  // Bytes of the restrictions that are remembered.
  static constexpr size_t kKnownBytes = size_t{8} << 20;

  const OnEvent on_event_;
  int64_t sequence_ = 0;
  std::string decisions_;
  absl::flat_hash_map<Restriction, Trial> known_;
};

// Judges restrictions, in order. Margins nearer the bar than the noise are
// measured again alone, and that value decides: the outcome does not depend on
// what else was in the batch. A restriction judged before is not asked again.
// kApart where the margins themselves are compared with each other later: all
// are measured, in one batch of their own.
Search<std::vector<Trial>> Judge(
    Case* c,
    std::vector<Restriction> restrictions,
    schedule::Sharing sharing = schedule::Sharing::kShared);

// Whether the model says the target on each row (margin > 0), in order; with
// the same care.
Search<std::vector<bool>> Says(Case* c, std::vector<models::Row> rows);

// The restriction without `item`; with it.
Restriction Without(Restriction restriction, Axis axis, int item);
Restriction With(Restriction restriction, Axis axis, int item);
inline models::IndexSet& Side(Restriction& restriction, Axis axis) {
  return axis == Axis::kUnits ? restriction.units : restriction.positions;
}

}  // namespace spar::search
