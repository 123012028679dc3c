#include "models/torch/attribution/attention_edges.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <ATen/ops/bmm.h>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/attention_sources.h"
#include "models/torch/attribution/chunks.h"
#include "models/torch/attribution/contributions.h"

namespace spar::models {
namespace {

// Some targets, and what the scores and the values do to them.
struct Chunk {
  int begin = 0;  // positions
  int end = 0;
  int64_t first = 0;  // scalar of the site
  int64_t count = 0;
  at::Tensor positions = {};  // [n]
  at::Tensor readers = {};    // [n, H e], V_o
  at::Tensor pattern = {};    // [H, n, T]
  at::Tensor scores = {};     // [H, n, T], B
};

class Kernel {
 public:
  Kernel(const Trace& trace,
         const NodeTable& nodes,
         const SiteNodes& targets,
         IncomingSink& sink,
         IdentityCheck& identity)
      : trace_(trace),
        run_(trace.layers[targets.site.layer]),
        spec_(trace.decoder->spec),
        layer_(spec_.layers[targets.site.layer]),
        targets_(targets),
        sink_(sink),
        identity_(identity),
        from_(GatherAttentionSources(trace, nodes, targets.site.layer)) {}

  absl::Status Run() {
    const int64_t per_target =
        20 * (from_.k.rows.size(0) + from_.v.rows.size(0)) +
        24 * int64_t{spec_.num_heads} * (trace_.tokens + spec_.head_dim);
    const auto bytes = [&](int t) {
      return targets_.ScalarsAt(t) * per_target;
    };
    const auto chunks = PositionChunks(trace_.tokens, kChunkBytes, bytes);
    for (const auto& [begin, end] : chunks) {
      RETURN_IF_ERROR(Positions(begin, end));
    }
    return sink_.EndOfSites();
  }

 private:
  int FirstSeen(int t) const {
    const int window = layer_.sliding_window;
    return window > 0 ? std::max(0, t - window + 1) : 0;
  }

  // Columns of one head's kv head.
  at::Tensor HeadOf(const at::Tensor& rows, int head) const {
    const int64_t dim = spec_.head_dim;
    return rows.narrow(1, head / (spec_.num_heads / spec_.num_kv_heads) * dim,
                       dim);
  }

  Chunk MakeChunk(int begin, int end) const {
    Chunk chunk{.begin = begin, .end = end, .first = targets_.begin[begin]};
    chunk.count = targets_.begin[end] - chunk.first;
    if (chunk.count == 0) return chunk;
    chunk.positions = Index(
        trace_, std::span(targets_.position).subspan(chunk.first, chunk.count));
    chunk.readers =
        ReaderRows(trace_, targets_, chunk.first, chunk.first + chunk.count);
    chunk.pattern = run_.pattern.index_select(1, chunk.positions);
    const at::Tensor by_head =
        chunk.readers.unflatten(1, {-1, spec_.head_dim}).transpose(0, 1);
    at::Tensor w = at::bmm(by_head, run_.v.transpose(1, 2));  // [H, n, T]
    w -= w.gather(2, chunk.pattern.argmax(2, /*keepdim=*/true));
    w -= (chunk.pattern * w).sum(2, /*keepdim=*/true);
    chunk.scores = w.mul_(chunk.pattern);
    return chunk;
  }

  // v -> o: [n, columns].
  at::Tensor FromValues(const Chunk& chunk, const RowRange& columns) const {
    const at::Tensor positions =
        from_.v.positions.narrow(0, columns.begin, columns.size());
    const at::Tensor rows =
        from_.v.rows.narrow(0, columns.begin, columns.size());
    const int64_t dim = spec_.head_dim;
    at::Tensor sum = at::zeros({chunk.count, columns.size()}, rows.options());
    for (int head = 0; head < spec_.num_heads; ++head) {
      const at::Tensor reads = chunk.readers.narrow(1, head * dim, dim);
      sum.addcmul_(chunk.pattern.select(0, head).index_select(1, positions),
                   at::mm(reads, HeadOf(rows, head).t()));
    }
    return sum;
  }

  // k -> o: [n, columns].
  at::Tensor FromKeys(const Chunk& chunk, const RowRange& columns) const {
    const at::Tensor positions =
        from_.k.positions.narrow(0, columns.begin, columns.size());
    const at::Tensor rows =
        from_.k.rows.narrow(0, columns.begin, columns.size());
    const at::Tensor own = chunk.positions - chunk.begin;
    at::Tensor sum = at::zeros({chunk.count, columns.size()}, rows.options());
    for (int head = 0; head < spec_.num_heads; ++head) {
      const at::Tensor queries = run_.q.select(0, head).narrow(
          0, chunk.begin, chunk.end - chunk.begin);
      const at::Tensor scores = at::mm(queries, HeadOf(rows, head).t());
      sum.addcmul_(chunk.scores.select(0, head).index_select(1, positions),
                   scores.index_select(0, own), layer_.attention_scale);
    }
    return sum;
  }

  // q -> o of the targets at t, [n_t, rows of q at t].
  at::Tensor FromQueries(const Chunk& chunk, int t) const {
    const int64_t first = targets_.begin[t] - chunk.first;
    const int64_t count = targets_.ScalarsAt(t);
    const int seen = FirstSeen(t);
    const int64_t length = t + 1 - seen;
    at::Tensor keys = run_.k.narrow(1, seen, length);  // [H, length, e]
    const at::Tensor top = run_.pattern.select(1, t)
                               .narrow(1, seen, length)
                               .argmax(1)
                               .reshape({-1, 1, 1})
                               .expand({-1, 1, keys.size(2)});
    keys = keys - keys.gather(1, top);
    const at::Tensor scores =
        chunk.scores.narrow(1, first, count).narrow(2, seen, length);
    const at::Tensor turned =
        at::bmm(scores, keys).mul_(layer_.attention_scale).transpose(0, 1);
    const at::Tensor readers =
        TurnAt(trace_, turned, chunk.positions.narrow(0, first, count),
               /*inverse=*/true);
    const RowRange columns = from_.q.RowsOf(t, t + 1);
    return at::mm(readers.flatten(1),
                  from_.q.rows.narrow(0, columns.begin, columns.size()).t());
  }

