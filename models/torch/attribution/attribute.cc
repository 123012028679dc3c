#include "models/torch/attribution/attribute.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <ATen/ops/full.h>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/contributions.h"
#include "models/torch/attribution/edge_writer.h"
#include "models/torch/attribution/graph_edges.h"
#include "models/torch/attribution/selection.h"
#include "models/torch/attribution/sites.h"
#include "models/torch/errors.h"

namespace spar::models {
namespace {

class Question {
 public:
  Question(const AttributionRequest& request,
           const AttributionModel& model,
           AttributionSink& sink)
      : request_(request),
        model_(model),
        spec_(model.decoder->spec),
        sink_(sink) {}

  absl::Status Run() {
    const c10::InferenceMode inference;
    RETURN_IF_ERROR(CheckRun());
    const std::vector<ChosenNodes> subcomponents =
        ChooseSubcomponents(request_, model_.factors, model_.importances);
    const std::vector<ModuleMasks> masks = Masks(subcomponents);
    const Trace trace =
        TraceRun(*model_.decoder, request_.tokens, model_.factors, masks);
    const ChosenLogits logits = ChooseLogits(request_, trace);
    const NodeTable table = MakeTable(
        trace,
        model_.factors.empty() ? ChooseUnits(request_, trace) : subcomponents,
        logits.nodes);
    RETURN_IF_ERROR(
        CheckBytes(TraceBytes() + GraphBytes(spec_, table, trace.dtype)));
    AttributionNodes nodes = Describe(trace, table, logits);
    const std::vector<AttributionNode> kept = nodes.nodes;
    RETURN_IF_ERROR(sink_.OnNodes(std::move(nodes)));
    EdgeWriter writer(request_, kept, sink_);
    IdentityChecks identities;
    RETURN_IF_ERROR(
        GraphEdges(trace, table, request_.norm, writer, identities));
    summary_ = writer.summary();
    summary_.stream = identities.stream.Result();
    summary_.values = identities.values.Result();
    return absl::OkStatus();
  }

  const AttributionSummary& summary() const { return summary_; }

 private:
  int64_t TraceBytes() const {
    int64_t components = 0;
    for (const ModuleFactors& of : model_.factors) {
      components += of.v.size(0);
    }
    return models::TraceBytes(
        spec_, static_cast<int64_t>(request_.tokens.size()), components,
        model_.decoder->dtype == at::kDouble ? at::kDouble : at::kFloat);
  }

  absl::Status CheckRun() const { return CheckBytes(TraceBytes()); }

  absl::Status CheckBytes(int64_t bytes) const {
    if (bytes <= model_.max_bytes) return absl::OkStatus();
    return base::Error(
        absl::StatusCode::kResourceExhausted,
        base::Cat("the graph needs ", bytes, " bytes; ", model_.max_bytes,
                  " may be used: name fewer nodes"),
        {.reason = "ATTRIBUTION_TOO_LARGE",
         .metadata = {{"bytes", base::Cat(bytes)},
                      {"max_bytes", base::Cat(model_.max_bytes)}}});
  }

  // For each of the factors; none where the run is the target's.
  std::vector<ModuleMasks> Masks(
      const std::vector<ChosenNodes>& subcomponents) const {
    std::vector<ModuleMasks> masks;
    if (request_.run == AttributedRun::kTarget) return masks;
    const auto tokens = static_cast<int64_t>(request_.tokens.size());
    for (size_t i = 0; i < model_.factors.size(); ++i) {
      const ModuleFactors& of = model_.factors[i];
      const auto options = at::dtype(at::kFloat).device(of.v.device());
      ModuleMasks mask{
          .components = at::zeros({tokens, of.v.size(0)}, options),
          .delta = at::full({tokens}, request_.delta_mask, options)};
      if (request_.run == AttributedRun::kImportance) {
        mask.components = model_.importances[i];
      }
      for (const ChosenNodes& chosen : subcomponents) {
        if (request_.run != AttributedRun::kListed || chosen.part != of.part ||
            chosen.layer != of.layer) {
          continue;
        }
        std::vector<int64_t> flat;
        for (size_t node = 0; node < chosen.index.size(); ++node) {
          flat.push_back(chosen.position[node] * of.v.size(0) +
                         chosen.index[node]);
        }
        mask.components.view(-1).index_fill_(
            0, at::tensor(flat, at::dtype(at::kLong)).to(of.v.device()), 1);
      }
      masks.push_back(std::move(mask));
    }
    return masks;
  }

  static NodeTable MakeTable(const Trace& trace,
                             const std::vector<ChosenNodes>& chosen,
                             const ChosenNodes& logits) {
    std::vector<SiteNodes> sites = SitesOf(trace);
    const auto fill = [&](const ChosenNodes& from) {
      for (SiteNodes& site : sites) {
        if (site.site.part != from.part || site.site.layer != from.layer) {
          continue;
        }
        site.position = from.position;
        site.index = from.index;
      }
    };
    for (const ChosenNodes& nodes : chosen) fill(nodes);
    fill(logits);
    return NodeTable(trace.tokens, std::move(sites));
  }

  // Of the scalar nodes of a site, in order.
  std::vector<float> OnHost(const at::Tensor& values) const {
    const at::Tensor host = values.to(at::kCPU, at::kFloat).contiguous();
    const float* const begin = host.const_data_ptr<float>();
    return {begin, begin + host.numel()};
  }

  std::vector<float> Importances(const Trace& trace,
                                 const SiteNodes& site) const {
    for (size_t i = 0; i < model_.importances.size(); ++i) {
      const ModuleFactors& of = model_.factors[i];
      if (of.part != site.site.part || of.layer != site.site.layer) continue;
      const at::Tensor& values = model_.importances[i];
      return OnHost(values.flatten().index_select(
          0, Index(trace, site.position) * values.size(1) +
                 Index(trace, site.index)));
    }
    return std::vector<float>(site.index.size(), 1);
  }

  AttributionNodes Describe(const Trace& trace,
                            const NodeTable& table,
                            const ChosenLogits& logits) const {
    AttributionNodes described;
    for (const SiteNodes& site : table.sites()) {
      described.sites.push_back(site.site);
      std::vector<float> activations, importances;
      if (site.site.part == SitePart::kLogits) {
        activations = logits.logits;
        importances = logits.probabilities;
      } else if (site.num_scalars() > 0) {
        activations = OnHost(Activations(trace, site));
        importances = Importances(trace, site);
      }
      for (int32_t t = 0; t < trace.tokens; ++t) {
        for (int64_t i = site.begin[t]; i < site.begin[t + 1]; ++i) {
          described.nodes.push_back({.kind = site.scalar_kind,
                                     .site = site.number,
                                     .position = t,
                                     .index = site.index[i],
                                     .activation = activations[i],
                                     .importance = importances[i]});
        }
        for (const NodeKind kind : site.vectors) {
          described.nodes.push_back(
              {.kind = kind, .site = site.number, .position = t});
        }
      }
    }
    return described;
  }

  const AttributionRequest& request_;
  const AttributionModel& model_;
  const DecoderSpec& spec_;
  AttributionSink& sink_;
  AttributionSummary summary_;
};

}  // namespace

absl::StatusOr<AttributionSummary> Attribute(const AttributionRequest& request,
                                             const AttributionModel& model,
                                             AttributionSink& sink) {
  RETURN_IF_ERROR(
      CheckAttribution(request, model.decoder->spec, model.factors));
  Question question(request, model, sink);
  RETURN_IF_ERROR(CatchTorch("attributing", [&] { return question.Run(); }));
  return question.summary();
}

}  // namespace spar::models
