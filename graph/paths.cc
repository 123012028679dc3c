#include "graph/paths.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <queue>
#include <span>
#include <utility>

namespace spar::graph {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

double Log(double factor) {
  return factor == 0 ? kNone : std::log(std::abs(factor));
}

// ln of the strongest path from a permitted first node to each node; kNone
// where there is none.
std::vector<double> BestInto(const Graph& graph,
                             const PathWeights& weights,
                             const PathQuery& query) {
  std::vector<double> best(static_cast<size_t>(graph.num_nodes()), kNone);
  for (int node = 0; node <= query.target; ++node) {
    const std::span<const int32_t> sources = graph.Sources(node);
    const double* const factors = weights.factors.data() + graph.First(node);
    double& mine = best[static_cast<size_t>(node)];
    const bool begins = query.source ? node == *query.source : sources.empty();
    if (begins) {
      mine = Log(weights.starts[static_cast<size_t>(node)]);
      continue;
    }
    for (size_t i = 0; i < sources.size(); ++i) {
      mine = std::max(mine,
                      best[static_cast<size_t>(sources[i])] + Log(factors[i]));
    }
  }
  return best;
}

// One way into a node: the edge, and the strongest path that ends with it.
struct Way {
  int32_t source = 0;
  double factor = 0;  // of the edge
  double best = 0;    // ln, from the path's first node to this one
};

// Note [Growing paths]
// A partial path is a chain of nodes from the target down. What it may become
// is known from the sweep, so partial paths wait in a queue by their best
// possible whole. Each node's ways in are sorted once, when first needed. The
// head of the queue is a partial path with one of those ways: it is replaced by
// the same partial path with the next way, and by the path one node longer,
// whose best whole is the same. So the queue yields whole paths in order, and
// each costs about its length.
class Grower {
 public:
  Grower(const Graph& graph, const PathWeights& weights, const PathQuery& query)
      : graph_(graph),
        weights_(weights),
        query_(query),
        best_(BestInto(graph, weights, query)) {}

  std::vector<Path> Grow() {
    std::vector<Path> paths;
    if (query_.num_paths < 1 || Begins(query_.target)) return paths;
    chain_.push_back({query_.target, -1, 0});
    Offer(0, 0);
    while (!queue_.empty() &&
           static_cast<int>(paths.size()) < query_.num_paths) {
      const Candidate head = queue_.top();
      queue_.pop();
      const Link from = chain_[static_cast<size_t>(head.link)];
      const Way way = WaysInto(from.node)[static_cast<size_t>(head.way)];
      Offer(head.link, head.way + 1);
      const int next = static_cast<int>(chain_.size());
      chain_.push_back({way.source, head.link, from.log + Log(way.factor)});
      if (Begins(way.source)) {
        paths.push_back(PathOf(next));
      } else {
        Offer(next, 0);
      }
    }
    return paths;
  }

 private:
  struct Link {
    int node = 0;
    int next = -1;   // towards the target; an index of chain_
    double log = 0;  // from here to the target
  };
  struct Candidate {
    double best = 0;  // ln of the strongest whole
    int64_t order = 0;
    int link = 0;
    int way = 0;

    bool operator<(const Candidate& other) const {
      return best != other.best ? best < other.best : order > other.order;
    }
  };

  bool Begins(int node) const {
    return query_.source ? node == *query_.source
                         : graph_.Sources(node).empty();
  }

  const std::vector<Way>& WaysInto(int node) {
    const auto [found, is_new] = ways_.try_emplace(node);
    std::vector<Way>& ways = found->second;
    if (!is_new) return ways;
    const std::span<const int32_t> sources = graph_.Sources(node);
    const double* const factors = weights_.factors.data() + graph_.First(node);
    for (size_t i = 0; i < sources.size(); ++i) {
      const double best =
          best_[static_cast<size_t>(sources[i])] + Log(factors[i]);
      if (best > kNone) ways.push_back({sources[i], factors[i], best});
    }
    std::stable_sort(ways.begin(), ways.end(), [](const Way& a, const Way& b) {
      return a.best > b.best;
    });
    return ways;
  }

  void Offer(int link, int way) {
    const Link& from = chain_[static_cast<size_t>(link)];
    const std::vector<Way>& ways = WaysInto(from.node);
    if (static_cast<size_t>(way) >= ways.size()) return;
    queue_.push({from.log + ways[static_cast<size_t>(way)].best, num_offers_++,
                 link, way});
  }

  Path PathOf(int link) {
    Path path;
    for (int i = link; i >= 0; i = chain_[static_cast<size_t>(i)].next) {
      path.nodes.push_back(chain_[static_cast<size_t>(i)].node);
    }
    const double start =
        weights_.starts[static_cast<size_t>(path.nodes.front())];
    path.value = start;
    path.log_strength = chain_[static_cast<size_t>(link)].log + Log(start);
    for (size_t i = 0; i + 1 < path.nodes.size(); ++i) {
      path.value *= FactorOf(path.nodes[i], path.nodes[i + 1]);
    }
    return path;
  }

  double FactorOf(int source, int target) const {
    const std::span<const int32_t> sources = graph_.Sources(target);
    const auto found = std::lower_bound(sources.begin(), sources.end(), source);
    return weights_.factors[graph_.First(target) +
                            static_cast<size_t>(found - sources.begin())];
  }

  const Graph& graph_;
  const PathWeights& weights_;
  const PathQuery& query_;
  const std::vector<double> best_;  // [node]
  std::vector<Link> chain_;
  std::map<int, std::vector<Way>> ways_;
  std::priority_queue<Candidate> queue_;
  int64_t num_offers_ = 0;
};

}  // namespace

std::vector<Path> StrongestPaths(const Graph& graph,
                                 const PathWeights& weights,
                                 const PathQuery& query) {
  return Grower(graph, weights, query).Grow();
}

}  // namespace spar::graph
