// L1. See Note [The fake model].
#include "models/fake_model.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"

namespace spar::models {
namespace {

std::vector<LayerUnits> MakeLayers(const FakeShape& shape) {
  std::vector<LayerUnits> layers;
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    LayerUnits units{};
    units.num_heads = shape.num_heads;
    units.num_neurons = shape.num_neurons;
    units.attention_module = base::Cat("fake.", layer, ".attn");
    units.mlp_module = base::Cat("fake.", layer, ".mlp");
    units.parameters_per_head = 3 * kFakeWidth + 1;
    units.parameters_per_neuron = 2 * kFakeWidth;
    layers.push_back(std::move(units));
  }
  return layers;
}

}  // namespace

double Dot(const FakeVector& a, const FakeVector& b) {
  double sum = 0;
  for (int i = 0; i < kFakeWidth; ++i) sum += a[i] * b[i];
  return sum;
}

void AddScaled(const FakeVector& v, double scale, FakeVector& sum) {
  for (int i = 0; i < kFakeWidth; ++i) sum[i] += scale * v[i];
}

FakeVector FakeRandom::SymmetricVector(double scale) {
  FakeVector vector{};
  for (double& value : vector) value = Symmetric(scale);
  return vector;
}

std::vector<int> FakeDistances(const Prompt& prompt,
                               const std::vector<int32_t>& kept) {
  const int num_kept = static_cast<int>(kept.size());
  std::vector<int> distances;
  for (int i = 0; i < num_kept; ++i) {
    distances.push_back(prompt.position_mode == PositionMode::kKeepIds
                            ? kept.back() - kept[i]
                            : num_kept - 1 - i);
  }
  return distances;
}

FakeModel::FakeModel(const FakeShape& shape)
    : shape_(shape), units_(MakeLayers(shape)) {
  FakeRandom random(shape.seed);
  for (int token = 0; token < shape.vocab_size; ++token) {
    embedding_.push_back(random.SymmetricVector(1));
    unembedding_.push_back(random.SymmetricVector(1));
  }
  for (int id = 0; id < units_.size(); ++id) {
    UnitWeights unit{};
    unit.key = random.SymmetricVector(3);
    unit.slope = 0.3 + random.Symmetric(0.3);
    unit.in = random.SymmetricVector(1.5);
    unit.out = random.SymmetricVector(1);
    weights_.push_back(unit);
  }
}

std::vector<double> FakeModel::HeadValues(const Prompt& prompt,
                                          const IndexSet& positions) const {
  const std::vector<int32_t> kept = positions.Members();
  const std::vector<int> distances = FakeDistances(prompt, kept);
  std::vector<double> values(units_.size(), 0.0);
  std::vector<double> scores(kept.size());
  for (int id = 0; id < units_.size(); ++id) {
    if (units_.At(id).kind != UnitKind::kHead) continue;
    const UnitWeights& unit = weights_[id];
    double sum = 0;
    for (size_t i = 0; i < kept.size(); ++i) {
      const FakeVector& embedding = embedding_[prompt.tokens[kept[i]]];
      scores[i] =
          std::exp(Dot(unit.key, embedding) - unit.slope * distances[i]);
      sum += scores[i];
    }
    for (size_t i = 0; i < kept.size(); ++i) {
      const FakeVector& embedding = embedding_[prompt.tokens[kept[i]]];
      values[id] += scores[i] / sum * Dot(unit.in, embedding);
    }
  }
  return values;
}

FakeForward FakeModel::Run(const FakeRun& run) const {
  FakeForward forward{};
  forward.own = HeadValues(run.prompt, run.positions);
  forward.slope.assign(units_.size(), 0.0);
  const FakeVector start = embedding_[run.prompt.tokens.back()];
  FakeVector x = start;
  const auto add = [&](int id) {
    const double reference = run.references.empty() ? 0.0 : run.references[id];
    const double mask = run.masks[id];
    const double value = mask * forward.own[id] + (1.0 - mask) * reference;
    AddScaled(weights_[id].out, value, x);
  };
  // Ids go layer by layer, heads before neurons: the order of the arithmetic.
  int id = 0;
  for (int layer = 0; layer < shape_.num_layers; ++layer) {
    for (int head = 0; head < shape_.num_heads; ++head) add(id++);
    if (!run.shifts.empty()) AddScaled(run.shifts[layer], 1, x);
    const FakeVector read = x;  // by all neurons of the layer
    for (int neuron = 0; neuron < shape_.num_neurons; ++neuron) {
      const FakeVector& in = weights_[id].in;
      const double pre = Dot(in, start) +
                         shape_.interaction * (Dot(in, read) - Dot(in, start));
      forward.own[id] = std::tanh(pre);
      forward.slope[id] = 1 - forward.own[id] * forward.own[id];
      add(id++);
    }
  }
  forward.logits.resize(shape_.vocab_size);
  for (int token = 0; token < shape_.vocab_size; ++token) {
    forward.logits[token] = Dot(unembedding_[token], x);
  }
  return forward;
}

FakeSlopes FakeModel::Differentiate(const FakeRun& run,
                                    const FakeForward& forward) const {
  const TokenId target = run.prompt.target;
  double largest = -1e300;
  for (int token = 0; token < shape_.vocab_size; ++token) {
    if (token == target) continue;
    largest = std::max(largest, forward.logits[token]);
  }
  double sum = 0;
  for (int token = 0; token < shape_.vocab_size; ++token) {
    if (token == target) continue;
    sum += std::exp(forward.logits[token] - largest);
  }
  FakeSlopes slopes;
  slopes.smooth_margin = forward.logits[target] - largest - std::log(sum);
  // d(smooth margin)/d(stream), from the end back to each unit.
  FakeVector to_x{};
  for (int token = 0; token < shape_.vocab_size; ++token) {
    const double weight =
        token == target ? 1.0
                        : -std::exp(forward.logits[token] - largest) / sum;
    AddScaled(unembedding_[token], weight, to_x);
  }
  slopes.of_masks.resize(units_.size());
  slopes.of_shifts.resize(shape_.num_layers);
  int id = units_.size() - 1;
  // Gives the unit its slope, and says how the stream moves it by its value.
  const auto take = [&] {
    const double along = Dot(to_x, weights_[id].out);
    const double reference = run.references.empty() ? 0.0 : run.references[id];
    slopes.of_masks[id] =
        static_cast<float>(along * (forward.own[id] - reference));
    return along;
  };
  for (int layer = shape_.num_layers - 1; layer >= 0; --layer) {
    FakeVector to_read = to_x;
    for (int neuron = 0; neuron < shape_.num_neurons; ++neuron) {
      const double along = take();
      AddScaled(weights_[id].in,
                run.masks[id] * along * forward.slope[id] * shape_.interaction,
                to_read);
      --id;
    }
    to_x = to_read;
    slopes.of_shifts[layer] = to_x;
    for (int head = 0; head < shape_.num_heads; ++head) {
      take();
      --id;
    }
  }
  return slopes;
}

}  // namespace spar::models
