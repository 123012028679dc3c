#include "tests/attribution/graphs.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "base/status.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/sites.h"

namespace spar::models {
namespace {

constexpr int kComponents = 4;

at::Tensor Random(std::mt19937_64& random,
                  const std::vector<int64_t>& shape,
                  double scale) {
  at::Tensor made = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  double* const values = made.mutable_data_ptr<double>();
  // Rounded, so that float32 holds the same numbers.
  std::uniform_real_distribution<double> uniform(-scale, scale);
  for (int64_t i = 0; i < made.numel(); ++i) {
    values[i] = static_cast<float>(uniform(random));
  }
  return made;
}

DecoderSpec Base() {
  DecoderSpec base;
  base.num_layers = 3;
  base.width = 16;
  base.num_heads = 4;
  base.num_kv_heads = 4;
  base.head_dim = 6;
  base.mlp_width = 20;
  base.vocab_size = 30;
  base.context_length = 40;
  base.tied_embeddings = true;
  return base;
}

DecoderSpec Llama() {
  DecoderSpec llama = Base();
  llama.norm = NormKind::kRmsNorm;
  llama.activation = Activation::kSilu;
  llama.gated_mlp = true;
  llama.num_kv_heads = 2;
  llama.positions = PositionKind::kRotary;
  llama.rotary = {.dim = 6, .theta = 100};
  llama.tied_embeddings = false;
  return llama;
}

DecoderSpec NeoX() {
  DecoderSpec neox = Base();
  neox.activation = Activation::kGeluErf;
  neox.parallel_residual = true;
  neox.positions = PositionKind::kRotary;
  neox.rotary = {.dim = 4, .theta = 50};
  neox.tied_embeddings = false;
  return neox;
}

int64_t InputSize(const DecoderSpec& spec, SitePart part) {
  if (part == SitePart::kEmbedding) return spec.vocab_size;
  if (part == SitePart::kO) return int64_t{spec.num_heads} * spec.head_dim;
  return part == SitePart::kDown ? spec.mlp_width : spec.width;
}

int64_t OutputSize(const DecoderSpec& spec, SitePart part) {
  const int64_t heads = int64_t{spec.num_heads} * spec.head_dim;
  const int64_t kv_heads = int64_t{spec.num_kv_heads} * spec.head_dim;
  switch (part) {
    case SitePart::kQ:
      return heads;
    case SitePart::kK:
    case SitePart::kV:
      return kv_heads;
    case SitePart::kQkv:
      return heads + 2 * kv_heads;
    case SitePart::kGate:
    case SitePart::kUp:
      return spec.mlp_width;
    default:
      return spec.width;
  }
}

// Puts every target's values into a matrix.
class Collector final : public IncomingSink {
 public:
  explicit Collector(int64_t nodes) {
    graph_.values = at::zeros({nodes, nodes}, at::dtype(at::kDouble));
    graph_.listed = at::zeros({nodes, nodes}, at::dtype(at::kBool));
  }

  absl::Status OnTarget(int32_t,
                        int32_t target,
                        std::span<const IncomingSpan> from) override {
    graph_.target_order.push_back(target);
    const int64_t nodes = graph_.values.size(1);
    double* const values =
        graph_.values.mutable_data_ptr<double>() + target * nodes;
    bool* const listed =
        graph_.listed.mutable_data_ptr<bool>() + target * nodes;
    for (const IncomingSpan& span : from) {
      for (size_t i = 0; i < span.values.size(); ++i) {
        const int64_t source = span.first_source + static_cast<int64_t>(i);
        INVARIANT(source < nodes && !listed[source]);
        values[source] = span.values[i];
        listed[source] = true;
      }
    }
    return absl::OkStatus();
  }
  absl::Status EndOfSites() override { return absl::OkStatus(); }

  DenseGraph Take() { return std::move(graph_); }

