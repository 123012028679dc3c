// A decoder with masked subcomponents in plain float64 loops: no tensors, no
// reuse, nothing of the engine but the description of the model.
#pragma once

#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "models/row.h"
#include "models/snapshot/snapshot.h"

namespace spar::models {

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;

// One decomposed tensor: with Delta x = W x - sum_c a_c U_c,
//   y = sum_c (m_c a_c + (1 - m_c) mean a_c) U_c + d Delta x + (1 - d) mean
//   Delta x.
struct PlainModule {
  Matrix v = {};       // [C][d_in]
  Matrix u = {};       // [C][d_out]
  Matrix masks = {};   // [token][C]
  Vector deltas = {};  // [token]
  // Empty: zero.
  Matrix mean_activations = {};  // [token][C]
  Matrix mean_deltas = {};       // [token][d_out]
};

class PlainDecoder {
 public:
  explicit PlainDecoder(const Snapshot& snapshot)
      : snapshot_(snapshot), spec_(snapshot.spec()) {}

  // By the checkpoint's tensor name.
  std::map<std::string, PlainModule> modules = {};
  std::function<double(int layer, int position, int head)> head_scale =
      [](int, int, int) { return 1.0; };
  std::function<double(int layer, int position, int neuron)> neuron_scale =
      [](int, int, int) { return 1.0; };

  // Called with what every decomposed tensor makes of a token, maybe more than
  // once.
  std::function<void(const std::string& tensor,
                     int token,
                     const Vector& activations,
                     const Vector& delta)>
      see = nullptr;

  // `ids`: position of each token; empty: 0, 1, ....
  Matrix Logits(const std::vector<TokenId>& tokens, std::vector<int> ids = {}) {
    const int length = static_cast<int>(tokens.size());
    if (ids.empty()) {
      for (int t = 0; t < length; ++t) ids.push_back(t);
    }
    ids_ = std::move(ids);
    Matrix x(length);
    for (int t = 0; t < length; ++t) {
      x[t] = Embedding(tokens[t], t);
      if (spec_.positions == PositionKind::kLearned) {
        Add(x[t], Whole(spec_.position_embedding)[ids_[t]]);
      }
    }
    for (int layer = 0; layer < spec_.num_layers; ++layer) Layer(layer, x);
    Matrix logits;
    const WeightRef& out = spec_.tied_embeddings ? spec_.token_embedding
                                                 : spec_.unembedding.weight;
    for (int t = 0; t < length; ++t) {
      logits.push_back(Times(Whole(out), Norm(spec_.final_norm, x[t])));
      if (spec_.unembedding.bias.present()) {
        Add(logits.back(), BiasOf(spec_.unembedding.bias));
      }
    }
    return logits;
  }

 private:
  static void Add(Vector& to, const Vector& what, double factor = 1) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += factor * what[i];
  }

  static double Dot(const Vector& a, const Vector& b) {
    double sum = 0;
    for (size_t i = 0; i < b.size(); ++i) sum += a[i] * b[i];
    return sum;
  }

  static Vector Times(const Matrix& matrix, const Vector& x) {
    Vector y;
    for (const Vector& row : matrix) y.push_back(Dot(row, x));
    return y;
  }

