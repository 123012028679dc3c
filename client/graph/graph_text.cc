#include "client/graph/graph_text.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "client/graph/node_names.h"
#include "client/graph/text_columns.h"
#include "client/text.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr int kShareColumns = 8;
constexpr int kValueColumns = 11;

std::string At(const GraphView& view, int node) {
  const int position = view.node(node).position();
  return base::Cat("@", position, " ",
                   Quoted(view.header().prompt(position).text()));
}

std::string TargetText(const GraphView& view, const Style& style) {
  const v1::AttributionNode& node = view.node(view.target());
  const bool is_logit = node.kind() == v1::ATTRIBUTION_NODE_KIND_LOGIT;
  const std::string name = is_logit ? Quoted(node.token().text())
                                    : Escaped(FullName(view, view.target()));
  std::string text =
      base::Cat(Paint(style, Tone::kTarget, name), "  ",
                is_logit ? "logit " : "activation ", Value(node.activation()));
  if (is_logit) {
    text += base::Cat("  probability ", Percent(node.importance()));
  }
  return base::Cat(text, "  read ", At(view, view.target()));
}

std::string SizeText(const GraphView& view) {
  const v1::AttributionSummary& summary = view.message().summary();
  std::string text = base::Cat(WithCommas(view.num_nodes()), " nodes, ",
                               WithCommas(view.edges().num_edges()), " edges");
  const int64_t left_out = summary.below_count() + summary.cut_count();
  if (left_out > 0) {
    const double all = summary.magnitude() + summary.dropped_magnitude();
    text += base::Cat("; left out ", WithCommas(left_out), ", ",
                      Percent(all > 0 ? summary.dropped_magnitude() / all : 0),
                      " of all |edges|");
  }
  return text;
}

std::string MadeText(const v1::AttributeOptions& options) {
  return base::Cat(
      options.norm() == v1::NORM_GRADIENT_FROZEN ? "frozen" : "full", " norm, ",
      options.run() == v1::ATTRIBUTED_RUN_IMPORTANCE ? "importance-masked run"
      : options.run() == v1::ATTRIBUTED_RUN_LISTED   ? "listed nodes alone"
                                                     : "the model's own run",
      options.importance_factor() ? ", times the source's importance" : "");
}

// Empty where the graph has no such identity.
std::string CheckText(std::string_view name,
                      const v1::IdentityResidual& residual) {
  if (residual.target_count() == 0) return "";
  return base::Cat(name, " ", Printed("%.1e", residual.relative()), " of ",
                   WithCommas(residual.target_count()), " readers");
}

std::string ChecksText(const v1::AttributionSummary& summary) {
  const std::string stream = CheckText("stream", summary.stream());
  const std::string values = CheckText("values", summary.values());
  return base::Cat(stream, stream.empty() || values.empty() ? "" : ", ",
                   values);
}

std::string_view WeightingName(v1::PathWeighting weighting) {
  switch (weighting) {
    case v1::PATH_WEIGHTING_EFFECT:
      return "effect";
    case v1::PATH_WEIGHTING_PRODUCT:
      return "product of edges";
    default:
      return "share";
  }
}

// A node of the tree: paths that run alike from here to the target.
struct Branch {
  int node = 0;
  const v1::AttributionPath* path = nullptr;  // that begins here
  std::vector<Branch> sources = {};           // strongest path first
};

Branch TreeOf(const GraphView& view) {
  Branch root{.node = view.target()};
  for (const v1::AttributionPath& path :
       view.message().summary().answer().paths()) {
    Branch* at = &root;
    for (int i = path.nodes_size() - 2; i >= 0; --i) {
      const int node = path.nodes(i);
      const auto found =
          std::find_if(at->sources.begin(), at->sources.end(),
                       [node](const Branch& b) { return b.node == node; });
      if (found != at->sources.end()) {
        at = &*found;
      } else {
        Branch branch;
        branch.node = node;
        at->sources.push_back(std::move(branch));
        at = &at->sources.back();
      }
    }
    at->path = &path;
  }
  return root;
}

float EdgeBetween(const GraphView& view, int source, int target) {
  const std::span<const int32_t> sources = view.edges().Sources(target);
  const auto found = std::lower_bound(sources.begin(), sources.end(), source);
  if (found == sources.end() || *found != source) return 0;
  return view.edges().Weights(
      target)[static_cast<size_t>(found - sources.begin())];
}

