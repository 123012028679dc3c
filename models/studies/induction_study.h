// L1t. Decomposing an induction head (arXiv 2511.08854, section 4.1), and which
// subcomponents matter at which positions.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "models/studies/identity_error.h"
#include "models/studies/induction_head.h"
#include "models/training.h"

namespace spar::studies {

// What a position is to the circuit.
enum class Role { kFirstMarker, kAnswer, kLastMarker, kOther };
inline constexpr std::array<Role, 4> kRoles = {
    Role::kFirstMarker, Role::kAnswer, Role::kLastMarker, Role::kOther};

struct InductionStudy {
  InductionHeadOptions target = {};
  int num_components = 20;  // of every module
  int ci_hidden = 8;
  int batch_size = 32;
  double faithfulness = 1e4;  // coefficient
  double price = 0.08;
  double first_power = 2;  // p of the price, over the first half of the steps
  double last_power = 0.4;
  int warmup_steps = 500;  // on faithfulness alone
  double warmup_rate = 1e-2;
  int steps = 6000;
  double rate = 2e-3;  // falls by cosine to a tenth
  uint64_t seed = 0;
};

struct InductionModule {
  std::string name = {};
  // Subcomponents whose mean importance at some role is above kUsed.
  std::vector<int> used = {};
  // Mean sum of the importances of all subcomponents at each of kRoles.
  std::array<double, kRoles.size()> at_role = {};
  ImportanceTable example = {};  // one sequence's, [position][subcomponent]
};

inline constexpr double kUsed = 0.05;

struct InductionFinding {
  double accuracy = 0;       // of the target
  double faithfulness = 0;   // mean square of Delta's entries
  double weight_square = 0;  // of the weights' entries, for comparison
  double ci_masked = 0;      // KL from the target, masks g, no Delta; nats
  double ci_masked_accuracy = 0;
  double rounded = 0;  // KL with masks g > 0.5
  std::vector<InductionModule> modules = {};
  std::vector<int64_t> example = {};  // its token ids
};

using OnInductionStep = std::function<void(const models::TrainProgress&)>;

// Trains the target and its decomposition, with the sequence-aware CI function
// and the partial reconstruction loss, and judges both on sequences neither
// has seen. `on_step` may be empty. Errors as Training::Next.
absl::StatusOr<InductionFinding> DecomposeInductionHead(
    const InductionStudy& study, const OnInductionStep& on_step);

// g: [sequences * length, C]; first_markers: [sequences].
InductionModule FindRoles(std::string name,
                          const at::Tensor& g,
                          const at::Tensor& first_markers,
                          int64_t length);

}  // namespace spar::studies
