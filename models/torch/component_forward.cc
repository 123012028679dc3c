#include "models/torch/component_forward.h"

#include <initializer_list>
#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

// One masked forward in progress.
class ComponentPass {
 public:
  ComponentPass(const DecomposedDecoder& decomposed,
                SequenceBatch& batch,
                const ComponentRun& run)
      : decomposed_(decomposed),
        decoder_(decomposed.decoder()),
        spec_(decoder_.spec),
        batch_(batch),
        run_(run),
        nodes_(OneNodePerSequence(batch)) {}

  at::Tensor Run() {
    at::Tensor x = run_.stream.defined() ? run_.stream : Embedding();
    const int end = run_.end_layer < 0 ? spec_.num_layers : run_.end_layer;
    for (int layer = run_.first_layer; layer < end; ++layer) {
      if (run_.see_stream) run_.see_stream(layer, x);
      x = Layer(layer, x, run_.last_only && layer == spec_.num_layers - 1);
    }
    return x;
  }

 private:
  // -1: not decomposed, or neither masked nor replaced.
  int Masked(ModuleSite site, int layer) const {
    const int module = decomposed_.Find(site, layer);
    if (module < 0) return -1;
    const bool target = run_.replace ? !run_.replaced[module]
                                     : run_.modules[module].is_target();
    return target ? -1 : module;
  }

  // As MaskedModule::Apply.
  at::Tensor Apply(int module,
                   const at::Tensor& x,
                   const at::Tensor& rows,
                   const at::Tensor& bias) const {
    if (run_.replace) return run_.replace(module, x, bias);
    return run_.modules[module].Apply(x, rows, bias);
  }

  at::Tensor Embedding() {
    const int masked = Masked(ModuleSite::kEmbedding, -1);
    at::Tensor x = masked >= 0 ? Apply(masked, batch_.tokens(), {}, {})
                               : decoder_.weights.token_embedding.index_select(
                                     0, batch_.tokens());
    See(ModuleSite::kEmbedding, -1, x);
    const at::Tensor& positions = decoder_.weights.position_embedding;
    if (positions.defined()) x = x + positions.index_select(0, batch_.ids());
    return x;
  }

  void See(ModuleSite site, int layer, const at::Tensor& output) const {
    if (!run_.see_output) return;
    const int module = decomposed_.Find(site, layer);
    if (module >= 0) run_.see_output(module, output);
  }

  // Neighbouring rows of one engine matrix, one module each.
  struct Part {
    ModuleSite site = ModuleSite::kQ;
    int64_t first = 0;
    int64_t size = 0;
  };

  at::Tensor Project(int layer,
                     std::initializer_list<Part> parts,
                     const at::Tensor& weight,
                     const at::Tensor& bias,
                     const at::Tensor& x,
                     const at::Tensor& rows) {
    const auto slice = [](const at::Tensor& matrix, int64_t first,
                          int64_t size) {
      return matrix.defined() ? matrix.narrow(0, first, size) : matrix;
    };
    bool any = false;
    for (const Part& part : parts) any = any || Masked(part.site, layer) >= 0;
    if (!any) {
      const int64_t first = parts.begin()->first;
      const Part& last = *(parts.end() - 1);
      const int64_t size = last.first + last.size - first;
      const at::Tensor y =
          at::linear(x, slice(weight, first, size), slice(bias, first, size));
      for (const Part& part : parts) {
        See(part.site, layer, y.narrow(1, part.first - first, part.size));
      }
      return y;
    }
    std::vector<at::Tensor> outputs;
    for (const Part& part : parts) {
      const at::Tensor part_bias = slice(bias, part.first, part.size);
      const int masked = Masked(part.site, layer);
      outputs.push_back(
          masked >= 0
              ? Apply(masked, x, rows, part_bias)
              : at::linear(x, slice(weight, part.first, part.size), part_bias));
      See(part.site, layer, outputs.back());
    }
    return outputs.size() == 1 ? outputs[0] : at::cat(outputs, 1);
  }

