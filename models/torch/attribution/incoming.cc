#include "models/torch/attribution/incoming.h"

#include <algorithm>
#include <cmath>

namespace spar::models {

void IdentityCheck::Add(int32_t site,
                        double sum,
                        double prediction,
                        double largest) {
  Site& of = sites_[site];
  of.worst = std::max(of.worst, std::abs(sum - prediction));
  of.largest = std::max(of.largest, largest);
  ++targets_;
}

IdentityResidual IdentityCheck::Result() const {
  IdentityResidual result{.targets = targets_};
  for (const auto& [site, of] : sites_) {
    result.worst = std::max(result.worst, of.worst);
    if (of.worst > 0) {
      result.relative = std::max(result.relative, of.worst / of.largest);
    }
  }
  return result;
}

}  // namespace spar::models
