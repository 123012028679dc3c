#include "models/torch/attribution/selection.h"

#include <algorithm>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/contributions.h"

namespace spar::models {
namespace {

using base::Cat;

absl::Status CheckPosition(int64_t position,
                           int64_t tokens,
                           const std::string& field) {
  if (position >= 0 && position < tokens) return absl::OkStatus();
  return base::InvalidArgument(
      "POSITION_OUT_OF_RANGE", field,
      Cat("position ", position, " is outside the prompt of ", tokens,
          " tokens"),
      {{"position", Cat(position)}, {"tokens", Cat(tokens)}});
}

absl::Status BadOption(const char* field, const std::string& message) {
  return base::InvalidArgument("BAD_ATTRIBUTION_OPTION", field, message);
}

// How many scalar nodes a site has at every position; 0: there is no such site.
int64_t SiteSize(const NodeRef& node,
                 const DecoderSpec& spec,
                 std::span<const ModuleFactors> factors) {
  for (const ModuleFactors& of : factors) {
    if (of.part == node.part && of.layer == node.layer) return of.v.size(0);
  }
  const bool in_layers = node.layer >= 0 && node.layer < spec.num_layers;
  if (!factors.empty() || !in_layers) return 0;
  if (node.part == SitePart::kHeads) return spec.num_heads;
  return node.part == SitePart::kNeurons ? spec.mlp_width : 0;
}

absl::Status CheckNodes(const AttributionRequest& request,
                        const DecoderSpec& spec,
                        std::span<const ModuleFactors> factors) {
  std::set<std::tuple<int, int, int32_t, int32_t>> seen;
  for (size_t i = 0; i < request.nodes.size(); ++i) {
    const NodeRef& node = request.nodes[i];
    const std::string field = Cat("nodes[", i, "]");
    RETURN_IF_ERROR(CheckPosition(node.position,
                                  static_cast<int64_t>(request.tokens.size()),
                                  field + ".position"));
    const int64_t size = SiteSize(node, spec, factors);
    if (node.index < 0 || node.index >= size) {
      return base::InvalidArgument(
          "UNKNOWN_NODE", field,
          size == 0 ? Cat("layer ", node.layer, " has no such site here")
                    : Cat("index ", node.index, " of a site of ", size),
          {{"index", Cat(node.index)}, {"size", Cat(size)}});
    }
    if (!seen.insert({static_cast<int>(node.part), node.layer, node.position,
                      node.index})
             .second) {
      return base::InvalidArgument("DUPLICATE_NODE", field,
                                   "this node is named twice");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLogits(const AttributionRequest& request,
                         const DecoderSpec& spec) {
  const auto tokens = static_cast<int64_t>(request.tokens.size());
  std::set<std::pair<int32_t, TokenId>> seen;
  for (size_t i = 0; i < request.logits.size(); ++i) {
    const auto& [position, token] = request.logits[i];
    const std::string field = Cat("logits[", i, "]");
    RETURN_IF_ERROR(CheckPosition(position, tokens, field + ".position"));
    if (token < 0 || token >= spec.vocab_size) {
      return base::InvalidArgument(
          "TOKEN_OUT_OF_RANGE", field + ".token",
          Cat("token ", token, " of a vocabulary of ", spec.vocab_size),
          {{"token", Cat(token)}, {"vocab_size", Cat(spec.vocab_size)}});
    }
    if (!seen.insert({position, token}).second) {
      return base::InvalidArgument("DUPLICATE_NODE", field,
                                   "this logit is named twice");
    }
  }
  const std::vector<int32_t>& positions = request.logit_rule.positions;
  for (size_t i = 0; i < positions.size(); ++i) {
    const std::string field = Cat("logit_rule.positions[", i, "]");
    RETURN_IF_ERROR(CheckPosition(positions[i], tokens, field));
    if (i > 0 && positions[i] <= positions[i - 1]) {
      return base::InvalidArgument("BAD_ATTRIBUTION_OPTION", field,
                                   "positions must ascend");
    }
  }
  return absl::OkStatus();
}

std::vector<ChosenNodes> Listed(const AttributionRequest& request) {
  std::vector<NodeRef> nodes = request.nodes;
  const auto key = [](const NodeRef& node) {
    return std::tuple(node.layer, node.part, node.position, node.index);
  };
  std::sort(
      nodes.begin(), nodes.end(),
      [&](const NodeRef& a, const NodeRef& b) { return key(a) < key(b); });
  std::vector<ChosenNodes> chosen;
  for (const NodeRef& node : nodes) {
    if (chosen.empty() || chosen.back().part != node.part ||
        chosen.back().layer != node.layer) {
      chosen.push_back({.part = node.part, .layer = node.layer});
    }
    chosen.back().position.push_back(node.position);
    chosen.back().index.push_back(node.index);
  }
  return chosen;
}

// Of values [T, n] the entries above `above`, and of these the `limit` largest
// of each row; 0: all. Ties by index.
void TakeLargest(const at::Tensor& values,
                 double above,
                 int limit,
                 ChosenNodes& chosen) {
  const at::Tensor host = values.to(at::kCPU, at::kFloat).contiguous();
  const float* row = host.const_data_ptr<float>();
  std::vector<int32_t> some;
  for (int32_t t = 0; t < host.size(0); ++t, row += host.size(1)) {
    some.clear();
    for (int32_t i = 0; i < host.size(1); ++i) {
      if (row[i] > above) some.push_back(i);
    }
    if (limit > 0 && static_cast<int>(some.size()) > limit) {
      std::nth_element(some.begin(), some.begin() + limit, some.end(),
                       [&](int32_t a, int32_t b) {
                         return row[a] != row[b] ? row[a] > row[b] : a < b;
                       });
      some.resize(limit);
      std::sort(some.begin(), some.end());
    }
    chosen.position.insert(chosen.position.end(), some.size(), t);
    chosen.index.insert(chosen.index.end(), some.begin(), some.end());
  }
}

}  // namespace

absl::Status CheckAttribution(const AttributionRequest& request,
                              const DecoderSpec& spec,
                              std::span<const ModuleFactors> factors) {
  RETURN_IF_ERROR(CheckNodes(request, spec, factors));
  RETURN_IF_ERROR(CheckLogits(request, spec));
  const auto& [min_importance, max_subcomponents, max_neurons] = request.rule;
  if (!(min_importance >= 0)) {
    return BadOption("rule.min_importance", "it must be at least 0");
  }
  if (max_subcomponents < 0) {
    return BadOption("rule.max_subcomponents", "it must be at least 0");
  }
  if (max_neurons < 1) {
    return BadOption("rule.max_neurons", "it must be at least 1");
  }
  if (!(request.logit_rule.min_probability >= 0)) {
    return BadOption("logit_rule.min_probability", "it must be at least 0");
  }
  if (request.logit_rule.max_per_position < 1) {
    return BadOption("logit_rule.max_per_position", "it must be at least 1");
  }
  if (!(request.filter.min_magnitude >= 0)) {
    return BadOption("filter.min_magnitude", "it must be at least 0");
  }
  if (request.filter.max_per_target < 0) {
    return BadOption("filter.max_per_target", "it must be at least 0");
  }
  if (!(request.delta_mask >= 0 && request.delta_mask <= 1)) {
    return BadOption("delta_mask", "it must lie in [0, 1]");
  }
  if (factors.empty() && request.run != AttributedRun::kTarget) {
    return BadOption("run", "a masked run needs a decomposition");
  }
  return absl::OkStatus();
}

std::vector<ChosenNodes> ChooseSubcomponents(
    const AttributionRequest& request,
    std::span<const ModuleFactors> factors,
    std::span<const at::Tensor> importances) {
  if (!request.nodes.empty()) return Listed(request);
  std::vector<ChosenNodes> chosen;
  for (size_t i = 0; i < factors.size(); ++i) {
    chosen.push_back({.part = factors[i].part, .layer = factors[i].layer});
    TakeLargest(importances[i], request.rule.min_importance,
                request.rule.max_subcomponents, chosen.back());
  }
  return chosen;
}

std::vector<ChosenNodes> ChooseUnits(const AttributionRequest& request,
                                     const Trace& trace) {
  if (!request.nodes.empty()) return Listed(request);
  std::vector<ChosenNodes> chosen;
  for (int layer = 0; layer < trace.decoder->spec.num_layers; ++layer) {
    ChosenNodes heads{.part = SitePart::kHeads, .layer = layer};
    for (int t = 0; t < trace.tokens; ++t) {
      for (int head = 0; head < trace.decoder->spec.num_heads; ++head) {
        heads.position.push_back(t);
        heads.index.push_back(head);
      }
    }
    chosen.push_back(std::move(heads));
    chosen.push_back({.part = SitePart::kNeurons, .layer = layer});
    TakeLargest(trace.layers[layer].neurons.abs(), -1, request.rule.max_neurons,
                chosen.back());
  }
  return chosen;
}

ChosenLogits ChooseLogits(const AttributionRequest& request,
                          const Trace& trace) {
  ChosenLogits chosen{.nodes = {.part = SitePart::kLogits, .layer = -1}};
  std::vector<LogitRef> named = request.logits;
  std::sort(
      named.begin(), named.end(), [](const LogitRef& a, const LogitRef& b) {
        return std::pair(a.position, a.token) < std::pair(b.position, b.token);
      });
  std::vector<int32_t> positions;
  for (const LogitRef& logit : named) {
    if (positions.empty() || positions.back() != logit.position) {
      positions.push_back(logit.position);
    }
  }
  if (named.empty()) positions = request.logit_rule.positions;
  if (positions.empty()) positions = {trace.tokens - 1};
  for (const int32_t position : positions) {  // a row of the vocabulary each
    const at::Tensor logits =
        LogitsOf(trace, Index(trace, std::span(&position, 1)));
    const at::Tensor shares =
        logits.softmax(1).to(at::kCPU, at::kFloat).contiguous();
    const at::Tensor host = logits.to(at::kCPU, at::kFloat).contiguous();
    ChosenNodes here;
    if (named.empty()) {
      TakeLargest(shares, request.logit_rule.min_probability,
                  request.logit_rule.max_per_position, here);
    }
    for (const LogitRef& logit : named) {
      if (logit.position == position) here.index.push_back(logit.token);
    }
    for (const int32_t token : here.index) {
      chosen.nodes.position.push_back(position);
      chosen.nodes.index.push_back(token);
      chosen.logits.push_back(host.const_data_ptr<float>()[token]);
      chosen.probabilities.push_back(shares.const_data_ptr<float>()[token]);
    }
  }
  return chosen;
}

}  // namespace spar::models