  at::Tensor Mix(int layer, const at::Tensor& normed, bool only_last) {
    const AttentionWeights& attention =
        decoder_.weights.layers[layer].attention;
    const int64_t dim = spec_.head_dim;
    const int64_t q_size = spec_.num_heads * dim;
    const int64_t kv_size = spec_.num_kv_heads * dim;
    const Part q_part{ModuleSite::kQ, 0, q_size};
    const Part k_part{ModuleSite::kK, q_size, kv_size};
    const Part v_part{ModuleSite::kV, q_size + kv_size, kv_size};
    const auto project = [&](std::initializer_list<Part> parts,
                             const at::Tensor& x, const at::Tensor& rows) {
      return Project(layer, parts, attention.qkv, attention.qkv_bias, x, rows)
          .unflatten(1, {-1, dim});
    };
    at::Tensor q, kv;
    const bool fused =
        Masked(ModuleSite::kQkv, layer) >= 0 ||
        (run_.see_output && decomposed_.Find(ModuleSite::kQkv, layer) >= 0);
    if (fused) {
      const at::Tensor qkv =
          project({{ModuleSite::kQkv, 0, q_size + 2 * kv_size}}, normed, {});
      q = qkv.narrow(1, 0, spec_.num_heads);
      if (only_last) q = q.index_select(0, nodes_.last_tokens);
      kv = qkv.narrow(1, spec_.num_heads, 2 * spec_.num_kv_heads);
    } else {
      q = only_last
              ? project({q_part}, normed.index_select(0, nodes_.last_tokens),
                        nodes_.last_tokens)
              : project({q_part}, normed, {});
      kv = project({k_part, v_part}, normed, {});
    }
    if (nodes_.rotation.defined() && spec_.rotary.dim > 0) {
      RotateHeads(q,
                  only_last
                      ? nodes_.rotation.index_select(0, nodes_.last_tokens)
                      : nodes_.rotation,
                  spec_.rotary.dim);
      RotateHeads(kv.narrow(1, 0, spec_.num_kv_heads), nodes_.rotation,
                  spec_.rotary.dim);
    }
    if (run_.see_heads && !only_last) {
      run_.see_heads(layer, q, kv.narrow(1, 0, spec_.num_kv_heads));
    }
    return Attend(decoder_, layer, attention, batch_, nodes_, q, kv, only_last);
  }

  // `weight`: the engine's, [in, out].
  at::Tensor Write(ModuleSite site,
                   int layer,
                   const at::Tensor& weight,
                   const at::Tensor& bias,
                   const at::Tensor& x) {
    const int masked = Masked(site, layer);
    const at::Tensor y =
        masked < 0 ? at::addmm(bias, x, weight) : Apply(masked, x, rows_, bias);
    See(site, layer, y);
    return y;
  }

  at::Tensor Layer(int layer, const at::Tensor& x, bool only_last) {
    const LayerWeights& weights = decoder_.weights.layers[layer];
    at::Tensor heads =
        Mix(layer, Normalize(decoder_, weights.attention_norm, x), only_last);
    if (only_last) rows_ = nodes_.last_tokens;
    const at::Tensor stream = only_last ? x.index_select(0, rows_) : x;
    if (const at::Tensor masks = UnitMasks(run_.heads, layer);
        masks.defined()) {
      heads = (heads.unflatten(1, {spec_.num_heads, -1}) * masks.unsqueeze(2))
                  .flatten(1);
    }
    const at::Tensor mixed =
        stream + Write(ModuleSite::kO, layer, weights.attention.o,
                       weights.o_bias, heads);
    const at::Tensor read = spec_.parallel_residual ? stream : mixed;
    const at::Tensor normed = Normalize(decoder_, weights.mlp_norm, read);
    const int64_t width = spec_.mlp_width;
    const Part up{ModuleSite::kUp, spec_.gated_mlp ? width : 0, width};
    const Part gate{ModuleSite::kGate, 0, width};
    const at::Tensor pre = spec_.gated_mlp
                               ? Project(layer, {gate, up}, weights.mlp.up,
                                         weights.mlp.up_bias, normed, rows_)
                               : Project(layer, {up}, weights.mlp.up,
                                         weights.mlp.up_bias, normed, rows_);
    at::Tensor neurons = ActivateProjected(decoder_, pre);
    if (const at::Tensor masks = UnitMasks(run_.neurons, layer);
        masks.defined()) {
      neurons = neurons * masks;
    }
    return mixed + Write(ModuleSite::kDown, layer, weights.mlp.down,
                         weights.down_bias, neurons);
  }

  at::Tensor UnitMasks(const std::vector<at::Tensor>& masks, int layer) const {
    if (masks.empty() || !masks[layer].defined()) return {};
    if (!rows_.defined() || masks[layer].size(0) == 1) return masks[layer];
    return masks[layer].index_select(0, rows_);
  }

  const DecomposedDecoder& decomposed_;
  const Decoder& decoder_;
  const DecoderSpec& spec_;
  SequenceBatch& batch_;
  const ComponentRun& run_;
  const Nodes nodes_;
  at::Tensor rows_ = {};  // tokens that are still computed; undefined: all
};

}  // namespace

std::vector<MaskedModule> MaskModules(DecomposedDecoder& decomposed,
                                      std::vector<ComponentMasks> masks,
                                      const ComponentMeans* means,
                                      const at::Tensor& reference_rows) {
  std::vector<MaskedModule> modules;
  for (size_t m = 0; m < masks.size(); ++m) {
    ComponentReference reference;
    if (means != nullptr) {
      reference = {.means = &means->modules[m], .rows = reference_rows};
    }
    modules.emplace_back(decomposed, static_cast<int>(m), std::move(masks[m]),
                         std::move(reference));
  }
  return modules;
}

at::Tensor ComponentForward(const DecomposedDecoder& decomposed,
                            SequenceBatch& batch,
                            const ComponentRun& run) {
  return ComponentPass(decomposed, batch, run).Run();
}

}  // namespace spar::models
