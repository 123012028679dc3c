#include "models/torch/decomposed_decoder.h"

#include <utility>

#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"
#include "models/torch/weights.h"

namespace spar::models {
namespace {

at::Tensor OutputsOf(const DecoderSpec& spec, const DecomposedModule& module) {
  const at::Tensor all = at::arange(module.d_out, at::dtype(at::kLong));
  switch (module.site) {
    case ModuleSite::kQ:
    case ModuleSite::kK:
      return PairCoordinates(spec, all);
    case ModuleSite::kQkv: {
      const LayerSpec& layer = spec.layers[module.layer];
      return at::cat({PairCoordinates(spec, TakePart(all, layer.q.weight)),
                      PairCoordinates(spec, TakePart(all, layer.k.weight)),
                      TakePart(all, layer.v.weight)});
    }
    default:
      return all;
  }
}

}  // namespace

std::vector<ComponentModule> LoadComponents(const Decomposition& decomposition,
                                            at::Device device,
                                            at::ScalarType dtype) {
  const auto load = [&](const std::string& name) {
    return CopyTensor(decomposition.Tensor(name)).to(device, dtype);
  };
  std::vector<ComponentModule> modules;
  for (const DecomposedModule& module : decomposition.spec().modules) {
    modules.push_back(
        {.module = module, .v = load(VName(module)), .u = load(UName(module))});
  }
  return modules;
}

at::Tensor EngineOutputs(const DecoderSpec& spec,
                         const DecomposedModule& module) {
  at::Tensor outputs = OutputsOf(spec, module);
  if (outputs.equal(at::arange(module.d_out, at::dtype(at::kLong)))) return {};
  return outputs;
}

at::Tensor EngineWeight(const DecoderSpec& spec,
                        const DecoderWeights& weights,
                        const DecomposedModule& module) {
  if (module.site == ModuleSite::kEmbedding) return weights.token_embedding.t();
  const LayerWeights& layer = weights.layers[module.layer];
  const int64_t q = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t kv = int64_t{spec.num_kv_heads} * spec.head_dim;
  switch (module.site) {
    case ModuleSite::kQ:
      return layer.attention.qkv.narrow(0, 0, q);
    case ModuleSite::kK:
      return layer.attention.qkv.narrow(0, q, kv);
    case ModuleSite::kV:
      return layer.attention.qkv.narrow(0, q + kv, kv);
    case ModuleSite::kQkv:
      return layer.attention.qkv;
    case ModuleSite::kO:
      return layer.attention.o.t();
    case ModuleSite::kGate:
      return layer.mlp.up.narrow(0, 0, spec.mlp_width);
    case ModuleSite::kUp:
      return layer.mlp.up.narrow(0, spec.gated_mlp ? spec.mlp_width : 0,
                                 spec.mlp_width);
    case ModuleSite::kDown:
      return layer.mlp.down.t();
    case ModuleSite::kEmbedding:
      break;
  }
  return {};
}

DecomposedDecoder::DecomposedDecoder(const Decoder& decoder,
                                     std::vector<ComponentModule> modules,
                                     std::vector<at::Tensor> deltas)
    : decoder_(decoder),
      modules_(std::move(modules)),
      given_(std::move(deltas)) {
  for (const ComponentModule& module : modules_) {
    at::Tensor outputs = EngineOutputs(decoder.spec, module.module);
    outputs_.push_back(outputs.defined() ? outputs.to(decoder.device)
                                         : outputs);
  }
  sums_.resize(modules_.size());
  deltas_.resize(modules_.size());
}

int DecomposedDecoder::Find(ModuleSite site, int layer) const {
  for (size_t m = 0; m < modules_.size(); ++m) {
    const DecomposedModule& module = modules_[m].module;
    if (module.site == site && module.layer == layer) {
      return static_cast<int>(m);
    }
  }
  return -1;
}

at::Tensor DecomposedDecoder::Weight(int module) const {
  return EngineWeight(decoder_.spec, decoder_.weights, modules_[module].module);
}

at::Tensor DecomposedDecoder::MakeSum(int module) const {
  const at::Tensor v = V(module, {}), u = modules_[module].u.to(decoder_.dtype);
  // Contiguous along what a batch reads: outputs, but the embedding's tokens.
  if (modules_[module].module.site == ModuleSite::kEmbedding) {
    return at::mm(v.t(), u).t();
  }
  const at::Tensor sum = at::mm(u.t(), v);
  return outputs_[module].defined() ? sum.index_select(0, outputs_[module])
                                    : sum;
}

const at::Tensor& DecomposedDecoder::Sum(int module) {
  at::Tensor& sum = sums_[module];
  if (sum.defined()) return sum;
  const c10::InferenceMode ordinary(false);  // gradients may pass by it later
  const c10::AutoGradMode no_gradients(false);
  sum = given_.empty() ? MakeSum(module) : Weight(module) - Delta(module);
  return sum;
}

const at::Tensor& DecomposedDecoder::Delta(int module) {
  at::Tensor& delta = deltas_[module];
  if (delta.defined()) return delta;
  const c10::InferenceMode ordinary(false);  // as Sum
  const c10::AutoGradMode no_gradients(false);
  if (given_.empty()) {
    delta = Weight(module) - MakeSum(module);
    return delta;
  }
  delta = given_[module].to(decoder_.dtype);
  if (outputs_[module].defined()) {
    delta = delta.index_select(0, outputs_[module]);
  }
  return delta;
}

at::Tensor DecomposedDecoder::V(int module, const at::Tensor& ids) const {
  const at::Tensor& v = modules_[module].v;
  return (ids.defined() ? v.index_select(0, ids) : v).to(decoder_.dtype);
}

at::Tensor DecomposedDecoder::U(int module, const at::Tensor& ids) const {
  at::Tensor u = modules_[module].u;
  if (ids.defined()) u = u.index_select(0, ids);
  if (outputs_[module].defined()) u = u.index_select(1, outputs_[module]);
  return u.to(decoder_.dtype);
}

}  // namespace spar::models
