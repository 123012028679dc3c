// How fast the edges of an attribution graph are at the size of the VPD paper's
// decomposition, against one backward pass per node, and one per 16 nodes.
//
// 4 layers of width 768, 6 heads, 3,072 neurons, 38,912 subcomponents; random
// weights; alive nodes drawn at the published mean L0 per layer and position;
// 10 logits. The backward passes run as the method's public code sets them up;
// only the passes are counted, the fastest of a sample of targets per site, and
// multiplied by the site's targets. The closed form is counted whole:
// gathering, all edges, the embedding's and the Deltas' too, their filter and
// blocks. All times are CPU seconds of the process, which a busy machine hardly
// moves.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/randn.h>

#include "base/status.h"
#include "bench/backward_edges.h"
#include "bench/bench_report.h"
#include "models/decomposition/paper_shape.h"
#include "models/snapshot/random_snapshot.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/edge_writer.h"
#include "models/torch/attribution/factors.h"
#include "models/torch/attribution/graph_edges.h"
#include "models/torch/attribution/sites.h"

namespace spar::bench {
namespace {

using models::ModuleFactors;
using models::NodeTable;
using models::SiteNodes;
using models::SitePart;
using models::Trace;

constexpr int kLogits = 10;
constexpr int kCopies = 16;

std::vector<ModuleFactors> RandomFactors(const models::DecoderSpec& spec) {
  std::vector<models::ComponentModule> modules;
  for (const models::DecomposedModule& module : models::PaperModules(spec)) {
    const int64_t components = module.num_components;
    modules.push_back({.module = module,
                       .v = at::randn({components, module.d_in}) /
                            std::sqrt(static_cast<double>(module.d_in)),
                       .u = at::randn({components, module.d_out}) /
                            std::sqrt(static_cast<double>(components))});
  }
  return models::FactorsOf(modules);
}

class Graph {
 public:
  Graph(const models::Decoder& decoder,
        const std::vector<ModuleFactors>& factors,
        int tokens)
      : decoder_(decoder), factors_(factors) {
    std::mt19937 random(static_cast<uint32_t>(tokens));
    for (int i = 0; i < tokens; ++i) {
      tokens_.push_back(static_cast<int32_t>(
          random() % static_cast<uint32_t>(decoder.spec.vocab_size)));
    }
    for (int i = 0; i < kLogits; ++i) logits_.push_back(100 * i);
    trace_ = Forward();
    std::vector<SiteNodes> sites = models::SitesOf(trace_);
    std::uniform_real_distribution<double> uniform;
    for (SiteNodes& site : sites) Draw(site, uniform, random);
    table_ = std::make_unique<NodeTable>(tokens, std::move(sites));
    nodes_.resize(table_->num_nodes());
  }

  Trace Forward() const {
    const c10::InferenceMode inference;
    return models::TraceRun(decoder_, tokens_, factors_, {});
  }

  // CPU seconds of all edges.
  double ClosedForm() {
    class Counter final : public models::AttributionSink {
     public:
      absl::Status OnNodes(models::AttributionNodes) override {
        return absl::OkStatus();
      }
      absl::Status OnEdges(models::EdgeBlock) override {
        return absl::OkStatus();
      }
    };
    const c10::InferenceMode inference;
    Counter sink;
    const models::AttributionRequest request;
    models::EdgeWriter writer(request, nodes_, sink);
    models::IdentityChecks identities;
    const double before = CpuSeconds();
    INVARIANT(models::GraphEdges(trace_, *table_, models::NormGradient::kFull,
                                 writer, identities)
                  .ok());
    const double seconds = CpuSeconds() - before;
    edges_ = writer.summary().edges;
    stream_ = identities.stream.Result().relative;
    values_ = identities.values.Result().relative;
    return seconds;
  }

  // CPU seconds of backward passes for all targets, `copies` a pass: the
  // fastest of `samples` for each site.
  double Backward(int copies, bool stop_delta, int samples) const {
    BackwardEdges run(decoder_, factors_, tokens_, logits_,
                      {.copies = copies, .stop_delta = stop_delta});
    double total = 0;
    for (const SiteNodes& site : table_->sites()) {
      const auto targets = site.num_scalars();
      if (targets == 0) continue;
      double fastest = 0;
      for (int sample = 0; sample < samples; ++sample) {
        std::vector<std::pair<int, int>> chosen;
        for (int copy = 0; copy < copies; ++copy) {
          const auto i = static_cast<size_t>((int64_t{sample} * copies + copy) *
                                             97 % targets);
          const int index = site.site.part == SitePart::kLogits
                                ? static_cast<int>(i)
                                : site.index[i];
          chosen.emplace_back(site.position[i], index);
        }
        const double seconds =
            run.Run({site.site.part, site.site.layer}, chosen);
        fastest = sample == 0 ? seconds : std::min(fastest, seconds);
      }
      total += fastest * std::ceil(static_cast<double>(targets) / copies);
    }
    return total;
  }

