#include "models/torch/attribution/stream_writers.h"

#include "models/torch/aten.h"
#include "models/torch/attribution/contributions.h"

namespace spar::models {
namespace {

bool WritesStream(SitePart part) {
  switch (part) {
    case SitePart::kEmbedding:
    case SitePart::kO:
    case SitePart::kDown:
    case SitePart::kHeads:
    case SitePart::kNeurons:
      return true;
    default:
      return false;
  }
}

bool IsOfAttention(SitePart part) {
  return part == SitePart::kO || part == SitePart::kHeads;
}

bool ReadsAttentionNorm(SitePart part) {
  return part == SitePart::kQ || part == SitePart::kK || part == SitePart::kV ||
         part == SitePart::kQkv || part == SitePart::kHeads;
}

}  // namespace

StreamWriters::StreamWriters(const Trace& trace, const NodeTable& nodes)
    : parallel_residual_(trace.decoder->spec.parallel_residual) {
  for (const SiteNodes& site : nodes.sites()) {
    if (WritesStream(site.site.part)) writers_.push_back(&site);
  }
  first_row_.assign(writers_.size() + 1, std::vector<int64_t>(trace.tokens));
  int64_t row = 0;
  for (int t = 0; t < trace.tokens; ++t) {
    for (size_t w = 0; w < writers_.size(); ++w) {
      first_row_[w][t] = row;
      row += writers_[w]->RowsAt(t) + 1;
    }
    first_row_[writers_.size()][t] = row;
  }
  const int64_t width = trace.decoder->spec.width;
  rows_ = at::empty({row, width}, trace.embedding.options());
  for (size_t w = 0; w < writers_.size(); ++w) {
    Place(*writers_[w], Contribute(trace, *writers_[w]), first_row_[w],
          /*with_rest=*/true, rows_);
  }
}

int64_t StreamWriters::CountNumbers(const NodeTable& nodes, int width) {
  int64_t rows = 0;
  for (const SiteNodes& site : nodes.sites()) {
    if (!WritesStream(site.site.part)) continue;
    rows += site.RowsBefore(nodes.tokens()) + nodes.tokens();
  }
  return rows * width;
}

int StreamWriters::Before(const AttributionSite& reader) const {
  if (reader.part == SitePart::kLogits) {
    return static_cast<int>(writers_.size());
  }
  const bool after_attention =
      !ReadsAttentionNorm(reader.part) && !parallel_residual_;
  int count = 0;
  for (const SiteNodes* const writer : writers_) {
    const auto& [part, layer, name] = writer->site;
    const bool before =
        layer < reader.layer ||
        (layer == reader.layer && after_attention && IsOfAttention(part));
    if (before) ++count;
  }
  return count;
}

int64_t StreamWriters::Columns(int position, int num_writers) const {
  return first_row_[num_writers][position] - first_row_[0][position];
}

at::Tensor StreamWriters::RowsAt(int position, int num_writers) const {
  return rows_.narrow(0, first_row_[0][position],
                      Columns(position, num_writers));
}

void StreamWriters::AddSpans(const double* row,
                             int position,
                             int num_writers,
                             std::vector<IncomingSpan>& spans) const {
  for (int w = 0; w < num_writers; ++w) {
    const SiteNodes& writer = *writers_[w];
    const int64_t count = writer.RowsAt(position);
    if (count == 0) continue;
    const int64_t column = first_row_[w][position] - first_row_[0][position];
    spans.push_back({.source_site = writer.number,
                     .first_source = writer.FirstNode(position),
                     .values = {row + column, static_cast<size_t>(count)}});
  }
}

}  // namespace spar::models
