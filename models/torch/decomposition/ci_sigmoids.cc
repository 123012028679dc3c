#include "models/torch/decomposition/ci_sigmoids.h"

#include "models/torch/aten.h"

namespace spar::models {
namespace {

constexpr double kLeak = 0.01;
constexpr double kSwishSharpness = 10;
constexpr double kBinomialScale = 1.05;
constexpr double kBinomialShift = 0.025;

at::Tensor HardSlope(const at::Tensor& z, const at::Tensor& upstream) {
  return at::where((z >= 0) & (z <= 1), upstream, 0.0 * upstream);
}

at::Tensor UpperLeakyHard(const at::Tensor& z) {
  return at::clamp(z, 0, 1) + kLeak * at::clamp(z - 1, 0);
}

at::Tensor UpperLeakyHardSlope(const at::Tensor& z,
                               const at::Tensor& upstream) {
  return at::where(z > 1, kLeak * upstream, HardSlope(z, upstream));
}

at::Tensor LowerLeakyHardSlope(const at::Tensor& z,
                               const at::Tensor& upstream) {
  const at::Tensor zero = 0.0 * upstream;
  const at::Tensor dead = kLeak * at::clamp(upstream, std::nullopt, 0);
  return at::where(z > 1, zero, at::where(z > 0, upstream, dead));
}

// u * logistic(+-10 u), and its derivative.
at::Tensor Swish(const at::Tensor& u, double sharpness) {
  return u * at::sigmoid(sharpness * u);
}

at::Tensor SwishSlope(const at::Tensor& u, double sharpness) {
  const at::Tensor s = at::sigmoid(sharpness * u);
  return s + sharpness * u * s * (1 - s);
}

at::Tensor SwishHard(const at::Tensor& z) {
  const at::Tensor w = z - 0.5;
  const double k = kSwishSharpness;
  return 0.5 + Swish(w - 0.5, -k) - Swish(w, k) + Swish(w + 0.5, k) -
         Swish(w, -k);
}

at::Tensor SwishHardSlope(const at::Tensor& z) {
  const at::Tensor w = z - 0.5;
  const double k = kSwishSharpness;
  return SwishSlope(w - 0.5, -k) - SwishSlope(w, k) + SwishSlope(w + 0.5, k) -
         SwishSlope(w, -k);
}

at::Tensor LogisticSlope(const at::Tensor& z) {
  const at::Tensor s = at::sigmoid(z);
  return s * (1 - s);
}

}  // namespace

at::Tensor LowerSigmoid(CiSigmoid kind,
                        MaskSampling sampling,
                        const at::Tensor& z) {
  const at::Tensor moved = sampling == MaskSampling::kBinomial
                               ? kBinomialScale * z - kBinomialShift
                               : z;
  if (kind == CiSigmoid::kLeakyHard) return at::clamp(moved, 0, 1);
  return UpperSigmoid(kind, moved);
}

at::Tensor UpperSigmoid(CiSigmoid kind, const at::Tensor& z) {
  switch (kind) {
    case CiSigmoid::kHard:
      return at::clamp(z, 0, 1);
    case CiSigmoid::kSwishHard:
      return SwishHard(z);
    case CiSigmoid::kNormal:
      return at::sigmoid(z);
    case CiSigmoid::kLeakyHard:
    case CiSigmoid::kUpperLeakyHard:
      break;
  }
  return UpperLeakyHard(z);
}

at::Tensor LowerSigmoidSlope(CiSigmoid kind,
                             MaskSampling sampling,
                             const at::Tensor& z,
                             const at::Tensor& upstream) {
  const bool binomial = sampling == MaskSampling::kBinomial;
  const at::Tensor moved = binomial ? kBinomialScale * z - kBinomialShift : z;
  const at::Tensor slope = kind == CiSigmoid::kLeakyHard
                               ? LowerLeakyHardSlope(moved, upstream)
                               : UpperSigmoidSlope(kind, moved, upstream);
  return binomial ? kBinomialScale * slope : slope;
}

at::Tensor UpperSigmoidSlope(CiSigmoid kind,
                             const at::Tensor& z,
                             const at::Tensor& upstream) {
  switch (kind) {
    case CiSigmoid::kHard:
      return HardSlope(z, upstream);
    case CiSigmoid::kSwishHard:
      return SwishHardSlope(z) * upstream;
    case CiSigmoid::kNormal:
      return LogisticSlope(z) * upstream;
    case CiSigmoid::kLeakyHard:
    case CiSigmoid::kUpperLeakyHard:
      break;
  }
  return UpperLeakyHardSlope(z, upstream);
}

}  // namespace spar::models
