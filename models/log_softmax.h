// L1. Log-probabilities of the toys, in float64.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace spar::models {

// logits: at least one.
inline std::vector<double> LogSoftmax(std::vector<double> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit - largest);
  for (double& logit : logits) logit -= largest + std::log(sum);
  return logits;
}

}  // namespace spar::models
