#include "models/torch/train/leaky_slopes.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

constexpr float kHostLeak = 0.01f;

// Rows of a matrix whose entries lie side by side, as views of columns do.
at::Tensor WithPlainRows(const at::Tensor& x) {
  return x.stride(1) == 1 ? x : x.contiguous();
}

}  // namespace

at::Tensor LowerLeakySlope(const at::Tensor& z,
                           const at::Tensor& upstream,
                           double scale) {
  const at::Tensor rows = WithPlainRows(z), slopes = WithPlainRows(upstream);
  at::Tensor result = at::empty(z.sizes(), at::dtype(at::kFloat));
  const int64_t width = z.size(1);
  const float factor = static_cast<float>(scale);
  for (int64_t i = 0; i < z.size(0); ++i) {
    const float* const at_z = rows.const_data_ptr<float>() + i * rows.stride(0);
    const float* const g =
        slopes.const_data_ptr<float>() + i * slopes.stride(0);
    float* const out = result.mutable_data_ptr<float>() + i * width;
    for (int64_t c = 0; c < width; ++c) {
      const float dead = kHostLeak * std::min(g[c], 0.0f);
      const float inside = at_z[c] > 1 ? 0.0f : g[c];
      out[c] = factor * (at_z[c] > 0 ? inside : dead);
    }
  }
  return result;
}

double AddLeakyPrice(const at::Tensor& z,
                     const LeakyPriceOptions& options,
                     at::Tensor& slopes) {
  const at::Tensor rows = WithPlainRows(z);
  const int64_t count = z.size(0), width = z.size(1);
  const auto row = [&](int64_t i) {
    return rows.const_data_ptr<float>() + i * rows.stride(0);
  };
  // t = h + epsilon, then t^(p - 1). No loop branches on z.
  const float epsilon = static_cast<float>(options.epsilon);
  at::Tensor raised = at::empty({count, width}, at::dtype(at::kFloat));
  for (int64_t i = 0; i < count; ++i) {
    const float* const at_z = row(i);
    float* const t = raised.mutable_data_ptr<float>() + i * width;
    for (int64_t c = 0; c < width; ++c) {
      const float leaked = 1 + kHostLeak * (at_z[c] - 1);
      const float above = at_z[c] > 1 ? leaked : at_z[c];
      t[c] = (at_z[c] < 0 ? 0.0f : above) + epsilon;
    }
  }
  const at::Tensor lower = raised.pow(options.power - 1);
  std::vector<double> sums(static_cast<size_t>(width));  // S_c
  for (int64_t i = 0; i < count; ++i) {
    const float* const t = raised.const_data_ptr<float>() + i * width;
    const float* const power = lower.const_data_ptr<float>() + i * width;
    for (int64_t c = 0; c < width; ++c) {
      sums[c] += static_cast<double>(power[c] * t[c]);
    }
  }
  double loss = 0;
  std::vector<float> outer(static_cast<size_t>(width));
  for (int64_t c = 0; c < width; ++c) {
    const double log = std::log1p(sums[c]) / std::numbers::ln2;
    loss += sums[c] * (1 + options.beta * log);
    const double of_sum =
        1 +
        options.beta * (log + sums[c] / ((1 + sums[c]) * std::numbers::ln2));
    outer[c] = static_cast<float>(options.coefficient * of_sum * options.power /
                                  static_cast<double>(count));
  }
  for (int64_t i = 0; i < count; ++i) {
    const float* const at_z = row(i);
    const float* const power = lower.const_data_ptr<float>() + i * width;
    float* const out = slopes.mutable_data_ptr<float>() + i * width;
    for (int64_t c = 0; c < width; ++c) {
      const float moves = at_z[c] > 1 ? kHostLeak : 1.0f;
      out[c] += (at_z[c] < 0 ? 0.0f : moves) * power[c] * outer[c];
    }
  }
  return loss / static_cast<double>(count);
}

}  // namespace spar::models
