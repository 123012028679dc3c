// L1t. Decomposing a toy whose mechanisms are known, and how well it is found.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

#include "models/studies/identity_error.h"
#include "models/studies/sparse_features.h"
#include "models/studies/toy_target.h"
#include "models/training.h"

namespace spar::studies {

// What is known of a module: a subcomponent for each feature, or so many that
// matter to all.
struct KnownPattern {
  bool identity = true;
  int num_dense = 0;  // where not
};

// A toy, its data, and the recipe that decomposes it.
struct ToyStudy {
  std::string name = {};
  std::function<std::unique_ptr<ToyTarget>(uint64_t seed)> make = nullptr;
  SparseFeatureOptions data = {};
  int num_components = 0;  // of every module
  int ci_hidden = 16;
  double price = 0;  // of importance
  double power = 1;
  int steps = 0;
  models::Schedule rate = {};
  std::vector<KnownPattern> patterns = {};  // by module
};

// The studies of the reference library, by its names: tms_5-2, tms_40-10,
// resid_mlp1.
const std::vector<ToyStudy>& ToyStudies();

struct ModuleFinding {
  std::string name = {};
  KnownPattern pattern = {};
  int error = 0;        // IdentityError or DenseError at tolerance 0.1
  int loose_error = 0;  // at 0.2
  ImportanceTable importances = {};
};

struct ToyFinding {
  models::TrainProgress last = {};  // of the decomposition's training
  std::vector<ModuleFinding> modules = {};
};

using OnToyStep = std::function<void(const models::TrainProgress&)>;

// Trains the toy, then its decomposition, and compares the importances of each
// feature alone, at 0.75, with what is known. `on_step` may be empty. Errors as
// Training::Next.
absl::StatusOr<ToyFinding> Decompose(const ToyStudy& study,
                                     uint64_t seed,
                                     const OnToyStep& on_step);

}  // namespace spar::studies