  // The stored tensor, [out][in] of all outputs; of a vector [1][out].
  const Matrix& Whole(const WeightRef& ref) {
    const auto [entry, is_new] = wholes_.try_emplace(ref.tensor);
    if (!is_new) return entry->second;
    const TensorView& view = snapshot_.Tensor(ref.tensor);
    const float* const values =
        reinterpret_cast<const float*>(view.bytes.data());
    const int64_t columns = view.shape.back();
    const int64_t rows = view.shape.size() == 1 ? 1 : view.shape[0];
    Matrix matrix(ref.transposed ? columns : rows,
                  Vector(ref.transposed ? rows : columns));
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        (ref.transposed ? matrix[j][i] : matrix[i][j]) =
            values[i * columns + j];
      }
    }
    return entry->second = std::move(matrix);
  }

  static Vector Part(const WeightRef& ref, const Vector& whole) {
    const int64_t size =
        static_cast<int64_t>(whole.size()) / (ref.groups * ref.parts);
    Vector part;
    for (int group = 0; group < ref.groups; ++group) {
      const int64_t first = (group * ref.parts + ref.part) * size;
      for (int64_t i = 0; i < size; ++i) part.push_back(whole[first + i]);
    }
    return part;
  }

  Vector BiasOf(const WeightRef& ref) {
    return Part(ref, Whole({.tensor = ref.tensor})[0]);
  }

  // What a masked tensor writes, given W x and the activations.
  Vector Masked(const std::string& tensor,
                const PlainModule& module,
                int token,
                const Vector& target,
                const Vector& activations) {
    Vector delta = target;
    for (size_t c = 0; c < module.u.size(); ++c) {
      Add(delta, module.u[c], -activations[c]);
    }
    if (see) see(tensor, token, activations, delta);
    Vector y(target.size());
    Add(y, delta, module.deltas[token]);
    if (!module.mean_deltas.empty()) {
      Add(y, module.mean_deltas[token], 1 - module.deltas[token]);
    }
    for (size_t c = 0; c < module.u.size(); ++c) {
      const double mask = module.masks[token][c];
      const double mean = module.mean_activations.empty()
                              ? 0
                              : module.mean_activations[token][c];
      Add(y, module.u[c], mask * activations[c] + (1 - mask) * mean);
    }
    return y;
  }

  Vector Apply(const Affine& affine, int position, const Vector& x) {
    Vector y = Times(Whole(affine.weight), x);
    const auto found = modules.find(affine.weight.tensor);
    if (found != modules.end()) {
      y = Masked(found->first, found->second, position, y,
                 Times(found->second.v, x));
    }
    y = Part(affine.weight, y);
    if (affine.bias.present()) Add(y, BiasOf(affine.bias));
    return y;
  }

  Vector Embedding(TokenId token, int position) {
    const Vector& row = Whole(spec_.token_embedding)[token];
    const auto found = modules.find(spec_.token_embedding.tensor);
    if (found == modules.end()) return row;
    Vector activations;
    for (const Vector& v : found->second.v) activations.push_back(v[token]);
    return Masked(found->first, found->second, position, row, activations);
  }

  Vector Norm(const Affine& norm, Vector x) {
    const double n = static_cast<double>(x.size());
    if (spec_.norm == NormKind::kLayerNorm) {
      double mean = 0;
      for (const double value : x) mean += value / n;
      for (double& value : x) value -= mean;
    }
    const double scale = 1 / std::sqrt(Dot(x, x) / n + spec_.norm_epsilon);
    const Vector gain = BiasOf(norm.weight);
    for (size_t i = 0; i < x.size(); ++i) x[i] *= scale * gain[i];
    if (norm.bias.present()) Add(x, BiasOf(norm.bias));
    return x;
  }

  double Activate(double x) const {
    switch (spec_.activation) {
      case Activation::kGeluTanh:
        return x / 2 *
               (1 + std::tanh(std::sqrt(2 / std::numbers::pi) *
                              (x + 0.044715 * x * x * x)));
      case Activation::kGeluErf:
        return x / 2 * (1 + std::erf(x / std::numbers::sqrt2));
      case Activation::kSilu:
        return x / (1 + std::exp(-x));
      case Activation::kRelu:
        break;
    }
    return x > 0 ? x : 0;
  }

  // Every head of q or k at a position. Unscaled frequencies only.
  void Rotate(Vector& heads, int position) const {
    const Rotary& rotary = spec_.rotary;
    if (spec_.positions != PositionKind::kRotary) return;
    for (size_t h = 0; h < heads.size(); h += spec_.head_dim) {
      for (int j = 0; j < rotary.dim / 2; ++j) {
        const double angle =
            position * std::pow(rotary.theta, -2.0 * j / rotary.dim);
        const int a = rotary.adjacent_pairs ? 2 * j : j;
        const int b = rotary.adjacent_pairs ? 2 * j + 1 : j + rotary.dim / 2;
        const double first = heads[h + a], second = heads[h + b];
        heads[h + a] = first * std::cos(angle) - second * std::sin(angle);
        heads[h + b] = second * std::cos(angle) + first * std::sin(angle);
      }
    }
  }

  Vector Attention(int layer,
                   int t,
                   const Matrix& q,
                   const Matrix& k,
                   const Matrix& v) const {
    const LayerSpec& spec = spec_.layers[layer];
    const int dim = spec_.head_dim;
    Vector mixed(static_cast<size_t>(spec_.num_heads) * dim);
    for (int h = 0; h < spec_.num_heads; ++h) {
      const int kv = h / (spec_.num_heads / spec_.num_kv_heads) * dim;
      Vector weights(t + 1);
      double sum = 0;
      for (int s = 0; s <= t; ++s) {
        const bool windowed = spec.sliding_window > 0;
        if (windowed && ids_[s] <= ids_[t] - spec.sliding_window) continue;
        double score = 0;
        for (int i = 0; i < dim; ++i) {
          score += q[t][h * dim + i] * k[s][kv + i];
        }
        weights[s] = std::exp(spec.attention_scale * score);
        sum += weights[s];
      }
      for (int s = 0; s <= t; ++s) {
        for (int i = 0; i < dim; ++i) {
          mixed[h * dim + i] +=
              weights[s] / sum * v[s][kv + i] * head_scale(layer, t, h);
        }
      }
    }
    return mixed;
  }

  void Layer(int layer, Matrix& x) {
    const LayerSpec& spec = spec_.layers[layer];
    const int length = static_cast<int>(x.size());
    Matrix q, k, v;
    for (int t = 0; t < length; ++t) {
      const Vector normed = Norm(spec.attention_norm, x[t]);
      q.push_back(Apply(spec.q, t, normed));
      k.push_back(Apply(spec.k, t, normed));
      v.push_back(Apply(spec.v, t, normed));
      Rotate(q[t], ids_[t]);
      Rotate(k[t], ids_[t]);
    }
    for (int t = 0; t < length; ++t) {
      Vector stream = x[t];
      Add(x[t], Apply(spec.o, t, Attention(layer, t, q, k, v)));
      const Vector normed =
          Norm(spec.mlp_norm, spec_.parallel_residual ? stream : x[t]);
      Vector neurons = Apply(spec.up, t, normed);
      if (spec_.gated_mlp) {
        const Vector gate = Apply(spec.gate, t, normed);
        for (size_t i = 0; i < neurons.size(); ++i) {
          neurons[i] *= Activate(gate[i]);
        }
      } else {
        for (double& neuron : neurons) neuron = Activate(neuron);
      }
      for (size_t i = 0; i < neurons.size(); ++i) {
        neurons[i] *= neuron_scale(layer, t, static_cast<int>(i));
      }
      Add(x[t], Apply(spec.down, t, neurons));
    }
  }

  const Snapshot& snapshot_;
  const DecoderSpec& spec_;
  std::map<std::string, Matrix> wholes_ = {};
  std::vector<int> ids_ = {};  // of the run at hand
};

}  // namespace spar::models
