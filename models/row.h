// L1. A row: one restriction (S, T) of a model on one prompt, to be evaluated.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "models/index_set.h"
#include "models/unit_table.h"

namespace spar::models {

using TokenId = int32_t;

// The value that a unit outside S takes.
enum class ReferenceKind {
  kZero,
  kMean,  // mean activation per position over the model's reference prompts
};

// What deleting positions does to the others' position ids.
enum class PositionMode {
  kKeepIds,  // equal to masking the deleted keys in every layer
  kReindex,  // a shorter real prompt: ids 0..|T|-1
};

// A target that no vocabulary holds: the row's own strongest token, the lowest
// id among equals. For Backend::Evaluate alone.
inline constexpr TokenId kOwnPrediction = -1;

// The part of a row that the rows of one search share. Immutable once shared.
struct Prompt {
  std::vector<TokenId> tokens = {};  // at least one
  TokenId target = 0;                // whose margin is asked, or kOwnPrediction
  ReferenceKind reference = ReferenceKind::kZero;
  PositionMode position_mode = PositionMode::kKeepIds;
  // What the units are; a decomposition's where they are its subcomponents or
  // nodes, else empty.
  UnitSpace space = UnitSpace::kHeadsAndNeurons;
  std::string decomposition = {};
};

// The readout is the last prompt position, which `positions` must hold.
struct Row {
  std::shared_ptr<const Prompt> prompt = nullptr;
  IndexSet units = {};      // S: universe NumUnits(backend, *prompt)
  IndexSet positions = {};  // T: universe tokens.size()
};

// What a row evaluates to. Logits are natural units of the model's output.
struct RowResult {
  TokenId target = 0;  // the prompt's, or the row's own prediction
  float margin = 0;    // target_logit - the largest other logit
  float target_logit = 0;
  float runner_up_logit = 0;  // the largest logit but the target's
  TokenId runner_up = 0;      // lowest id among equals
  float target_log_probability = 0;

  // Whether the target is the strict argmax.
  bool Predicts() const { return margin > 0; }
};

// Rows whose masks are real numbers, for gradients: unit value =
// mask * own + (1 - mask) * reference.
struct GradientRow {
  std::shared_ptr<const Prompt> prompt = nullptr;
  std::vector<float> masks = {};  // [unit], each in [0, 1]
  IndexSet positions = {};
};

// d(smooth margin)/d(mask) at a gradient row. The smooth margin is
// logit(target) - s * logsumexp over the others of (logit / s), s = 1.
struct RowGradient {
  float margin = 0;                  // the plain margin at this row
  float smooth_margin = 0;           //
  std::vector<float> gradient = {};  // [unit]
};

}  // namespace spar::models
