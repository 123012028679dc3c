#include "graph/weighting.h"

#include <cmath>

namespace spar::graph {
namespace {

// The factors of the edges into one target.
void Fill(std::span<const int32_t> sources,
          std::span<const float> weights,
          std::span<const double> activations,
          Weighting weighting,
          double* factors) {
  double sum = 0;
  for (const float weight : weights) sum += std::abs(double{weight});
  for (size_t i = 0; i < sources.size(); ++i) {
    const double weight = weights[i];
    switch (weighting) {
      case Weighting::kShare:
        factors[i] = sum > 0 ? std::abs(weight) / sum : 0;
        break;
      case Weighting::kEffect: {
        const double activation = activations[static_cast<size_t>(sources[i])];
        factors[i] = activation != 0 ? weight / activation : 0;
        break;
      }
      case Weighting::kProduct:
        factors[i] = weight;
        break;
    }
  }
}

}  // namespace

PathWeights WeightsOf(const Graph& graph,
                      std::span<const double> activations,
                      Weighting weighting) {
  PathWeights weights;
  weights.factors.resize(static_cast<size_t>(graph.num_edges()));
  for (int target = 0; target < graph.num_nodes(); ++target) {
    Fill(graph.Sources(target), graph.Weights(target), activations, weighting,
         weights.factors.data() + graph.First(target));
  }
  if (weighting == Weighting::kEffect) {
    weights.starts.assign(activations.begin(), activations.end());
  } else {
    weights.starts.assign(static_cast<size_t>(graph.num_nodes()), 1.0);
  }
  return weights;
}

}  // namespace spar::graph
