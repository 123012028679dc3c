#include "tests/pruning/plain_pruning.h"

#include <cmath>

#include "models/torch/aten.h"
#include "models/torch/prune/optimisation.h"
#include "models/torch/prune/schedules.h"
#include "models/torch/uniform_numbers.h"

namespace spar::models {
namespace {

at::Tensor Wide(const at::Tensor& x) {
  return x.to(at::kDouble);
}

at::Tensor Normed(const NormWeights& norm, const at::Tensor& x) {
  return at::layer_norm(x, {x.size(1)}, Wide(norm.gain), Wide(norm.bias), 1e-5);
}

class PlainModel {
 public:
  PlainModel(const DecomposedDecoder& decomposed,
             const std::vector<at::Tensor>& masks,
             const std::vector<at::Tensor>& deltas)
      : decomposed_(decomposed), masks_(masks), deltas_(deltas) {}

  at::Tensor Run(const std::vector<TokenId>& tokens) const {
    const Decoder& decoder = decomposed_.decoder();
    const DecoderSpec& spec = decoder.spec;
    const int64_t length = static_cast<int64_t>(tokens.size());
    const at::Tensor ids =
        at::tensor(std::vector<int64_t>(tokens.begin(), tokens.end()),
                   at::dtype(at::kLong));
    at::Tensor x =
        Wide(decoder.weights.token_embedding.index_select(0, ids)) +
        Wide(decoder.weights.position_embedding).narrow(0, 0, length);
    const at::Tensor future =
        at::ones({length, length}, at::dtype(at::kBool)).triu(1);
    for (int layer = 0; layer < spec.num_layers; ++layer) {
      const LayerWeights& weights = decoder.weights.layers[layer];
      const at::Tensor read = Normed(weights.attention_norm, x);
      const auto heads = [&](ModuleSite site, int64_t part) {
        const at::Tensor bias =
            weights.attention.qkv_bias.narrow(0, part * spec.width, spec.width);
        return Write(site, layer, read, bias)
            .view({length, spec.num_heads, spec.head_dim})
            .transpose(0, 1);
      };
      const at::Tensor q = heads(ModuleSite::kQ, 0);
      const at::Tensor k = heads(ModuleSite::kK, 1);
      const at::Tensor v = heads(ModuleSite::kV, 2);
      const at::Tensor scores = at::matmul(q, k.transpose(1, 2)) *
                                decoder.spec.layers[layer].attention_scale;
      const at::Tensor pattern = scores.masked_fill(future, -1e300).softmax(2);
      const at::Tensor mixed =
          at::matmul(pattern, v).transpose(0, 1).reshape({length, spec.width});
      x = x + Write(ModuleSite::kO, layer, mixed, weights.o_bias);
      const at::Tensor up =
          Write(ModuleSite::kUp, layer, Normed(weights.mlp_norm, x),
                weights.mlp.up_bias);
      x = x + Write(ModuleSite::kDown, layer, at::gelu(up, "tanh"),
                    weights.down_bias);
    }
    return at::matmul(Wide(decoder.weights.unembedding),
                      Normed(decoder.weights.final_norm, x)[length - 1]) +
           (decoder.weights.unembedding_bias.defined()
                ? Wide(decoder.weights.unembedding_bias)
                : at::zeros({spec.vocab_size}, at::dtype(at::kDouble)));
  }

 private:
  // sum_c m_c a_c U_c + d (W x - sum_c a_c U_c) + bias.
  at::Tensor Write(ModuleSite site,
                   int layer,
                   const at::Tensor& x,
                   const at::Tensor& bias) const {
    const int module = decomposed_.Find(site, layer);
    const at::Tensor target =
        at::matmul(x, Wide(decomposed_.Weight(module)).t());
    if (module >= static_cast<int>(masks_.size())) return target + Wide(bias);
    const at::Tensor u = Wide(decomposed_.U(module, {}));
    const at::Tensor a = at::matmul(x, Wide(decomposed_.V(module, {})).t());
    const at::Tensor d = deltas_[module].unsqueeze(1);
    return at::matmul(a * masks_[module], u) + d * (target - at::matmul(a, u)) +
           Wide(bias);
  }

  const DecomposedDecoder& decomposed_;
  const std::vector<at::Tensor>& masks_;
  const std::vector<at::Tensor>& deltas_;
};

// One number for each node: its module's [tokens, C] where it is alive.
struct Plain {
  const DecomposedDecoder& decomposed;
  const PruneRequest& request;
  std::vector<TokenId> tokens = {};
  int64_t length = 0;  // of the whole prompt
  TokenId target = 0;
  at::Tensor model = {};               // log p
  std::vector<at::Tensor> alive = {};  // [module]: [tokens, C], bool
  uint64_t key = 0;

