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
  // t = h + epsilon where h moves with z, one after another: elsewhere h is 0,
  // and powers are dear.
  const float epsilon = static_cast<float>(options.epsilon);
  std::vector<float> moving;
  for (int64_t i = 0; i < count; ++i) {
    const float* const at_z = row(i);
    for (int64_t c = 0; c < width; ++c) {
      if (at_z[c] < 0) continue;
      const bool above = at_z[c] > 1;
      moving.push_back((above ? 1 + kHostLeak * (at_z[c] - 1) : at_z[c]) +
                       epsilon);
    }
  }
  const at::Tensor powers =
      at::from_blob(moving.data(), {static_cast<int64_t>(moving.size())},
                    at::TensorOptions().dtype(at::kFloat))
          .pow(options.power - 1);
  const float* const lower = powers.const_data_ptr<float>();
  const double idle = std::pow(options.epsilon, options.power);
  std::vector<double> sums(static_cast<size_t>(width));  // S_c
  size_t next = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float* const at_z = row(i);
    for (int64_t c = 0; c < width; ++c) {
      if (at_z[c] < 0) {
        sums[c] += idle;
      } else {
        sums[c] += static_cast<double>(lower[next]) * moving[next];
        ++next;
      }
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
  next = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float* const at_z = row(i);
    float* const out = slopes.mutable_data_ptr<float>() + i * width;
    for (int64_t c = 0; c < width; ++c) {
      if (at_z[c] < 0) continue;
      const float inner = at_z[c] > 1 ? kHostLeak * lower[next] : lower[next];
      out[c] += inner * outer[c];
      ++next;
    }
  }
  return loss / static_cast<double>(count);
}

}  // namespace spar::models
