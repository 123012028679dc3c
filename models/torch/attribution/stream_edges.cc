#include "models/torch/attribution/stream_edges.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>

#include "base/status.h"
#include "models/torch/aten.h"
#include "models/torch/attribution/chunks.h"
#include "models/torch/attribution/contributions.h"

namespace spar::models {
namespace {

struct RowSum {
  double sum = 0;
  double largest = 0;
};

RowSum SumOf(const double* values, int64_t count) {
  RowSum of;
  for (int64_t i = 0; i < count; ++i) {
    of.sum += values[i];
    of.largest = std::max(of.largest, std::abs(values[i]));
  }
  return of;
}

at::Tensor OnHost(const at::Tensor& values) {
  return values.to(at::kCPU, at::kDouble).contiguous();
}

}  // namespace

StreamEdges::StreamEdges(const Trace& trace,
                         const NodeTable& nodes,
                         NormGradient norm,
                         IncomingSink& sink,
                         IdentityCheck& identity)
    : trace_(trace),
      norm_(norm),
      sink_(sink),
      identity_(identity),
      writers_(trace, nodes) {}

StreamEdges::Readers StreamEdges::ThroughNorm(
    const NormTrace& norm,
    const at::Tensor& rows,
    const at::Tensor& positions) const {
  const DecoderSpec& spec = trace_.decoder->spec;
  at::Tensor v = rows * norm.weights->gain.to(trace_.dtype);
  if (spec.norm == NormKind::kLayerNorm) {
    v -= v.mean(1, /*keepdim=*/true);
  }
  const at::Tensor x = norm.centred.index_select(0, positions);
  const at::Tensor sigma = norm.sigma.index_select(0, positions).unsqueeze(1);
  const at::Tensor along = (v * x).sum(1, /*keepdim=*/true);  // v . x
  const at::Tensor normed = along / sigma;
  at::Tensor predicted = normed;
  if (norm_ == NormGradient::kFull) {
    const at::Tensor square = sigma * sigma;
    predicted = normed * spec.norm_epsilon / square;
    v.addcmul_(x, along / (square * spec.width), -1);
  }
  return {.rows = v.div_(sigma),
          .along = normed.squeeze(1),
          .predicted = predicted.squeeze(1)};
}

at::Tensor StreamEdges::WrittenTo(const at::Tensor& readers,
                                  int position,
                                  int num_writers) const {
  return OnHost(at::mm(readers, writers_.RowsAt(position, num_writers).t()));
}

absl::Status StreamEdges::Into(const std::vector<const SiteNodes*>& targets,
                               const NormTrace& norm) {
  const auto bytes = [&](int t) {
    int64_t rows = 0;
    for (const SiteNodes* const site : targets) rows += site->ScalarsAt(t);
    return rows * 4 * trace_.decoder->spec.width *
           int64_t(c10::elementSize(trace_.dtype));
  };
  const auto chunks = PositionChunks(trace_.tokens, kCacheBytes, bytes);
  for (const auto& [begin, end] : chunks) {
    RETURN_IF_ERROR(IntoPositions(targets, norm, begin, end));
  }
  return sink_.EndOfSites();
}

absl::Status StreamEdges::IntoPositions(
    const std::vector<const SiteNodes*>& targets,
    const NormTrace& norm,
    int begin,
    int end) {
  std::vector<at::Tensor> parts;
  std::vector<int32_t> order, positions;
  std::vector<Target> ids;
  std::vector<int64_t> first;  // row of each site's first scalar in `parts`
  int64_t row = 0;
  for (const SiteNodes* const site : targets) {
    first.push_back(row - site->begin[begin]);
    row += site->begin[end] - site->begin[begin];
    parts.push_back(
        ReaderRows(trace_, *site, site->begin[begin], site->begin[end]));
  }
  for (int t = begin; t < end; ++t) {
    for (size_t s = 0; s < targets.size(); ++s) {
      const SiteNodes& site = *targets[s];
      for (int64_t i = site.begin[t]; i < site.begin[t + 1]; ++i) {
        order.push_back(static_cast<int32_t>(first[s] + i));
        positions.push_back(t);
        ids.push_back({.site = &site,
                       .node = static_cast<int32_t>(site.FirstNode(t) + i -
                                                    site.begin[t]),
                       .position = t});
      }
    }
  }
  if (ids.empty()) return absl::OkStatus();
  at::Tensor rows = at::cat(parts);
  if (targets.size() > 1) rows = rows.index_select(0, Index(trace_, order));
  const Readers readers = ThroughNorm(norm, rows, Index(trace_, positions));
  const at::Tensor predicted = OnHost(readers.predicted);
  const at::Tensor along = OnHost(readers.along);
  const int num_writers = writers_.Before(targets.front()->site);
  std::vector<IncomingSpan> spans;
  for (size_t i = 0; i < ids.size();) {
    const int t = ids[i].position;
    size_t last = i;
    while (last < ids.size() && ids[last].position == t) ++last;
    const at::Tensor values = WrittenTo(
        readers.rows.narrow(0, int64_t(i), int64_t(last - i)), t, num_writers);
    const double* from = values.const_data_ptr<double>();
    for (; i < last; ++i, from += values.size(1)) {
      const RowSum of = SumOf(from, values.size(1));
      identity_.Add(
          ids[i].site->number, of.sum, predicted.const_data_ptr<double>()[i],
          std::max(of.largest, std::abs(along.const_data_ptr<double>()[i])));
      spans.clear();
      writers_.AddSpans(from, t, num_writers, spans);
      RETURN_IF_ERROR(sink_.OnTarget(ids[i].site->number, ids[i].node, spans));
    }
  }
  return absl::OkStatus();
}

at::Tensor StreamEdges::HeadReaders(const SiteNodes& targets) const {
  const DecoderSpec& spec = trace_.decoder->spec;
  const AttentionWeights& weights =
      trace_.decoder->weights.layers[targets.site.layer].attention;
  at::Tensor outputs = Contribute(trace_, targets).scalars;
  const at::Tensor length =
      at::linalg_vector_norm(outputs, 2, {1}, /*keepdim=*/true);
  outputs = at::where(length > 0, outputs / length, outputs);
  at::Tensor readers = at::empty_like(outputs);
  const int64_t dim = spec.head_dim;
  const int group = spec.num_heads / spec.num_kv_heads;
  for (int head = 0; head < spec.num_heads; ++head) {
    std::vector<int32_t> of_head;
    for (int64_t i = 0; i < targets.num_scalars(); ++i) {
      if (targets.index[i] == head) of_head.push_back(static_cast<int32_t>(i));
    }
    if (of_head.empty()) continue;
    const at::Tensor which = Index(trace_, of_head);
    const int64_t v_row =
        (spec.num_heads + spec.num_kv_heads + head / group) * dim;
    const at::Tensor o = weights.o.narrow(0, head * dim, dim);  // [e, d]
    const at::Tensor v = weights.qkv.narrow(0, v_row, dim);     // [e, d]
    readers.index_copy_(0, which,
                        outputs.index_select(0, which)
                            .matmul(o.to(trace_.dtype).t())
                            .matmul(v.to(trace_.dtype)));
  }
  return readers;
}

absl::Status StreamEdges::IntoHeads(const SiteNodes& targets,
                                    const NormTrace& norm) {
  const at::Tensor readers = HeadReaders(targets);
  const int64_t columns = writers_.num_rows() / trace_.tokens + 1;
  const auto bytes = [&](int t) {
    return targets.ScalarsAt(t) * columns * trace_.tokens *
           int64_t{sizeof(double)};
  };
  const auto chunks = PositionChunks(trace_.tokens, kChunkBytes, bytes);
  for (const auto& [begin, end] : chunks) {
    RETURN_IF_ERROR(IntoHeadsAt(targets, norm, readers, begin, end));
  }
  return sink_.EndOfSites();
}

absl::Status StreamEdges::IntoHeadsAt(const SiteNodes& targets,
                                      const NormTrace& norm,
                                      const at::Tensor& readers,
                                      int begin,
                                      int end) {
  const int layer = targets.site.layer;
  const int window = trace_.decoder->spec.layers[layer].sliding_window;
  const int num_writers = writers_.Before(targets.site);
  const int64_t first = targets.begin[begin];
  const int64_t count = targets.begin[end] - first;
  if (count == 0) return absl::OkStatus();
  std::vector<int64_t> column = {0};  // of every source position
  for (int s = 0; s < end; ++s) {
    column.push_back(column.back() + writers_.Columns(s, num_writers));
  }
  at::Tensor values = at::zeros({count, column.back()}, at::dtype(at::kDouble));
  at::Tensor predicted = at::zeros({count}, at::dtype(at::kDouble));
  at::Tensor along = at::zeros({count}, at::dtype(at::kDouble));
  // How much each target attends to every position: [count, T].
  const auto some = [&](const std::vector<int32_t>& all) {
    return Index(trace_, std::span(all).subspan(first, count));
  };
  const at::Tensor weights =
      trace_.layers[layer].pattern.flatten(0, 1).index_select(
          0, some(targets.index) * int64_t{trace_.tokens} +
                 some(targets.position));
  for (int s = 0; s < end; ++s) {
    const int from = std::max(s, begin);
    const int to = window > 0 ? std::min(end, s + window) : end;
    if (from >= to) continue;
    const int64_t top = targets.begin[from] - first;
    const int64_t rows = targets.begin[to] - targets.begin[from];
    if (rows == 0) continue;
    const at::Tensor weight = weights.narrow(0, top, rows).select(1, s);
    const Readers at_s = ThroughNorm(
        norm, readers.narrow(0, first + top, rows) * weight.unsqueeze(1),
        at::full({rows}, s, at::dtype(at::kLong).device(readers.device())));
    values.narrow(0, top, rows)
        .narrow(1, column[s], column[s + 1] - column[s])
        .copy_(WrittenTo(at_s.rows, s, num_writers));
    predicted.narrow(0, top, rows).add_(OnHost(at_s.predicted));
    along.narrow(0, top, rows).add_(OnHost(at_s.along).abs());
  }
  const double* row = values.const_data_ptr<double>();
  std::vector<IncomingSpan> spans;
  for (int64_t i = 0; i < count; ++i, row += column.back()) {
    const int t = targets.position[first + i];
    const RowSum of = SumOf(row, column[t + 1]);
    identity_.Add(targets.number, of.sum, predicted.const_data_ptr<double>()[i],
                  std::max(of.largest, along.const_data_ptr<double>()[i]));
    spans.clear();
    for (int s = window > 0 ? std::max(0, t - window + 1) : 0; s <= t; ++s) {
      writers_.AddSpans(row + column[s], s, num_writers, spans);
    }
    // By source, as the sink wants them: sites first, positions within.
    std::stable_sort(spans.begin(), spans.end(),
                     [](const IncomingSpan& a, const IncomingSpan& b) {
                       return a.first_source < b.first_source;
                     });
    const auto node = static_cast<int32_t>(targets.FirstNode(t) + first + i -
                                           targets.begin[t]);
    RETURN_IF_ERROR(sink_.OnTarget(targets.number, node, spans));
  }
  return absl::OkStatus();
}

}  // namespace spar::models
