#include "models/torch/prune/row_batch.h"

#include <algorithm>

#include "models/torch/aten.h"
#include "models/torch/component_forward.h"
#include "models/torch/uniform_numbers.h"

namespace spar::models {
namespace {

std::vector<const PromptNodes*> NodesOf(const std::vector<PruneRow>& rows) {
  std::vector<const PromptNodes*> nodes;
  for (const PruneRow& row : rows) nodes.push_back(row.nodes);
  return nodes;
}

std::vector<Sequence> SequencesOf(const std::vector<PruneRow>& rows) {
  std::vector<Sequence> sequences;
  for (const PruneRow& row : rows) {
    sequences.push_back(WholeSequence(row.nodes->tokens));
  }
  return sequences;
}

at::Tensor Longs(const std::vector<int64_t>& values, at::Device device) {
  return at::tensor(values, at::dtype(at::kLong)).to(device);
}

}  // namespace

RowBatch::RowBatch(const PruneSubject& subject,
                   std::vector<PruneRow> rows,
                   RowListing listing)
    : decomposed_(*subject.decomposed),
      sampling_(subject.sampling),
      rows_(std::move(rows)),
      readout_(NodesOf(rows_)),
      batch_(decomposed_.decoder(), SequencesOf(rows_)),
      listing_(listing) {
  for (const PruneRow& row : rows_) num_tokens_ += row.nodes->num_tokens();
  List(listing);
}

void RowBatch::List(RowListing listing) {
  const at::Device device = decomposed_.decoder().device;
  const size_t num_modules = decomposed_.modules().size();
  std::vector<std::vector<int64_t>> columns(num_modules);
  for (size_t m = 0; m < num_modules; ++m) {
    std::vector<int64_t>& column =
        columns[m];  // of each subcomponent; -1: none
    column.assign(decomposed_.modules()[m].module.num_components,
                  listing == RowListing::kAll ? 0 : -1);
    for (const PruneRow& row : rows_) {
      const PromptNodes& nodes = *row.nodes;
      for (int64_t n = nodes.begin[m]; n < nodes.begin[m + 1]; ++n) {
        column[nodes.component[n]] = 0;
      }
    }
    std::vector<int64_t> ids;
    for (size_t c = 0; c < column.size(); ++c) {
      if (column[c] < 0) continue;
      column[c] = static_cast<int64_t>(ids.size());
      ids.push_back(static_cast<int64_t>(c));
    }
    Listed listed{.count = static_cast<int64_t>(ids.size()),
                  .first = num_entries_};
    if (listing == RowListing::kAlive) listed.ids = Longs(ids, device);
    num_entries_ += listed.count * num_tokens_;
    listed_.push_back(std::move(listed));
  }
  std::vector<int64_t> places;
  int64_t token = 0;
  for (const PruneRow& row : rows_) {
    const PromptNodes& nodes = *row.nodes;
    for (size_t m = 0; m < num_modules; ++m) {
      const Listed& listed = listed_[m];
      for (int64_t n = nodes.begin[m]; n < nodes.begin[m + 1]; ++n) {
        places.push_back(listed.first +
                         (token + nodes.position[n]) * listed.count +
                         columns[m][nodes.component[n]]);
      }
    }
    token += nodes.num_tokens();
  }
  places_ = Longs(places, device);
}

int64_t RowBatch::FactorBytes() const {
  if (listing_ == RowListing::kAll) return 0;
  int64_t numbers = 0;
  for (size_t m = 0; m < listed_.size(); ++m) {
    const DecomposedModule& module = decomposed_.modules()[m].module;
    numbers += listed_[m].count * (int64_t{module.d_in} + module.d_out);
  }
  return numbers *
         static_cast<int64_t>(c10::elementSize(decomposed_.decoder().dtype));
}

std::vector<ComponentModule> RowBatch::Gathered() const {
  std::vector<ComponentModule> modules = decomposed_.modules();
  for (size_t m = 0; m < modules.size(); ++m) {
    modules[m].module.num_components = static_cast<int>(listed_[m].count);
    modules[m].v = decomposed_.V(static_cast<int>(m), listed_[m].ids);
    modules[m].u = modules[m]
                       .u.index_select(0, listed_[m].ids)
                       .to(decomposed_.decoder().dtype);
  }
  return modules;
}

void RowBatch::KeepFactors() {
  if (listing_ == RowListing::kAll || kept_ != nullptr) return;
  const c10::AutoGradMode no_gradients(false);
  kept_ =
      std::make_unique<DecomposedDecoder>(decomposed_.decoder(), Gathered());
}

Background RowBatch::DrawBackground(std::span<const uint64_t> seeds) const {
  const int64_t num_modules = static_cast<int64_t>(listed_.size());
  at::Tensor masks = at::empty({num_entries_}, at::dtype(at::kFloat));
  at::Tensor deltas =
      at::empty({num_modules, num_tokens_}, at::dtype(at::kFloat));
  float* const mask = masks.mutable_data_ptr<float>();
  float* const delta = deltas.mutable_data_ptr<float>();
  int64_t token = 0;
  for (size_t r = 0; r < rows_.size(); ++r) {
    const int64_t length = rows_[r].nodes->num_tokens();
    for (int64_t m = 0; m < num_modules; ++m) {
      const Listed& listed = listed_[m];
      const uint64_t stream = 2 * static_cast<uint64_t>(m);
      FillUniform(seeds[r], stream,
                  {mask + listed.first + token * listed.count,
                   static_cast<size_t>(length * listed.count)});
      FillUniform(
          seeds[r], stream + 1,
          {delta + m * num_tokens_ + token, static_cast<size_t>(length)});
    }
    token += length;
  }
  if (sampling_ == MaskSampling::kBinomial) {
    masks = masks.ge(0.5).to(at::kFloat);
  }
  const at::Device device = decomposed_.decoder().device;
  return {.masks = masks.to(device), .deltas = deltas.to(device)};
}

at::Tensor RowBatch::AtNodes(const Background& background) const {
  return background.masks.index_select(0, places_);
}

at::Tensor RowBatch::Entries(const at::Tensor& masks,
                             const Background* background) const {
  at::Tensor entries =
      background != nullptr
          ? background->masks
          : at::zeros({num_entries_}, places_.options().dtype(at::kFloat));
  entries.index_copy_(0, places_, masks);
  return entries.to(decomposed_.decoder().dtype);
}

at::Tensor RowBatch::Run(const std::vector<at::Tensor>& values,
                         const at::Tensor& deltas) {
  std::vector<ComponentMasks> masks;
  for (size_t m = 0; m < values.size(); ++m) {
    ComponentMasks module{.rest = 0, .values = values[m], .delta = 0};
    if (deltas.defined()) {
      module.deltas =
          deltas.select(0, static_cast<int64_t>(m)).to(values[m].scalar_type());
    }
    masks.push_back(std::move(module));
  }
  std::unique_ptr<DecomposedDecoder> made;
  DecomposedDecoder* decomposed = &decomposed_;
  if (kept_ != nullptr) {
    decomposed = kept_.get();
  } else if (listing_ == RowListing::kAlive) {
    made =
        std::make_unique<DecomposedDecoder>(decomposed_.decoder(), Gathered());
    decomposed = made.get();
  }
  ComponentRun run;
  run.modules = MaskModules(*decomposed, std::move(masks));
  run.last_only = true;
  return Logits(decomposed_.decoder(),
                ComponentForward(*decomposed, batch_, run));
}

RowBatch::Slopes RowBatch::Differentiate(PruneLoss loss,
                                         const at::Tensor& masks,
                                         const Background* background) {
  std::vector<at::Tensor> values;
  {
    const c10::AutoGradMode no_gradients(false);
    const at::Tensor entries = Entries(masks, background);
    for (const Listed& listed : listed_) {
      values.push_back(
          entries.narrow(0, listed.first, listed.count * num_tokens_)
              .view({num_tokens_, listed.count}));
    }
  }
  const c10::AutoGradMode gradients(true);
  for (at::Tensor& value : values) value.requires_grad_(true);
  const at::Tensor losses = readout_.Losses(
      loss,
      Run(values, background != nullptr ? background->deltas : at::Tensor()));
  if (losses.requires_grad()) losses.sum().backward();
  const c10::AutoGradMode no_gradients(false);
  std::vector<at::Tensor> slopes;
  for (const at::Tensor& value : values) {
    const at::Tensor& grad = value.grad();
    slopes.push_back(
        grad.defined()
            ? grad.to(at::kFloat).reshape({-1})
            : at::zeros({value.numel()}, value.options().dtype(at::kFloat)));
  }
  return {.losses = losses.detach(),
          .of_nodes = at::cat(slopes).index_select(0, places_)};
}

at::Tensor RowBatch::LogitsOf(const at::Tensor& masks) {
  const c10::AutoGradMode no_gradients(false);
  const at::Tensor entries = Entries(masks, nullptr);
  std::vector<at::Tensor> values;
  for (const Listed& listed : listed_) {
    values.push_back(entries.narrow(0, listed.first, listed.count * num_tokens_)
                         .view({num_tokens_, listed.count}));
  }
  return Run(values, {});
}

int64_t RowBytes(const PruneSubject& subject, const PromptNodes& nodes) {
  const DecoderSpec& spec = subject.decomposed->decoder().spec;
  int64_t per_token = spec.num_layers *
                      (16 * int64_t{spec.width} + 6 * int64_t{spec.mlp_width});
  for (const ComponentModule& module : subject.decomposed->modules()) {
    per_token += 6 * int64_t{module.module.num_components};
  }
  return int64_t{sizeof(float)} *
         (nodes.num_tokens() * per_token + 6 * int64_t{spec.vocab_size});
}

std::vector<std::pair<size_t, size_t>> SplitRows(
    const PruneSubject& subject,
    const PruneLimits& limits,
    std::span<const PruneRow> rows) {
  std::vector<std::pair<size_t, size_t>> parts;
  int64_t tokens = 0, bytes = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t more_tokens = rows[r].nodes->num_tokens();
    const int64_t more_bytes = RowBytes(subject, *rows[r].nodes);
    tokens += more_tokens;
    bytes += more_bytes;
    if (parts.empty() || tokens > limits.max_batch_tokens ||
        bytes > limits.max_batch_bytes) {
      parts.push_back({r, r});
      tokens = more_tokens;
      bytes = more_bytes;
    }
    parts.back().second = r + 1;
  }
  return parts;
}

}  // namespace spar::models
