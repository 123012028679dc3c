// L3. One question on its way to an answer: what all phases share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/backend.h"
#include "models/digest.h"
#include "server/search/explanation.h"
#include "server/search/oracle.h"
#include "server/search/search.h"

namespace spar::search {

// (S, T). S counts the units of the scheme only.
struct Restriction {
  models::IndexSet units = {};
  models::IndexSet positions = {};

  friend bool operator==(const Restriction&, const Restriction&) = default;
};

// Which part of a restriction a phase works on.
enum class Axis { kUnits, kPositions };

// What a restriction came to.
struct Trial {
  double margin = 0;
  double contrast = -1;  // -1: not asked
  bool passes = false;   // the margin, and where it is asked the contrast
};

// A prompt on which the full model does not say the target.
using Control = std::shared_ptr<const models::Prompt>;

// What of the model the searches use. Everything outlives them.
struct Subject {
  const models::ModelInfo* info = nullptr;
  const models::UnitTable* units = nullptr;
  const models::Calibration* calibration = nullptr;
  std::span<const std::vector<models::TokenId>> reference_prompts = {};
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

  Phase phase = Phase::kBaseline;
  Restriction best = {};  // verified: best_margin > tau_acc was measured
  double best_margin = 0;
  bool has_best = false;

  int num_tokens() const { return static_cast<int>(question.tokens.size()); }
  const CrystallizeOptions& options() const { return question.options; }
  const std::vector<models::TokenId>& tokens() const { return question.tokens; }
  bool grounded() const { return options().mode == Mode::kGrounded; }

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

  // The restriction on the question's prompt, or on a control with T counted
  // from the end.
  models::Row RowOf(const Restriction& restriction) const;
  models::Row ControlRow(const Control& control,
                         const Restriction& restriction) const;
  // The full model on `tokens`.
  models::Row FullRow(std::vector<models::TokenId> tokens) const;
  std::vector<float> MasksOf(const models::IndexSet& units) const;

  // Keeps the restriction as the best and tells the listener.
  void Keep(const Restriction& restriction, double margin);
  // Notes a decision: part of decision_digest.
  void Decide(Axis axis, int item, bool accepted);
  std::string DecisionDigest() const;

 private:
  const OnEvent on_event_;
  const models::IndexSet outside_scheme_;  // always at their own value
  int64_t sequence_ = 0;
  std::string decisions_;
};

// Judges restrictions, in order. Margins nearer the bar than the noise are
// measured again alone, and that value decides: the outcome does not depend on
// what else was in the batch.
// kApart where the margins themselves are compared with each other later.
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
