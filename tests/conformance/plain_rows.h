// Rows over the units of a decomposition, answered by the plain float64 loops.
#pragma once

#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "models/decomposition/decomposition.h"
#include "models/decomposition/decomposition_tensors.h"
#include "models/row.h"
#include "models/unit_table.h"
#include "tests/conformance/plain_decoder.h"

namespace spar::models {

class PlainRows {
 public:
  PlainRows(const Snapshot& snapshot,
            const Decomposition& decomposition,
            std::vector<std::vector<TokenId>> reference_prompts)
      : plain_(snapshot),
        decomposition_(decomposition),
        prompts_(std::move(reference_prompts)) {
    for (const DecomposedModule& module : decomposition.spec().modules) {
      PlainModule& one = factors_[module.name + ".weight"];
      one.v = ToMatrix(decomposition.Tensor(VName(module)));
      one.u = ToMatrix(decomposition.Tensor(UName(module)));
    }
  }

  // Logits at the readout under real masks, [unit].
  Vector Logits(const Prompt& prompt,
                const IndexSet& positions,
                const Vector& masks) {
    const bool mean = prompt.reference == ReferenceKind::kMean;
    if (mean && means_.empty()) MeasureMeans();
    const bool nodes = prompt.space == UnitSpace::kNodes;
    const UnitTable units =
        MakeUnitTable(decomposition_.spec(), prompt.space,
                      static_cast<int>(prompt.tokens.size()));
    const std::vector<int32_t> kept = positions.Members();
    std::vector<TokenId> tokens;
    std::vector<int> ids;
    for (const int32_t position : kept) {
      const bool reindex = prompt.position_mode == PositionMode::kReindex;
      ids.push_back(reindex ? static_cast<int>(ids.size()) : position);
      tokens.push_back(prompt.tokens[position]);
    }
    plain_.modules = factors_;
    const std::vector<DecomposedModule>& modules =
        decomposition_.spec().modules;
    for (size_t m = 0; m < modules.size(); ++m) {
      PlainModule& one = plain_.modules[modules[m].name + ".weight"];
      for (size_t t = 0; t < kept.size(); ++t) {
        Unit unit{.kind = UnitKind::kSubcomponent,
                  .module = static_cast<int>(m),
                  .position = nodes ? kept[t] : -1};
        Vector here;
        for (; unit.index < modules[m].num_components; ++unit.index) {
          here.push_back(masks[units.Id(unit)]);
        }
        unit.kind = UnitKind::kDelta;
        unit.index = 0;
        one.masks.push_back(here);
        one.deltas.push_back(masks[units.Id(unit)]);
        if (!mean) continue;
        const Mean& of = means_.at(modules[m].name + ".weight");
        one.mean_activations.push_back(of.activations.At(ids[t]));
        one.mean_deltas.push_back(of.deltas.At(ids[t]));
      }
    }
    return plain_.Logits(tokens, ids).back();
  }

  Vector Logits(const Row& row) {
    Vector masks(row.units.universe(), 0);
    for (const int32_t unit : row.units.Members()) masks[unit] = 1;
    return Logits(*row.prompt, row.positions, masks);
  }

  static double Margin(const Vector& logits, TokenId target) {
    double best = -std::numeric_limits<double>::infinity();
    for (size_t i = 0; i < logits.size(); ++i) {
      if (static_cast<TokenId>(i) != target) best = std::max(best, logits[i]);
    }
    return logits[target] - best;
  }

  static double SmoothMargin(const Vector& logits, TokenId target) {
    double sum = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      if (static_cast<TokenId>(i) != target) sum += std::exp(logits[i]);
    }
    return logits[target] - std::log(sum);
  }

 private:
  // docs/certificate.md: one mean per position id, the first apart, and one of
  // all later ones where fewer than 8 prompts reach.
  struct MeanVectors {
    std::vector<Vector> sums = {};
    std::vector<int> counts = {};

    void Add(size_t position, const Vector& values) {
      if (sums.size() <= position) {
        sums.resize(position + 1);
        counts.resize(position + 1, 0);
      }
      sums[position].resize(values.size(), 0);
      for (size_t i = 0; i < values.size(); ++i) {
        sums[position][i] += values[i];
      }
      ++counts[position];
    }

    Vector At(size_t position) const {
      const bool known = position < counts.size();
      if (position == 0 || (known && counts[position] >= 8)) {
        return Over(position, position + 1);
      }
      return Over(1, sums.size());
    }

    Vector Over(size_t begin, size_t end) const {
      Vector mean(sums[0].size(), 0);
      double count = 0;
      for (size_t p = begin; p < end; ++p) count += counts[p];
      for (size_t p = begin; p < end; ++p) {
        for (size_t i = 0; i < mean.size(); ++i) mean[i] += sums[p][i] / count;
      }
      return mean;
    }
  };

  struct Mean {
    MeanVectors activations = {};
    MeanVectors deltas = {};
  };

  void MeasureMeans() {
    for (const std::vector<TokenId>& prompt : prompts_) {
      plain_.modules = factors_;
      for (auto& [tensor, module] : plain_.modules) {
        module.masks.assign(prompt.size(), Vector(module.u.size(), 1));
        module.deltas.assign(prompt.size(), 1);
      }
      std::map<std::string, std::vector<bool>> seen;
      plain_.see = [&](const std::string& tensor, int token,
                       const Vector& activations, const Vector& delta) {
        std::vector<bool>& before = seen[tensor];
        before.resize(prompt.size(), false);
        if (before[token]) return;
        before[token] = true;
        means_[tensor].activations.Add(token, activations);
        means_[tensor].deltas.Add(token, delta);
      };
      plain_.Logits(prompt);
      plain_.see = nullptr;
    }
  }

  static Matrix ToMatrix(const TensorView& view) {
    const float* value = reinterpret_cast<const float*>(view.bytes.data());
    Matrix rows(view.shape[0], Vector(view.shape[1]));
    for (Vector& row : rows) {
      for (double& number : row) number = *value++;
    }
    return rows;
  }

  PlainDecoder plain_;
  const Decomposition& decomposition_;
  const std::vector<std::vector<TokenId>> prompts_;
  std::map<std::string, PlainModule> factors_ = {};
  std::map<std::string, Mean> means_ = {};
};

}  // namespace spar::models
