#include "models/fake_ablation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/log_softmax.h"

namespace spar::models {
namespace {

class FakeAblation final : public Ablation {
 public:
  FakeAblation(const UnitTable& units,
               const AblationRequest& request,
               FakeLogits logits)
      : units_(units),
        request_(request),
        logits_(std::move(logits)),
        tokens_(request.tokens) {
    for (int32_t t = First(); t < Length(); ++t) {
      baseline_.push_back(Read(t, logits_(Prefix(tokens_, t), Masks({}, t))));
    }
  }

  const std::vector<AblatedPosition>& baseline() const override {
    return baseline_;
  }
  int64_t num_rows() const override {
    return request_.generation.max_tokens > 0
               ? request_.generation.max_tokens
               : 1 + static_cast<int64_t>(request_.swept.size());
  }

  bool done() const override { return next_ >= num_rows(); }

  absl::StatusOr<std::vector<AblationRow>> Next(int max_rows) override {
    std::vector<AblationRow> rows;
    const int wanted =
        request_.generation.max_tokens > 0 ? 1 : std::max(max_rows, 1);
    while (static_cast<int>(rows.size()) < wanted && next_ < num_rows()) {
      rows.push_back(request_.generation.max_tokens > 0 ? Generate() : Step());
      ++next_;
    }
    return rows;
  }

 private:
  int32_t Length() const { return static_cast<int32_t>(tokens_.size()); }
  int32_t First() const { return request_.every_position ? 0 : Length() - 1; }

  static std::span<const TokenId> Prefix(const std::vector<TokenId>& tokens,
                                         int32_t position) {
    return std::span<const TokenId>(tokens).first(
        static_cast<size_t>(position) + 1);
  }

  std::vector<float> Masks(const std::vector<Intervention>& interventions,
                           int32_t position) const {
    std::vector<float> masks(static_cast<size_t>(units_.size()), 1.0f);
    for (const Intervention& change : interventions) {
      if (change.position != kEveryPosition && change.position != position) {
        continue;
      }
      const bool head = change.kind == InterventionKind::kHead;
      float& mask = masks[static_cast<size_t>(
          units_.Id({.kind = head ? UnitKind::kHead : UnitKind::kNeuron,
                     .layer = change.site,
                     .index = change.index}))];
      mask = static_cast<float>(change.factor * mask + change.offset);
    }
    return masks;
  }

  AblatedPosition Read(int32_t position,
                       const std::vector<double>& logits) const {
    const std::vector<float> ones(static_cast<size_t>(units_.size()), 1.0f);
    const std::vector<double> model = logits_(Prefix(tokens_, position), ones);
    const std::vector<double> model_p = LogSoftmax(model);
    const std::vector<double> run_p = LogSoftmax(logits);
    AblatedPosition read;
    read.position = position;
    for (size_t i = 0; i < run_p.size(); ++i) {
      read.kl += std::exp(model_p[i]) * (model_p[i] - run_p[i]);
      read.top.push_back({.token = static_cast<TokenId>(i),
                          .logit = static_cast<float>(logits[i]),
                          .log_probability = static_cast<float>(run_p[i])});
    }
    read.kl = std::max(read.kl, 0.0);
    if (position + 1 < static_cast<int32_t>(request_.tokens.size())) {
      read.cross_entropy = -run_p[request_.tokens[position + 1]];
    }
    read.target = request_.target.value_or(static_cast<TokenId>(
        std::max_element(model.begin(), model.end()) - model.begin()));
    read.target_log_probability = run_p[read.target];
    std::stable_sort(read.top.begin(), read.top.end(),
                     [](const TokenScore& a, const TokenScore& b) {
                       return a.logit > b.logit;
                     });
    const TokenScore& other =
        read.top[read.top[0].token == read.target ? 1 : 0];
    read.margin = logits[read.target] - logits[other.token];
    if (read.top.size() > static_cast<size_t>(request_.top_k)) {
      read.top.resize(static_cast<size_t>(request_.top_k));
    }
    return read;
  }

  std::vector<AblatedPosition> ReadAll(
      const std::vector<Intervention>& interventions) const {
    std::vector<TokenId> tokens = tokens_;
    for (const TokenEdit& edit : request_.edits) {
      tokens[edit.position] = edit.token;
    }
    std::vector<AblatedPosition> positions;
    for (int32_t t = First(); t < Length(); ++t) {
      positions.push_back(
          Read(t, logits_(Prefix(tokens, t), Masks(interventions, t))));
    }
    return positions;
  }

  AblationRow Step() const {
    const int64_t step = next_ - 1;
    std::vector<Intervention> all = request_.interventions;
    const int64_t first = request_.sweep == SweepKind::kEach ? step : 0;
    for (int64_t i = std::max<int64_t>(first, 0); i <= step; ++i) {
      all.push_back(request_.swept[i]);
    }
    return {.step = step, .positions = ReadAll(all)};
  }

  // Greedy at any temperature: the fake model draws nothing.
  AblationRow Generate() {
    AblationRow row{.step = next_,
                    .positions = ReadAll(request_.interventions)};
    std::vector<TokenId> tokens = tokens_;
    for (const TokenEdit& edit : request_.edits) {
      tokens[edit.position] = edit.token;
    }
    const std::vector<double> logits =
        logits_(tokens, Masks(request_.interventions, Length() - 1));
    row.generated = static_cast<TokenId>(
        std::max_element(logits.begin(), logits.end()) - logits.begin());
    tokens_.push_back(*row.generated);
    return row;
  }

  const UnitTable& units_;
  const AblationRequest request_;
  const FakeLogits logits_;
  std::vector<TokenId> tokens_;
  std::vector<AblatedPosition> baseline_ = {};
  int64_t next_ = 0;
};

}  // namespace

std::unique_ptr<Ablation> MakeFakeAblation(const UnitTable& units,
                                           const AblationRequest& request,
                                           FakeLogits logits) {
  return std::make_unique<FakeAblation>(units, request, std::move(logits));
}

}  // namespace spar::models