 private:
  DenseGraph graph_;
};

}  // namespace

std::vector<Variant> Variants() {
  const DecoderSpec gpt2 = Base();
  DecoderSpec relu = Base();
  relu.activation = Activation::kRelu;
  DecoderSpec vpd = Base();  // RMSNorm, GELU, rotary, one MLP matrix each way
  vpd.norm = NormKind::kRmsNorm;
  vpd.positions = PositionKind::kRotary;
  vpd.rotary = {.dim = 6, .theta = 100};
  DecoderSpec window = Llama();
  window.num_kv_heads = 1;
  window.rotary.adjacent_pairs = true;
  window.layers.resize(3);
  for (int i = 0; i < 3; ++i) window.layers[i].sliding_window = 2 + i;
  DecoderSpec linear = Llama();
  linear.rotary.scaling = RopeScalingKind::kLinear;
  linear.rotary.factor = 4;
  DecoderSpec llama3 = Llama();
  llama3.rotary.scaling = RopeScalingKind::kLlama3;
  llama3.rotary.factor = 8;
  llama3.rotary.original_context = 64;
  DecoderSpec gated_parallel = NeoX();
  gated_parallel.gated_mlp = true;
  return {
      {.name = "Gpt2", .shape = gpt2, .biases = true},
      {.name = "Gpt2Fused",
       .shape = gpt2,
       .biases = true,
       .layout = QkvLayout::kConcatenated},
      {.name = "Vpd", .shape = vpd},
      {.name = "VpdEmbedding", .shape = vpd, .decomposed_embedding = true},
      {.name = "Relu", .shape = relu, .only_some_matrices = true},
      {.name = "Llama", .shape = Llama()},
      {.name = "LlamaSome", .shape = Llama(), .only_some_matrices = true},
      {.name = "Qwen2", .shape = Llama(), .biases = true},
      {.name = "NeoX", .shape = NeoX(), .biases = true},
      {.name = "NeoXFused",
       .shape = NeoX(),
       .biases = true,
       .layout = QkvLayout::kInterleaved},
      {.name = "GatedParallel", .shape = gated_parallel},
      {.name = "SlidingWindow", .shape = window},
      {.name = "LinearRope", .shape = linear},
      {.name = "Llama3Rope", .shape = llama3},
  };
}

std::shared_ptr<const Snapshot> SnapshotOf(const Variant& variant) {
  return EditSnapshot(MakeRandomSnapshot(variant.shape, variant.biases, 5),
                      variant.layout, [](DecoderSpec&) {});
}

std::vector<PlainFactors> RandomFactors(const Variant& variant,
                                        const DecoderSpec& spec,
                                        uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<PlainFactors> factors;
  const auto add = [&](SitePart part, int layer) {
    const int64_t in = InputSize(spec, part), out = OutputSize(spec, part);
    const double scale = 1.5 / std::sqrt(static_cast<double>(in));
    factors.push_back({.part = part,
                       .layer = layer,
                       .v = Random(random, {kComponents, in}, scale),
                       .u = Random(random, {kComponents, out}, 0.5)});
  };
  if (variant.decomposed_embedding) add(SitePart::kEmbedding, -1);
  for (int l = 0; l < spec.num_layers; ++l) {
    const bool some = variant.only_some_matrices;
    if (variant.layout != QkvLayout::kSeparate) {
      add(SitePart::kQkv, l);
    } else {
      add(SitePart::kQ, l);
      if (!some) add(SitePart::kK, l);
      add(SitePart::kV, l);
    }
    if (!some || l == 1) add(SitePart::kO, l);
    if (spec.gated_mlp) add(SitePart::kGate, l);
    add(SitePart::kUp, l);
    if (!some || l % 2 == 0) add(SitePart::kDown, l);
  }
  return factors;
}

std::vector<PlainMasks> RandomMasks(const std::vector<PlainFactors>& factors,
                                    int tokens,
                                    uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<PlainMasks> masks;
  for (const PlainFactors& of : factors) {
    masks.push_back(
        {.components = Random(random, {tokens, of.v.size(0)}, 1).abs(),
         .delta = Random(random, {tokens}, 1).abs()});
  }
  return masks;
}

std::vector<TokenId> SomeTokens(const DecoderSpec& spec, int count) {
  std::vector<TokenId> tokens;
  for (int i = 0; i < count; ++i)
    tokens.push_back((7 * i + 3) % spec.vocab_size);
  return tokens;
}

NodeTable ChooseNodes(const Trace& trace, uint64_t seed) {
  std::mt19937_64 random(seed);
  const DecoderSpec& spec = trace.decoder->spec;
  std::vector<SiteNodes> sites = SitesOf(trace);
  for (SiteNodes& site : sites) {
    int count = 0;
    const ModuleTrace* const module =
        trace.Find(site.site.part, site.site.layer);
    if (module != nullptr && module->factors != nullptr) count = kComponents;
    if (site.site.part == SitePart::kHeads) count = spec.num_heads;
    if (site.site.part == SitePart::kNeurons) count = spec.mlp_width;
    if (site.site.part == SitePart::kLogits) count = 3;
    for (int t = 0; t < trace.tokens; ++t) {
      for (int i = 0; i < count; ++i) {
        if (random() % 3 == 0) continue;
        site.position.push_back(t);
        site.index.push_back(i);
      }
    }
  }
  return NodeTable(trace.tokens, std::move(sites));
}

std::unique_ptr<ClosedForm> RunClosedForm(
    const Snapshot& snapshot,
    std::span<const TokenId> tokens,
    const std::vector<PlainFactors>& factors,
    const std::vector<PlainMasks>& masks,
    at::ScalarType dtype) {
  auto run = std::make_unique<ClosedForm>();
  run->decoder = LoadDecoder(snapshot, at::kCPU, dtype);
  for (const PlainFactors& of : factors) {
    run->factors.push_back({.part = of.part,
                            .layer = of.layer,
                            .v = of.v.to(dtype),
                            .u = of.u.to(dtype)});
  }
  for (const PlainMasks& of : masks) {
    run->masks.push_back({of.components.to(dtype), of.delta.to(dtype)});
  }
  const c10::InferenceMode inference;
  run->trace = TraceRun(run->decoder, tokens, run->factors, run->masks);
  return run;
}

DenseGraph ClosedFormGraph(const Trace& trace,
                           const NodeTable& nodes,
                           NormGradient norm) {
  const c10::InferenceMode inference;
  Collector collector(nodes.num_nodes());
  IdentityChecks identities;
  const absl::Status status =
      GraphEdges(trace, nodes, norm, collector, identities);
  INVARIANT(status.ok());
  DenseGraph graph = collector.Take();
  graph.stream = identities.stream.Result();
  graph.value_paths = identities.values.Result();
  return graph;
}

at::Tensor PlainGraph(const PlainRun& run, const NodeTable& nodes) {
  at::Tensor graph =
      at::zeros({nodes.num_nodes(), nodes.num_nodes()}, at::dtype(at::kDouble));
  const auto values_of = [&](const AttributionSite& site) {
    if (site.part == SitePart::kLogits) return run.logits;
    for (const PlainTarget& target : run.targets) {
      if (target.part == site.part && target.layer == site.layer) {
        return target.values;
      }
    }
    return at::Tensor();
  };
  const auto fill = [&](int64_t row, const at::Tensor& target) {
    const std::vector<at::Tensor> edges = PlainEdges(run, target);
    double* const to =
        graph.mutable_data_ptr<double>() + row * nodes.num_nodes();
    for (size_t k = 0; k < run.sources.size(); ++k) {
      const PlainSource& source = run.sources[k];
      const SiteNodes* const site = nodes.Find(source.part, source.layer);
      INVARIANT(site != nullptr);
      const at::Tensor values = edges[k].contiguous();
      const double* const from = values.const_data_ptr<double>();
      for (int t = 0; t < nodes.tokens(); ++t) {
        int64_t node = site->FirstNode(t);
        if (source.kind == site->scalar_kind) {
          for (int64_t i = site->begin[t]; i < site->begin[t + 1]; ++i) {
            to[node++] = from[t * values.size(1) + site->index[i]];
          }
          continue;
        }
        const auto vector =
            std::find(site->vectors.begin(), site->vectors.end(), source.kind);
        INVARIANT(vector != site->vectors.end());
        to[node + site->ScalarsAt(t) + (vector - site->vectors.begin())] =
            from[t];
      }
    }
  };
  for (const SiteNodes& site : nodes.sites()) {
    const at::Tensor values = values_of(site.site);
    if (!values.defined()) continue;
    for (int64_t i = 0; i < site.num_scalars(); ++i) {
      const int t = site.position[i];
      fill(site.FirstNode(t) + i - site.begin[t], values[t][site.index[i]]);
    }
  }
  return graph;
}

Comparison Compare(const at::Tensor& a,
                   const at::Tensor& b,
                   const NodeTable& nodes,
                   const at::Tensor& parts) {
  Comparison result;
  const auto block = [&](const at::Tensor& of, const SiteNodes& target,
                         const SiteNodes& source) {
    return of.narrow(0, target.first_node, target.RowsBefore(nodes.tokens()))
        .narrow(1, source.first_node, source.RowsBefore(nodes.tokens()));
  };
  const auto largest = [](const at::Tensor& of) {
    return of.numel() == 0 ? 0.0 : of.abs().max().item().toDouble();
  };
  for (const SiteNodes& target : nodes.sites()) {
    for (const SiteNodes& source : nodes.sites()) {
      const double error =
          largest(block(a, target, source) - block(b, target, source));
      if (error == 0) continue;
      double scale = largest(block(b, target, source));
      if (parts.defined()) {
        scale = std::max(scale, largest(block(parts, target, source)));
      }
      const double relative = error / scale;
      if (relative > result.worst || std::isnan(relative)) {
        result.worst = relative;
        result.where = base::Cat(
            "part ", static_cast<int>(source.site.part), " of layer ",
            source.site.layer, " -> part ", static_cast<int>(target.site.part),
            " of layer ", target.site.layer, ": ", error, " of ", scale);
        if (std::isnan(relative)) return result;
      }
    }
  }
  return result;
}

}  // namespace spar::models
