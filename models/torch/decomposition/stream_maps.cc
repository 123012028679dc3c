#include "models/torch/decomposition/stream_maps.h"

#include <utility>

#include "models/decomposition/decomposition_tensors.h"
#include "models/torch/aten.h"

namespace spar::models {

StreamMaps::StreamMaps(const std::vector<DecomposedModule>& modules,
                       std::vector<at::Tensor> weights,
                       const std::vector<at::Tensor>& biases)
    : weights_(modules.size()) {
  std::map<StreamKey, std::vector<size_t>> by_stream;
  for (size_t m = 0; m < modules.size(); ++m) {
    if (modules[m].site == ModuleSite::kEmbedding) continue;
    by_stream[StreamOf(modules[m])].push_back(m);
  }
  for (const auto& [key, members] : by_stream) {
    std::vector<at::Tensor> rows, offsets;
    for (const size_t m : members) {
      rows.push_back(std::move(weights[m]));
      if (biases[m].defined()) offsets.push_back(biases[m]);
    }
    Stack stack;
    stack.modules = members;
    stack.map.weight = rows.size() == 1 ? rows[0] : at::cat(rows);
    if (!offsets.empty()) stack.map.bias = at::cat(offsets);
    int64_t begin = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      const int64_t count = rows[i].size(0);
      weights_[members[i]] = stack.map.weight.narrow(0, begin, count);
      begin += count;
    }
    stacks_[key] = std::move(stack);
  }
}

std::vector<at::Tensor> StreamMaps::operator()(
    const ModuleInputs& inputs) const {
  std::vector<at::Tensor> results(weights_.size());
  for (const auto& [key, stack] : stacks_) {
    const at::Tensor all = stack.map(inputs.streams.at(key));
    int64_t begin = 0;
    for (const size_t m : stack.modules) {
      const int64_t count = weights_[m].size(0);
      results[m] = all.narrow(1, begin, count);
      begin += count;
    }
  }
  return results;
}

ConcatenatedMap::ConcatenatedMap(const StoredTensors& tensors,
                                 const std::string& name,
                                 const std::vector<int>& order)
    : bias_(tensors.Vector(name + ".bias")) {
  const at::Tensor whole = tensors.Matrix(name + ".weight");
  std::map<StreamKey, size_t> part_of;
  int64_t begin = 0;
  for (const int m : order) {
    const DecomposedModule& module = tensors.spec().modules[m];
    const int64_t width = GlobalInputWidth(module);
    const at::Tensor columns = whole.narrow(1, begin, width);
    begin += width;
    const StreamKey key = StreamOf(module);
    const auto [found, is_new] = part_of.emplace(key, parts_.size());
    if (is_new) {
      parts_.push_back({.module = m, .key = key, .weight = columns});
    } else {
      at::Tensor& sum = parts_[found->second].weight;
      sum = Widened(sum) + Widened(columns);  // not rounded again
    }
  }
  // Own memory: the whole is let go.
  for (Part& part : parts_) part.weight = part.weight.contiguous().clone();
}

at::Tensor ConcatenatedMap::operator()(
    const ModuleInputs& inputs,
    const std::vector<at::Tensor>& activations,
    bool rms) const {
  at::Tensor sum;
  for (const Part& part : parts_) {
    const at::Tensor& x = part.key.stream == InputStream::kTokens
                              ? activations[part.module]
                              : inputs.streams.at(part.key);
    const at::Tensor input = rms ? Rms(x) : x;
    const at::Tensor weight = Widened(part.weight).t();
    sum = at::addmm(sum.defined() ? sum : bias_, input, weight);
  }
  return sum;
}

}  // namespace spar::models
