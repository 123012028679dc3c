#include "models/torch/ablation/mask_edits.h"

#include <algorithm>
#include <set>
#include <utility>

#include "models/torch/aten.h"

namespace spar::models {
namespace {

std::vector<int64_t> ToVector(const at::Tensor& ids) {
  const at::Tensor host = ids.to(at::kCPU).contiguous();
  const int64_t* const begin = host.const_data_ptr<int64_t>();
  return std::vector<int64_t>(begin, begin + host.numel());
}

template <typename T>
at::Tensor ToTensor(const std::vector<T>& values, const at::Tensor& like) {
  return at::tensor(values, at::dtype(at::kLong)).to(like.device());
}

}  // namespace

void MaskEdits::Add(int row, const Intervention& intervention) {
  SiteChanges* sites = nullptr;
  switch (intervention.kind) {
    case InterventionKind::kSubcomponent:
      sites = &components_;
      break;
    case InterventionKind::kDelta:
      sites = &deltas_;
      break;
    case InterventionKind::kHead:
      sites = &heads_;
      break;
    case InterventionKind::kNeuron:
      sites = &neurons_;
      break;
  }
  Changes& changes = (*sites)[intervention.site];
  const bool all = intervention.position == kEveryPosition;
  const int first = all ? 0 : intervention.position;
  const int last = all ? length_ : first + 1;
  for (int t = first; t < last; ++t) {
    Change& change = changes[{int64_t{row} * length_ + t, intervention.index}];
    change.factor *= intervention.factor;
    change.offset = change.offset * intervention.factor + intervention.offset;
  }
}

// [length or 1, n] to [rows * length, n].
at::Tensor MaskEdits::Repeat(const at::Tensor& values) const {
  return values.unsqueeze(0)
      .expand({num_rows_, length_, values.size(-1)})
      .reshape({int64_t{num_rows_} * length_, values.size(-1)});
}

at::Tensor MaskEdits::Changed(const at::Tensor& values,
                              const std::vector<int64_t>& cells,
                              const Changes& changes) {
  std::vector<double> factors, offsets;
  for (const auto& [cell, change] : changes) {
    factors.push_back(change.factor);
    offsets.push_back(change.offset);
  }
  const auto options = values.options().requires_grad(false);
  const at::Tensor index = ToTensor(cells, values);
  const at::Tensor factor =
      at::tensor(factors, at::dtype(at::kDouble)).to(options);
  const at::Tensor offset =
      at::tensor(offsets, at::dtype(at::kDouble)).to(options);
  const at::Tensor flat = values.reshape({-1});
  return flat
      .index_copy(0, index, flat.index_select(0, index) * factor + offset)
      .view(values.sizes());
}

ComponentMasks MaskEdits::ApplyTo(ComponentMasks masks,
                                  const Changes& changes) const {
  std::vector<int64_t> cells;
  if (!masks.values.defined() || masks.ids.defined()) {
    // The listed and the changed, in one list.
    std::vector<int64_t> listed;
    if (masks.ids.defined()) listed = ToVector(masks.ids);
    std::set<int64_t> all(listed.begin(), listed.end());
    for (const auto& [cell, change] : changes) all.insert(cell.second);
    const std::vector<int64_t> ids(all.begin(), all.end());
    const auto column = [&](int64_t id) {
      return std::lower_bound(ids.begin(), ids.end(), id) - ids.begin();
    };
    const int64_t columns = static_cast<int64_t>(ids.size());
    const at::Tensor& like = masks.values;
    at::Tensor values =
        at::zeros({like.defined() ? like.size(0) : 1, columns}, options_)
            .fill_(masks.rest);
    if (masks.ids.defined()) {
      std::vector<int64_t> to;
      for (const int64_t id : listed) to.push_back(column(id));
      values = values.index_copy(1, ToTensor(to, values), masks.values);
    }
    masks.ids = ToTensor(ids, values);
    masks.values = Repeat(values);
    for (const auto& [cell, change] : changes) {
      cells.push_back(cell.first * columns + column(cell.second));
    }
  } else {
    masks.values = Repeat(masks.values);
    for (const auto& [cell, change] : changes) {
      cells.push_back(cell.first * masks.values.size(1) + cell.second);
    }
  }
  masks.values = Changed(masks.values, cells, changes);
  return masks;
}

std::vector<ComponentMasks> MaskEdits::Apply(
    std::vector<ComponentMasks> masks) const {
  for (size_t m = 0; m < masks.size(); ++m) {
    ComponentMasks& module = masks[m];
    const auto edited = components_.find(static_cast<int32_t>(m));
    if (edited != components_.end()) {
      module = ApplyTo(std::move(module), edited->second);
    } else if (module.values.defined() && module.values.size(0) > 1) {
      module.values = Repeat(module.values);
    }
    const auto delta = deltas_.find(static_cast<int32_t>(m));
    if (delta == deltas_.end()) {
      if (module.deltas.defined()) {
        module.deltas = Repeat(module.deltas.unsqueeze(1)).flatten();
      }
      continue;
    }
    if (!module.deltas.defined()) {
      module.deltas = at::zeros({1}, options_).fill_(module.delta);
    }
    std::vector<int64_t> cells;
    for (const auto& [cell, change] : delta->second) {
      cells.push_back(cell.first);
    }
    module.deltas =
        Changed(Repeat(module.deltas.unsqueeze(1)), cells, delta->second)
            .flatten();
  }
  return masks;
}

std::vector<at::Tensor> MaskEdits::Units(const Decoder& decoder,
                                         const SiteChanges& sites,
                                         int64_t count) const {
  std::vector<at::Tensor> masks(decoder.spec.num_layers);
  for (const auto& [layer, changes] : sites) {
    std::vector<int64_t> cells;
    for (const auto& [cell, change] : changes) {
      cells.push_back(cell.first * count + cell.second);
    }
    masks[layer] =
        Changed(at::ones({int64_t{num_rows_} * length_, count}, options_),
                cells, changes);
  }
  return masks;
}

std::vector<at::Tensor> MaskEdits::Heads(const Decoder& decoder) const {
  return Units(decoder, heads_, decoder.spec.num_heads);
}

std::vector<at::Tensor> MaskEdits::Neurons(const Decoder& decoder) const {
  return Units(decoder, neurons_, decoder.spec.mlp_width);
}

int FirstLayer(const DecomposedDecoder& decomposed,
               const Intervention& intervention) {
  const bool unit = intervention.kind == InterventionKind::kHead ||
                    intervention.kind == InterventionKind::kNeuron;
  return unit ? intervention.site
              : decomposed.modules()[intervention.site].module.layer;
}

}  // namespace spar::models
