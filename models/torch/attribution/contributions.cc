#include "models/torch/attribution/contributions.h"

#include <ATen/ops/bmm.h>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/activations.h"

namespace spar::models {
namespace {

at::Tensor Indices(const Trace& trace,
                   const SiteNodes& site,
                   int64_t begin,
                   int64_t end) {
  return Index(trace, std::span(site.index).subspan(begin, end - begin));
}

// values[position, index] of the scalar nodes [begin, end).
at::Tensor Pick(const Trace& trace,
                const SiteNodes& site,
                const at::Tensor& values,
                int64_t begin,
                int64_t end) {
  const auto position = std::span(site.position).subspan(begin, end - begin);
  return values.flatten().index_select(0,
                                       Index(trace, position) * values.size(1) +
                                           Indices(trace, site, begin, end));
}

at::Tensor Pick(const Trace& trace,
                const SiteNodes& site,
                const at::Tensor& values) {
  return Pick(trace, site, values, 0, site.num_scalars());
}

// `whole`, [T, out], less the rows of the scalar nodes.
at::Tensor Remainder(const Trace& trace,
                     const SiteNodes& site,
                     const at::Tensor& whole,
                     const at::Tensor& scalars) {
  return whole.index_add(0, Index(trace, site.position), scalars, -1);
}

// The scalar nodes [begin, end) of a decomposed matrix.
at::Tensor Scaled(const Trace& trace,
                  const SiteNodes& site,
                  const ModuleTrace& module,
                  int64_t begin,
                  int64_t end) {
  at::Tensor scale = Pick(trace, site, module.activations, begin, end);
  if (module.masks.defined()) {
    scale = scale * Pick(trace, site, module.masks, begin, end);
  }
  at::Tensor rows =
      module.factors->u.index_select(0, Indices(trace, site, begin, end));
  if (module.columns.defined()) rows = rows.index_select(1, module.columns);
  return rows.to(trace.dtype).mul_(scale.unsqueeze(1));
}

Contributions OfModule(const Trace& trace,
                       const SiteNodes& site,
                       const ModuleTrace& module) {
  Contributions made;
  if (module.factors != nullptr) {
    made.scalars = Scaled(trace, site, module, 0, site.num_scalars());
    made.rest = Remainder(trace, site, module.components, made.scalars);
  }
  for (const NodeKind kind : site.vectors) {
    made.vectors.push_back(
        kind == NodeKind::kBias
            ? module.bias.unsqueeze(0).expand({trace.tokens, -1})
            : module.delta);
  }
  return made;
}

// The stream before layer 0; beside subcomponents, what they leave of it.
Contributions OfEmbedding(const Trace& trace, const SiteNodes& site) {
  const ModuleTrace* module = trace.Find(SitePart::kEmbedding, -1);
  if (module == nullptr || module->factors == nullptr) {
    return {.vectors = {trace.embedding}};
  }
  SiteNodes scalars_only = site;
  scalars_only.vectors.clear();
  Contributions made = OfModule(trace, scalars_only, *module);
  made.vectors = {trace.embedding - module->components};
  return made;
}

// What each head adds to the stream, [H, T, d].
at::Tensor HeadOutputs(const Trace& trace, int layer) {
  const int64_t heads = trace.decoder->spec.num_heads;
  const at::Tensor o =
      trace.decoder->weights.layers[layer].attention.o.to(trace.dtype);
  return at::bmm(
      trace.layers[layer].mixed.unflatten(1, {heads, -1}).transpose(0, 1),
      o.unflatten(0, {heads, -1}));
}

Contributions OfHeads(const Trace& trace, const SiteNodes& site) {
  const at::Tensor outputs = HeadOutputs(trace, site.site.layer);
  Contributions made;
  made.scalars = outputs.flatten(0, 1).index_select(
      0, Index(trace, site.index) * int64_t{trace.tokens} +
             Index(trace, site.position));
  made.rest = Remainder(trace, site, outputs.sum(0), made.scalars);
  return made;
}

Contributions OfNeurons(const Trace& trace, const SiteNodes& site) {
  const int layer = site.site.layer;
  const at::Tensor& down = trace.decoder->weights.layers[layer].mlp.down;
  const at::Tensor& neurons = trace.layers[layer].neurons;
  Contributions made;
  made.scalars =
      down.index_select(0, Index(trace, site.index)).to(trace.dtype) *
      Pick(trace, site, neurons).unsqueeze(1);
  made.rest = Remainder(trace, site, neurons.matmul(down.to(trace.dtype)),
                        made.scalars);
  return made;
}

// An output bias without a decomposition.
Contributions OfBias(const Trace& trace, const SiteNodes& site) {
  const LayerWeights& layer = trace.decoder->weights.layers[site.site.layer];
  const at::Tensor& bias =
      site.site.part == SitePart::kO ? layer.o_bias : layer.down_bias;
  return {.vectors = {
              bias.to(trace.dtype).unsqueeze(0).expand({trace.tokens, -1})}};
}

// d(post-activation) / d(normed stream).
at::Tensor NeuronReaders(const Trace& trace,
                         const SiteNodes& site,
                         int64_t begin,
                         int64_t end) {
  const int layer = site.site.layer;
  const DecoderSpec& spec = trace.decoder->spec;
  const LayerTrace& run = trace.layers[layer];
  const at::Tensor& up = trace.decoder->weights.layers[layer].mlp.up;
  const at::Tensor index = Indices(trace, site, begin, end);
  const auto pick = [&](const at::Tensor& values) {
    return Pick(trace, site, values, begin, end);
  };
  const auto rows = [&](const at::Tensor& which, const at::Tensor& slope) {
    return up.index_select(0, which).to(trace.dtype) * slope.unsqueeze(1);
  };
  if (!spec.gated_mlp) {
    return rows(index, SlopeAt(spec.activation, pick(run.up)));
  }
  const at::Tensor gate = pick(run.gate);
  return rows(index, SlopeAt(spec.activation, gate) * pick(run.up)) +
         rows(index + spec.mlp_width, ActivationAt(spec.activation, gate));
}

}  // namespace

at::Tensor Index(const Trace& trace, std::span<const int32_t> values) {
  return at::tensor(std::vector<int64_t>(values.begin(), values.end()),
                    at::dtype(at::kLong))
      .to(trace.decoder->device);
}

Contributions Contribute(const Trace& trace, const SiteNodes& site) {
  const auto [part, layer] = std::pair(site.site.part, site.site.layer);
  if (part == SitePart::kEmbedding) return OfEmbedding(trace, site);
  if (part == SitePart::kHeads) return OfHeads(trace, site);
  if (part == SitePart::kNeurons) return OfNeurons(trace, site);
  const ModuleTrace* const module = trace.Find(part, layer);
  return module != nullptr ? OfModule(trace, site, *module)
                           : OfBias(trace, site);
}

void Place(const SiteNodes& site,
           const Contributions& from,
           const std::vector<int64_t>& first_row,
           bool with_rest,
           at::Tensor rows) {
  const auto index = [&](const std::vector<int64_t>& values) {
    return at::tensor(values, at::dtype(at::kLong)).to(rows.device());
  };
  std::vector<int64_t> scalars, behind;
  for (size_t i = 0; i < site.position.size(); ++i) {
    const int t = site.position[i];
    scalars.push_back(first_row[t] + static_cast<int64_t>(i) - site.begin[t]);
  }
  const int tokens = static_cast<int>(site.begin.size()) - 1;
  for (int t = 0; t < tokens; ++t) {
    behind.push_back(first_row[t] + site.ScalarsAt(t));
  }
  if (from.scalars.defined()) rows.index_copy_(0, index(scalars), from.scalars);
  at::Tensor next = index(behind);
  for (const at::Tensor& vector : from.vectors) {
    rows.index_copy_(0, next, vector);
    next = next + 1;
  }
  if (!with_rest) return;
  if (from.rest.defined()) {
    rows.index_copy_(0, next, from.rest);
  } else {
    rows.index_fill_(0, next, 0);
  }
}

at::Tensor NodeRows(const SiteNodes& site, const Contributions& from) {
  if (from.vectors.empty()) return from.scalars;
  const int tokens = static_cast<int>(site.begin.size()) - 1;
  std::vector<int64_t> first_row;
  for (int t = 0; t < tokens; ++t) first_row.push_back(site.RowsBefore(t));
  const at::Tensor& like = from.vectors.front();
  at::Tensor rows =
      at::empty({site.RowsBefore(tokens), like.size(1)}, like.options());
  Place(site, from, first_row, /*with_rest=*/false, rows);
  return rows;
}

at::Tensor MatrixRowsAt(const Trace& trace, const SiteNodes& site, int t) {
  const ModuleTrace* const module = trace.Find(site.site.part, site.site.layer);
  INVARIANT(module != nullptr);
  std::vector<at::Tensor> rows;
  if (site.ScalarsAt(t) > 0) {
    rows.push_back(
        Scaled(trace, site, *module, site.begin[t], site.begin[t + 1]));
  }
  for (const NodeKind kind : site.vectors) {
    rows.push_back(kind == NodeKind::kBias ? module->bias.unsqueeze(0)
                                           : module->delta.narrow(0, t, 1));
  }
  return at::cat(rows);
}

at::Tensor ReaderRows(const Trace& trace,
                      const SiteNodes& site,
                      int64_t begin,
                      int64_t end) {
  const SitePart part = site.site.part;
  if (part == SitePart::kNeurons) {
    return NeuronReaders(trace, site, begin, end);
  }
  const at::Tensor index = Indices(trace, site, begin, end);
  if (part == SitePart::kLogits) {
    return trace.decoder->weights.unembedding.index_select(0, index).to(
        trace.dtype);
  }
  const ModuleTrace* const module = trace.Find(part, site.site.layer);
  INVARIANT(module != nullptr && module->factors != nullptr);
  return module->factors->v.index_select(0, index).to(trace.dtype);
}

at::Tensor Activations(const Trace& trace, const SiteNodes& site) {
  const int layer = site.site.layer;
  if (site.scalar_kind == NodeKind::kNeuron) {
    return Pick(trace, site, trace.layers[layer].neurons);
  }
  if (site.scalar_kind == NodeKind::kHead) {
    return at::linalg_vector_norm(OfHeads(trace, site).scalars, 2, {1});
  }
  const ModuleTrace* const module = trace.Find(site.site.part, layer);
  INVARIANT(module != nullptr && module->factors != nullptr);
  return Pick(trace, site, module->activations);
}

}  // namespace spar::models