  int64_t targets() const {
    int64_t count = 0;
    for (const SiteNodes& site : table_->sites()) count += site.num_scalars();
    return count;
  }
  int64_t edges() const { return edges_; }
  double stream_residual() const { return stream_; }
  double values_residual() const { return values_; }

 private:
  void Draw(SiteNodes& site,
            std::uniform_real_distribution<double>& uniform,
            std::mt19937& random) const {
    const auto tokens = static_cast<int32_t>(tokens_.size());
    if (site.site.part == SitePart::kLogits) {
      site.position.assign(kLogits, tokens - 1);
      site.index = logits_;
      return;
    }
    for (const ModuleFactors& of : factors_) {
      if (of.part != site.site.part || of.layer != site.site.layer) continue;
      const double share = models::PaperAliveShare(of.layer);
      for (int32_t t = 0; t < tokens; ++t) {
        for (int32_t c = 0; c < of.v.size(0); ++c) {
          if (uniform(random) >= share) continue;
          site.position.push_back(t);
          site.index.push_back(c);
        }
      }
    }
  }

  const models::Decoder& decoder_;
  const std::vector<ModuleFactors>& factors_;
  std::vector<models::TokenId> tokens_;
  std::vector<int32_t> logits_;
  Trace trace_;
  std::unique_ptr<NodeTable> table_;
  std::vector<models::AttributionNode> nodes_;
  int64_t edges_ = 0;
  double stream_ = 0, values_ = 0;
};

double Milliseconds(double seconds) {
  return std::round(seconds * 1e5) / 100;
}

int Main(int argc, char** argv) {
  const BenchOptions options = ParseBenchOptions(argc, argv);
  at::set_num_threads(options.threads > 0 ? options.threads : 1);
  const models::Decoder decoder = models::LoadDecoder(
      *models::MakeRandomSnapshot(models::PaperTarget(), /*biases=*/false, 1),
      at::kCPU, at::kFloat);
  const std::vector<ModuleFactors> factors = RandomFactors(decoder.spec);
  const int samples = options.quick ? 2 : 8;
  const int batched_samples = options.quick ? 1 : 3;
  Say(base::Cat("VPD's size, float32, ", at::get_num_threads(),
                " threads, CPU seconds, backward passes: the fastest of ",
                samples, " targets a site, or of ", batched_samples, " times ",
                kCopies));
  const std::vector<int> lengths =
      options.quick ? std::vector<int>{16} : std::vector<int>{8, 16, 32, 64};
  for (const int tokens : lengths) {
    Graph graph(decoder, factors, tokens);
    std::vector<double> closed_runs, forward_runs;
    for (int i = -1; i < 7; ++i) {
      const double before = CpuSeconds();
      graph.Forward();
      const double forward_seconds = CpuSeconds() - before;
      const double seconds = graph.ClosedForm();
      if (i < 0) continue;  // the first round warms up
      closed_runs.push_back(seconds);
      forward_runs.push_back(forward_seconds);
    }
    const double closed = Median(closed_runs), forward = Median(forward_runs);
    const double node = graph.Backward(1, /*stop_delta=*/false, samples);
    const double stopped = graph.Backward(1, /*stop_delta=*/true, samples);
    const double batched =
        graph.Backward(kCopies, /*stop_delta=*/false, batched_samples);
    Say(base::Cat("T = ", tokens, ": ", graph.targets(), " targets, ",
                  graph.edges(), " edges; closed form ", Milliseconds(closed),
                  " ms, forward ", Milliseconds(forward),
                  " ms, a backward pass per node ", node,
                  " s (cut at Deltas too: ", stopped, " s), per ", kCopies,
                  " nodes ", batched, " s; identities to ",
                  graph.stream_residual(), " and ", graph.values_residual()));
    if (tokens != 16) continue;
    Report("attribute.closed_form", closed * 1e3, "ms");
    Report("attribute.share_of_forward", closed / forward, "ratio");
    Report("attribute.speedup_node", node / closed, "x");
    Report("attribute.speedup_node_cut", stopped / closed, "x");
    Report("attribute.speedup_batched", batched / closed, "x");
  }
  return 0;
}

}  // namespace
}  // namespace spar::bench

int main(int argc, char** argv) {
  return spar::bench::Main(argc, argv);
}