  at::Tensor Loss(const std::vector<at::Tensor>& masks,
                  const std::vector<at::Tensor>& deltas) const {
    const at::Tensor log_p =
        PlainLogits(decomposed, tokens, masks, deltas).log_softmax(0);
    if (request.loss == PruneLoss::kCrossEntropy) return -log_p[target];
    return (model.exp() * (model - log_p)).sum();
  }

  std::vector<at::Tensor> NoDeltas() const {
    return std::vector<at::Tensor>(
        alive.size(), at::zeros({static_cast<int64_t>(tokens.size())},
                                at::dtype(at::kDouble)));
  }

  at::Tensor Masked(const std::vector<at::Tensor>& g, int64_t step) const {
    if (request.masks == PruneMasks::kCausalImportance) {
      return Loss(g, NoDeltas());
    }
    std::vector<at::Tensor> masks, deltas;
    for (size_t m = 0; m < g.size(); ++m) {
      const uint64_t seed = StepSeed(key, step, 0);
      const at::Tensor u =
          Wide(UniformNumbers(seed, 2 * m, {g[m].size(0), g[m].size(1)}));
      masks.push_back(g[m] + (1 - g[m]) * u);
      deltas.push_back(Wide(UniformNumbers(seed, 2 * m + 1, {g[m].size(0)})));
    }
    return Loss(masks, deltas);
  }

  // Sources after the attack, [module].
  std::vector<at::Tensor> Attack(const std::vector<at::Tensor>& g,
                                 uint64_t seed) const {
    int64_t count = 0;
    for (const at::Tensor& a : alive) count += a.sum().item<int64_t>();
    const auto loss = [&](const std::vector<at::Tensor>& s) {
      std::vector<at::Tensor> masks;
      for (size_t m = 0; m < g.size(); ++m) {
        const at::Tensor fixed = g[m].detach();
        masks.push_back(fixed + (1 - fixed) * s[m]);
      }
      return Loss(masks, NoDeltas());
    };
    std::vector<at::Tensor> worst;
    double worst_loss = 0;
    for (int r = 0; r < request.adversary->restarts; ++r) {
      const at::Tensor drawn =
          Wide(UniformNumbers(seed, static_cast<uint64_t>(r), {count}));
      std::vector<at::Tensor> sources;
      int64_t first = 0;
      for (const at::Tensor& a : alive) {
        const int64_t some = a.sum().item<int64_t>();
        sources.push_back(at::zeros(a.sizes(), at::dtype(at::kDouble))
                              .masked_scatter(a, drawn.narrow(0, first, some)));
        first += some;
      }
      for (int step = 0; step < request.adversary->steps; ++step) {
        for (at::Tensor& s : sources) s.requires_grad_(true);
        loss(sources).backward();
        for (size_t m = 0; m < g.size(); ++m) {
          const at::Tensor slope = sources[m].grad();
          sources[m] = (sources[m].detach() +
                        slope.sign() * request.adversary->step_size)
                           .clamp(0, 1) *
                       alive[m];
        }
      }
      const double reached = loss(sources).item<double>();
      if (worst.empty() || reached > worst_loss) {
        worst = sources;
        worst_loss = reached;
      }
    }
    return worst;
  }

  at::Tensor Price(const std::vector<at::Tensor>& h, double p) const {
    const PruneNorm& norm = request.norm;
    const double positions = static_cast<double>(length);
    at::Tensor sum = at::zeros({}, at::dtype(at::kDouble));
    for (size_t m = 0; m < h.size(); ++m) {
      // Positions that are not run have h = 0.
      const double rest = (positions - static_cast<double>(h[m].size(0))) *
                          std::pow(norm.epsilon, p);
      const at::Tensor s = (h[m] + norm.epsilon).pow(p).sum(0) + rest;
      sum = sum + (s * (1 + norm.beta * (1 + s).log2())).sum();
    }
    return norm.per_position ? sum / positions : sum;
  }
};

// AdamW without decay on one tensor.
struct PlainAdam {
  at::Tensor mean = {};
  at::Tensor square = {};

