// L1t. See demo_decoder.h.
#include "models/demo/demo_decoder.h"

#include <cmath>
#include <utility>

#include "base/status.h"
#include "models/demo/random.h"
#include "models/torch/aten.h"

namespace spar::demo {
namespace {

// Parameters of one layer, in this order; wte comes before, ln_f after all.
enum LayerIndex { kNorm1, kQ, kK, kV, kO, kNorm2, kUp, kDown, kPerLayer };

at::Tensor FromValues(const std::vector<float>& values,
                      const std::vector<int64_t>& shape) {
  return at::from_blob(const_cast<float*>(values.data()), shape,
                       at::TensorOptions().dtype(at::kFloat))
      .clone();
}

std::vector<float> Normals(int64_t count, double scale, Random& random) {
  std::vector<float> values(count);
  for (float& value : values) {
    value = static_cast<float>(scale * random.Normal());
  }
  return values;
}

}  // namespace

DemoDecoder::DemoDecoder(const DecoderShape& shape, uint64_t seed)
    : shape_(shape) {
  Random random(seed);
  const int64_t width = shape.width, mlp = shape.mlp_width;
  // Writers into the residual stream start smaller, by their number.
  const double scale = 0.05;
  const double writer = scale / std::sqrt(2.0 * shape.num_layers);
  const auto add_matrix = [&](std::string name, int64_t rows, int64_t columns,
                              double deviation) {
    AddParameter(std::move(name), {rows, columns},
                 Normals(rows * columns, deviation, random));
  };
  const std::vector<float> ones(width, 1.0f);
  add_matrix("wte.weight", shape.vocab_size, width, scale);
  for (int layer = 0; layer < shape.num_layers; ++layer) {
    const std::string module = base::Cat("h.", layer);
    AddParameter(module + ".rms_1.weight", {width}, ones);
    add_matrix(module + ".attn.q_proj.weight", width, width, scale);
    add_matrix(module + ".attn.k_proj.weight", width, width, scale);
    add_matrix(module + ".attn.v_proj.weight", width, width, scale);
    add_matrix(module + ".attn.o_proj.weight", width, width, writer);
    AddParameter(module + ".rms_2.weight", {width}, ones);
    add_matrix(module + ".mlp.c_fc.weight", mlp, width, scale);
    add_matrix(module + ".mlp.down_proj.weight", width, mlp, writer);
  }
  AddParameter("ln_f.weight", {width}, ones);

  const int head_dim = shape.width / shape.num_heads, half = head_dim / 2;
  std::vector<float> cosines, sines;
  for (int position = 0; position < shape.context_length; ++position) {
    for (int i = 0; i < head_dim; ++i) {
      const double angle =
          position *
          std::pow(shape.rotary_base, -static_cast<double>(i % half) / half);
      cosines.push_back(static_cast<float>(std::cos(angle)));
      sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  rotary_ = {FromValues(cosines, {shape.context_length, head_dim}),
             FromValues(sines, {shape.context_length, head_dim})};
}

DemoDecoder::~DemoDecoder() = default;

void DemoDecoder::AddParameter(std::string name,
                               const std::vector<int64_t>& shape,
                               const std::vector<float>& values) {
  names_.push_back(std::move(name));
  parameters_.push_back(FromValues(values, shape).set_requires_grad(true));
}

const at::Tensor& DemoDecoder::Layer(int layer, int index) const {
  return parameters_[1 + layer * kPerLayer + index];
}

at::Tensor DemoDecoder::Norm(const at::Tensor& x,
                             const at::Tensor& weight) const {
  const at::Tensor mean_square = (x * x).mean(-1, true);
  return x * at::rsqrt(mean_square + shape_.norm_epsilon) * weight;
}

// x: [batch][head][position][head_dim]; the halves turn against each other.
at::Tensor DemoDecoder::Rotate(const at::Tensor& x) const {
  const int64_t length = x.size(2), half = x.size(3) / 2;
  const at::Tensor low = x.narrow(3, 0, half), high = x.narrow(3, half, half);
  const at::Tensor turned = at::cat({high.neg(), low}, 3);
  return x * rotary_[0].narrow(0, 0, length) +
         turned * rotary_[1].narrow(0, 0, length);
}

// x: [batch][position][width].
at::Tensor DemoDecoder::Attention(int layer, const at::Tensor& x) const {
  const auto heads = [&](LayerIndex index) {
    return at::linear(x, Layer(layer, index))
        .view({x.size(0), x.size(1), shape_.num_heads, -1})
        .transpose(1, 2);
  };
  const at::Tensor q = Rotate(heads(kQ)), k = Rotate(heads(kK));
  const at::Tensor mixed = at::scaled_dot_product_attention(
      q, k, heads(kV), /*attn_mask=*/{}, /*dropout_p=*/0.0, /*is_causal=*/true);
  return at::linear(mixed.transpose(1, 2).reshape(x.sizes()), Layer(layer, kO));
}

at::Tensor DemoDecoder::Features(const at::Tensor& ids) const {
  at::Tensor x = at::index_select(parameters_[0], 0, ids.reshape({-1}))
                     .view({ids.size(0), ids.size(1), shape_.width});
  for (int layer = 0; layer < shape_.num_layers; ++layer) {
    x = x + Attention(layer, Norm(x, Layer(layer, kNorm1)));
    const at::Tensor hidden =
        at::linear(Norm(x, Layer(layer, kNorm2)), Layer(layer, kUp));
    x = x + at::linear(at::gelu(hidden, "tanh"), Layer(layer, kDown));
  }
  return Norm(x, parameters_.back());
}

at::Tensor DemoDecoder::Logits(const at::Tensor& features) const {
  return at::linear(features, parameters_[0]);
}

}  // namespace spar::demo