  // What the targets hold and what reaches them from the values' rest.
  struct Whole {
    at::Tensor activation = {};
    at::Tensor rest = {};
  };
  Whole WholeOf(const Chunk& chunk) const {
    const auto read = [&](const at::Tensor& mixed) {
      return OnHost(
          (chunk.readers * mixed.index_select(0, chunk.positions)).sum(1));
    };
    return {.activation = read(run_.mixed),
            .rest = from_.mixed_rest.defined()
                        ? read(from_.mixed_rest)
                        : at::zeros({chunk.count}, at::dtype(at::kDouble))};
  }

  static at::Tensor OnHost(const at::Tensor& values) {
    return values.to(at::kCPU, at::kDouble).contiguous();
  }

  absl::Status Positions(int begin, int end) {
    const Chunk chunk = MakeChunk(begin, end);
    if (chunk.count == 0) return absl::OkStatus();
    const bool fused = from_.q.site == from_.v.site;
    const RowRange of_k = from_.k.RowsOf(FirstSeen(begin), end);
    const RowRange of_v = from_.v.RowsOf(FirstSeen(begin), end);
    const at::Tensor values = OnHost(FromValues(chunk, of_v));
    at::Tensor keys = OnHost(FromKeys(chunk, of_k));
    const Whole whole = WholeOf(chunk);
    for (int t = begin; t < end; ++t) {
      if (targets_.ScalarsAt(t) == 0) continue;
      const at::Tensor queries = OnHost(FromQueries(chunk, t));
      for (int64_t i = 0; i < targets_.ScalarsAt(t); ++i) {
        const int64_t row = targets_.begin[t] - chunk.first + i;
        const RowRange seen_k = from_.k.RowsOf(FirstSeen(t), t + 1);
        const RowRange seen_v = from_.v.RowsOf(FirstSeen(t), t + 1);
        const double* const value = values.const_data_ptr<double>() +
                                    row * of_v.size() + seen_v.begin -
                                    of_v.begin;
        double* const key = keys.mutable_data_ptr<double>() +
                            row * of_k.size() + seen_k.begin - of_k.begin;
        const double* const query =
            queries.const_data_ptr<double>() + i * queries.size(1);
        Check(value, seen_v.size(),
              whole.activation.const_data_ptr<double>()[row],
              whole.rest.const_data_ptr<double>()[row]);
        const auto node = static_cast<int32_t>(targets_.FirstNode(t) + i);
        if (fused) {
          RETURN_IF_ERROR(EmitFused(node, t, query, key, value, seen_k));
        } else {
          RETURN_IF_ERROR(Emit(node, t, {query, key, value}));
        }
      }
    }
    return absl::OkStatus();
  }

  void Check(const double* values,
             int64_t count,
             double activation,
             double rest) {
    double sum = rest, largest = std::abs(rest);
    for (int64_t i = 0; i < count; ++i) {
      sum += values[i];
      largest = std::max(largest, std::abs(values[i]));
    }
    identity_.Add(targets_.number, sum, activation, largest);
  }

  struct Incoming {
    const double* query = nullptr;
    const double* key = nullptr;
    const double* value = nullptr;
  };

  absl::Status Emit(int32_t node, int t, const Incoming& from) {
    std::vector<IncomingSpan> spans;
    const auto add = [&](const SiteSources& sources, int begin,
                         const double* values) {
      const int64_t count = sources.RowsOf(begin, t + 1).size();
      if (count == 0) return;
      spans.push_back({.source_site = sources.site->number,
                       .first_source = sources.site->FirstNode(begin),
                       .values = {values, static_cast<size_t>(count)}});
    };
    add(from_.q, t, from.query);
    add(from_.k, FirstSeen(t), from.key);
    add(from_.v, FirstSeen(t), from.value);
    return sink_.OnTarget(targets_.number, node, spans);
  }

  // A fused source moves its target in three ways at once; summed into `key`.
  absl::Status EmitFused(int32_t node,
                         int t,
                         const double* query,
                         double* key,
                         const double* value,
                         const RowRange& seen) {
    const int64_t own = from_.q.site->RowsAt(t);
    for (int64_t i = 0; i < seen.size(); ++i) key[i] += value[i];
    for (int64_t i = 0; i < own; ++i) key[seen.size() - own + i] += query[i];
    const IncomingSpan span{
        .source_site = from_.k.site->number,
        .first_source = from_.k.site->FirstNode(FirstSeen(t)),
        .values = {key, static_cast<size_t>(seen.size())}};
    return sink_.OnTarget(targets_.number, node, std::span(&span, 1));
  }

  const Trace& trace_;
  const LayerTrace& run_;
  const DecoderSpec& spec_;
  const LayerSpec& layer_;
  const SiteNodes& targets_;
  IncomingSink& sink_;
  IdentityCheck& identity_;
  const AttentionSources from_;
};

}  // namespace

absl::Status AttentionEdges(const Trace& trace,
                            const NodeTable& nodes,
                            const SiteNodes& targets,
                            IncomingSink& sink,
                            IdentityCheck& identity) {
  if (targets.num_scalars() == 0) return absl::OkStatus();
  return Kernel(trace, nodes, targets, sink, identity).Run();
}

}  // namespace spar::models