  at::Tensor Move(const at::Tensor& x,
                  const at::Tensor& slope,
                  double rate,
                  int64_t step) {
    if (!mean.defined()) {
      mean = at::zeros(x.sizes(), x.options());
      square = at::zeros(x.sizes(), x.options());
    }
    mean = 0.9 * mean + 0.1 * slope;
    square = 0.999 * square + 0.001 * slope * slope;
    const double n = static_cast<double>(step + 1);
    const at::Tensor up = mean / (1 - std::pow(0.9, n));
    const at::Tensor down = (square / (1 - std::pow(0.999, n))).sqrt() + 1e-8;
    return x - rate * up / down;
  }
};

}  // namespace

at::Tensor PlainLogits(const DecomposedDecoder& decomposed,
                       const std::vector<TokenId>& tokens,
                       const std::vector<at::Tensor>& masks,
                       const std::vector<at::Tensor>& deltas) {
  return PlainModel(decomposed, masks, deltas).Run(tokens);
}

std::vector<PlainStep> PrunePlainly(const DecomposedDecoder& decomposed,
                                    const PruneRequest& request,
                                    const std::vector<at::Tensor>& logits) {
  const PrunePrompt& prompt = request.prompts[0];
  const double price = request.coefficients[0];
  Plain plain{.decomposed = decomposed, .request = request};
  plain.length = static_cast<int64_t>(prompt.tokens.size());
  const int64_t read = prompt.position < 0 ? plain.length : prompt.position + 1;
  plain.tokens.assign(prompt.tokens.begin(), prompt.tokens.begin() + read);
  plain.model = PlainLogits(decomposed, plain.tokens, {}, {}).log_softmax(0);
  plain.target = prompt.target.value_or(
      static_cast<TokenId>(plain.model.argmax().item<int64_t>()));
  PromptNodes named;
  named.tokens = plain.tokens;
  named.target = plain.target;
  plain.key = RowKey(request.seed, named, price);
  std::vector<at::Tensor> z;
  for (const at::Tensor& module : logits) {
    const at::Tensor some = module.narrow(0, 0, read);
    plain.alive.push_back(some.clamp(0, 1).gt(request.alive_threshold));
    z.push_back(Wide(some));
  }
  std::vector<PlainAdam> adam(z.size());
  std::vector<PlainStep> steps;
  for (int64_t step = 0; step < request.steps; ++step) {
    std::vector<at::Tensor> g, h;
    for (size_t m = 0; m < z.size(); ++m) {
      const at::Tensor live = plain.alive[m].to(at::kDouble);
      g.push_back((z[m].clamp(0, 1) * live).requires_grad_(true));
      // Upper leaky hard.
      h.push_back(((z[m].clamp(0, 1) + 0.01 * (z[m] - 1).clamp_min(0)) * live)
                      .requires_grad_(true));
    }
    PlainStep told;
    const at::Tensor masked = plain.Masked(g, step);
    at::Tensor total = request.weight * masked;
    told.losses.masked = masked.item<double>();
    if (request.adversary.has_value()) {
      const std::vector<at::Tensor> sources =
          plain.Attack(g, StepSeed(plain.key, step, 1));
      std::vector<at::Tensor> attacked;
      for (size_t m = 0; m < g.size(); ++m) {
        attacked.push_back(g[m] + (1 - g[m]) * sources[m].detach());
      }
      const at::Tensor loss = plain.Loss(attacked, plain.NoDeltas());
      told.losses.attacked = loss.item<double>();
      total = total + request.adversary->weight * loss;
    }
    const at::Tensor cost =
        plain.Price(h, NormPower(request.norm, step, request.steps));
    told.losses.price = cost.item<double>();
    total = total + price * cost;
    told.losses.total = total.item<double>();
    total.backward();
    for (size_t m = 0; m < z.size(); ++m) {
      // The lower function's dead side lets a hundredth through, upwards only.
      const at::Tensor of_g = g[m].grad();
      const at::Tensor zero = at::zeros(of_g.sizes(), of_g.options());
      const at::Tensor lower = at::where(
          z[m] > 1, zero, at::where(z[m] > 0, of_g, 0.01 * of_g.clamp_max(0)));
      const at::Tensor of_h = h[m].grad();
      const at::Tensor upper =
          at::where(z[m] > 1, 0.01 * of_h, at::where(z[m] >= 0, of_h, zero));
      const at::Tensor slope = (lower + upper) * plain.alive[m].to(at::kDouble);
      z[m] = adam[m].Move(
          z[m], slope, ScheduledValue(request.rate, step, request.steps), step);
      told.size +=
          (z[m].clamp(0, 1).gt(request.rounding_threshold) & plain.alive[m])
              .sum()
              .item<int64_t>();
    }
    steps.push_back(told);
  }
  return steps;
}

}  // namespace spar::models
