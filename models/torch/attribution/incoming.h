// L1t. Where the edge kernels put what they compute: target by target, all that
// flows into it.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "absl/status/status.h"

#include "models/attribution.h"

namespace spar::models {

// Values from consecutive nodes of one site.
struct IncomingSpan {
  int32_t source_site = 0;
  int32_t first_source = 0;
  std::span<const double> values = {};
};

class IncomingSink {
 public:
  virtual ~IncomingSink() = default;

  // All edges into one target, before importances. The spans are ascending by
  // source and live until this returns.
  virtual absl::Status OnTarget(int32_t target_site,
                                int32_t target,
                                std::span<const IncomingSpan> from) = 0;
  // Every target of the sites so far has been given.
  virtual absl::Status EndOfSites() = 0;
};

// Gathers one of the identities of a graph.
class IdentityCheck {
 public:
  // One target of `site`: the sum of its contributions, what it should be, and
  // the largest magnitude among them and the terms that cancel in them.
  void Add(int32_t site, double sum, double prediction, double largest);
  IdentityResidual Result() const;

 private:
  struct Site {
    double worst = 0;
    double largest = 0;
  };
  std::map<int32_t, Site> sites_;
  int64_t targets_ = 0;
};

struct IdentityChecks {
  IdentityCheck stream = {};
  IdentityCheck values = {};
};

}  // namespace spar::models