struct Twigs {
  std::string_view branch = {};
  std::string_view last = {};
  std::string_view bar = {};
};

constexpr Twigs kUnicodeTwigs = {"├─ ", "└─ ", "│  "};
constexpr Twigs kPlainTwigs = {"|- ", "`- ", "|  "};

class TreeText {
 public:
  TreeText(const GraphView& view, const Style& style)
      : view_(view),
        style_(style),
        twigs_(style.unicode ? kUnicodeTwigs : kPlainTwigs),
        shares_(view.message().summary().answer().path_weighting() ==
                v1::PATH_WEIGHTING_SHARE) {}

  std::string Write(const Branch& root) {
    text_ = Paint(style_, Tone::kDim,
                  RightAligned("share", kShareColumns) +
                      RightAligned("edge", kValueColumns) + "  node");
    text_ += "\n";
    Line(root, std::nullopt, "", "");
    Sources(root, "");
    return text_;
  }

 private:
  void Sources(const Branch& branch, const std::string& indent) {
    for (size_t i = 0; i < branch.sources.size(); ++i) {
      const bool last = i + 1 == branch.sources.size();
      const Branch& source = branch.sources[i];
      Line(source, EdgeBetween(view_, source.node, branch.node), indent,
           last ? twigs_.last : twigs_.branch);
      Sources(source,
              base::Cat(indent, last ? std::string_view("   ") : twigs_.bar));
    }
  }

  void Line(const Branch& branch,
            std::optional<float> edge,
            std::string_view indent,
            std::string_view twig) {
    const bool is_root = !edge.has_value();
    const Tone tone = is_root                  ? Tone::kTarget
                      : branch.path != nullptr ? Tone::kLit
                                               : Tone::kPlain;
    const std::string share =
        RightAligned(Percent(view_.shares()[branch.node]), kShareColumns);
    const std::string value =
        RightAligned(edge ? Value(*edge) : "", kValueColumns);
    std::string tail = base::Cat(" ", At(view_, branch.node));
    if (branch.path != nullptr) {
      tail += base::Cat("  path ", shares_ ? Percent(branch.path->value())
                                           : Value(branch.path->value()));
    }
    const bool is_logit =
        view_.node(branch.node).kind() == v1::ATTRIBUTION_NODE_KIND_LOGIT;
    const std::string full = FullName(view_, branch.node);
    const std::string name = is_logit ? Quoted(full) : Escaped(full);
    const int used = kShareColumns + kValueColumns + 2 + Width(indent) +
                     Width(twig) + Width(name);
    if (style_.columns > 0) {
      tail = Clipped(tail, std::max(4, style_.columns - used),
                     style_.unicode ? "…" : "...");
    }
    text_ += base::Cat(share,
                       Paint(style_,
                             !edge       ? Tone::kPlain
                             : *edge < 0 ? Tone::kBad
                                         : Tone::kGood,
                             value),
                       "  ", Paint(style_, Tone::kDim, base::Cat(indent, twig)),
                       Paint(style_, tone, name),
                       Paint(style_, Tone::kDim, tail), "\n");
  }

  const GraphView& view_;
  const Style& style_;
  const Twigs& twigs_;
  const bool shares_;
  std::string text_;
};

}  // namespace

std::string FormatGraph(const GraphView& view, const Style& style) {
  const v1::AttributionSummary& summary = view.message().summary();
  std::string text = "\n";
  text += LabeledLine("prompt", Escaped(PromptText(view.header())), style);
  text += LabeledLine("target", TargetText(view, style), style);
  text += LabeledLine("graph", SizeText(view), style);
  text += LabeledLine("edges of", MadeText(view.header().options()), style);
  const std::string checks = ChecksText(summary);
  if (!checks.empty()) text += LabeledLine("residuals", checks, style);
  const v1::AttributionAnswer& answer = summary.answer();
  if (answer.paths().empty()) {
    text += LabeledLine("paths", "none leads to the target", style);
    return text;
  }
  text += LabeledLine(
      "paths",
      base::Cat("the ", WithCommas(answer.paths_size()), " strongest by ",
                WeightingName(answer.path_weighting()),
                answer.has_source_node()
                    ? base::Cat(" from ",
                                Escaped(FullName(view, answer.source_node())))
                    : std::string()),
      style);
  return text + "\n" + TreeText(view, style).Write(TreeOf(view));
}

}  // namespace spar::client
