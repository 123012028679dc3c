// One attention head with learned relative positions for each module, in front
// of one MLP for each subcomponent (arXiv 2511.08854).
#include <cmath>
#include <limits>

#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_kinds.h"
#include "models/torch/decomposition/stream_maps.h"

namespace spar::models {
namespace {

struct SequenceMember {
  int64_t num_components = 0;
  at::Tensor relative = {};     // [2R + 1] or [2R + 1, K]
  at::Tensor from_values = {};  // first layer's columns of y, [C * h, M]
  ParallelMlp rest = {};
};

class CiSequenceMlp final : public CiFunction {
 public:
  explicit CiSequenceMlp(const StoredTensors& tensors)
      : head_(*tensors.spec().ci.relative_attention) {
    const CiSpec& ci = tensors.spec().ci;
    const std::vector<DecomposedModule>& modules = tensors.spec().modules;
    for (const int width : ci.hidden) widest_ = std::max(widest_, width);
    for (const DecomposedModule& module : modules) {
      members_.push_back(LoadMember(tensors, module, ci));
    }
    // Everything that reads a stream, in one product: q, k, v, and the part of
    // the MLPs' first layer that is about x.
    std::vector<DecomposedModule> readers;
    std::vector<at::Tensor> weights, biases;
    for (const char* map : {"q", "k", "v"}) {
      for (const DecomposedModule& module : modules) {
        weights.push_back(tensors.Matrix("ci." + module.name + ".attention." +
                                         map + ".weight"));
        biases.push_back(at::zeros({weights.back().size(0)},
                                   members_[0].relative.options()));
      }
      readers.insert(readers.end(), modules.begin(), modules.end());
    }
    for (const DecomposedModule& module : modules) {
      const std::string first = "ci." + module.name + ".layers.0";
      weights.push_back(tensors.Matrix(first + ".weight")
                            .narrow(2, head_.value_width, module.d_in)
                            .flatten(0, 1));
      biases.push_back(tensors.Vector(first + ".bias").flatten());
    }
    readers.insert(readers.end(), modules.begin(), modules.end());
    maps_ = StreamMaps(readers, std::move(weights), biases);
  }

  std::vector<at::Tensor> Logits(
      const ModuleInputs& inputs,
      const std::vector<at::Tensor>&) const override {
    const std::vector<at::Tensor> read = maps_(inputs);
    const size_t count = members_.size();
    std::vector<at::Tensor> logits;
    for (size_t m = 0; m < count; ++m) {
      const at::Tensor y = Attend(inputs.runs, read[m], read[count + m],
                                  read[2 * count + m], members_[m].relative);
      logits.push_back(Apply(members_[m], y, read[3 * count + m]));
    }
    return logits;
  }

 private:
  SequenceMember LoadMember(const StoredTensors& tensors,
                            const DecomposedModule& module,
                            const CiSpec& ci) const {
    const std::string prefix = "ci." + module.name;
    SequenceMember member;
    member.num_components = module.num_components;
    member.relative = tensors.Vector(prefix + ".attention.relative");
    member.from_values = tensors.Matrix(prefix + ".layers.0.weight")
                             .narrow(2, 0, head_.value_width)
                             .flatten(0, 1)
                             .contiguous();
    member.rest = LoadParallelMlp(tensors, prefix, ci.hidden.size());
    return member;
  }

  // What each query adds for each key's distance. q: [n, L, K]. Result
  // broadcasts to [n, L, L].
  at::Tensor RelativeScores(const at::Tensor& q,
                            const at::Tensor& relative) const {
    const int64_t length = q.size(1);
    const int64_t r = head_.max_distance;
    const at::Tensor at_index =
        at::arange(length, at::dtype(at::kLong).device(q.device()));
    const at::Tensor rows =
        at::clamp(at_index.unsqueeze(0) - at_index.unsqueeze(1), -r, r) + r;
    if (head_.relative == RelativePositions::kBias) {
      return relative.index_select(0, rows.flatten()).view({length, length});
    }
    return q.matmul(relative.t())
        .gather(2, rows.unsqueeze(0).expand({q.size(0), length, length}));
  }

  at::Tensor AttendRun(const at::Tensor& q,
                       const at::Tensor& k,
                       const at::Tensor& v,
                       const at::Tensor& relative) const {
    const double scale = 1.0 / std::sqrt(double{1} * head_.key_width);
    at::Tensor scores =
        scale * (q.matmul(k.transpose(1, 2)) + RelativeScores(q, relative));
    if (head_.causal) {
      const at::Tensor later = at::ones({q.size(1), q.size(1)},
                                        at::dtype(at::kBool).device(q.device()))
                                   .triu(1);
      scores.masked_fill_(later, -std::numeric_limits<float>::infinity());
    }
    return at::softmax(scores, 2).matmul(v);
  }

  at::Tensor Attend(const std::vector<Run>& runs,
                    const at::Tensor& q,
                    const at::Tensor& k,
                    const at::Tensor& v,
                    const at::Tensor& relative) const {
    std::vector<at::Tensor> mixed;
    for (const Run& run : runs) {
      const auto of_run = [&](const at::Tensor& x) {
        return x.narrow(0, run.first_token, run.tokens())
            .unflatten(0, {run.count, run.length});
      };
      mixed.push_back(
          AttendRun(of_run(q), of_run(k), of_run(v), relative).flatten(0, 1));
    }
    return at::cat(mixed);
  }

  at::Tensor Apply(const SequenceMember& member,
                   const at::Tensor& y,
                   const at::Tensor& from_input) const {
    const at::Tensor weight = Widened(member.from_values).t();
    return at::cat(InPieces(
        y.size(0), member.num_components * widest_,
        [&](int64_t begin, int64_t count) {
          const at::Tensor first = at::addmm(from_input.narrow(0, begin, count),
                                             y.narrow(0, begin, count), weight);
          return member.rest(first.unflatten(1, {member.num_components, -1}));
        }));
  }

  const CiRelativeAttention head_;
  std::vector<SequenceMember> members_ = {};
  StreamMaps maps_ = {};
  int widest_ = 1;
};

}  // namespace

std::unique_ptr<CiFunction> LoadCiSequenceMlp(const StoredTensors& tensors) {
  return std::make_unique<CiSequenceMlp>(tensors);
}

}  // namespace spar::models
