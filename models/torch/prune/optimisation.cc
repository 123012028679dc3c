#include "models/torch/prune/optimisation.h"

#include <algorithm>
#include <utility>

#include "base/splitmix64.h"
#include "models/torch/aten.h"
#include "models/torch/decomposition/ci_sigmoids.h"
#include "models/torch/prune/schedules.h"

namespace spar::models {
namespace {

constexpr uint64_t kMaskUse = 0;
constexpr uint64_t kAttackUse = 1;
constexpr double kAverageDecay = 0.9;  // of the loss that early stops look at

at::Tensor ToHost(const std::vector<at::Tensor>& rows) {
  return at::stack(rows).to(at::kCPU, at::kDouble).contiguous();
}

}  // namespace

uint64_t StepSeed(uint64_t key, int64_t step, uint64_t use) {
  return base::SplitMix64(base::SplitMix64(key ^ static_cast<uint64_t>(step)) ^
                          use);
}

Optimisation::Optimisation(const PruneSubject& subject,
                           const PruneRequest& request,
                           const PruneLimits& limits,
                           std::vector<PruneRow> rows,
                           std::vector<PruneState>& states)
    : subject_(subject), request_(request), limits_(limits) {
  const c10::AutoGradMode no_gradients(false);
  // Runs of one length are attended together.
  std::stable_sort(rows.begin(), rows.end(),
                   [](const PruneRow& a, const PruneRow& b) {
                     return a.nodes->num_tokens() < b.nodes->num_tokens();
                   });
  std::vector<at::Tensor> logits;
  for (const PruneRow& row : rows) {
    const size_t index = row.prompt * request.coefficients.size() +
                         static_cast<size_t>(row.coefficient);
    rows_.push_back({.row = row, .state = &states[index]});
    logits.push_back(row.nodes->logits);
  }
  logits_ = at::cat(logits);
  adam_ =
      std::make_unique<AdamW>(std::vector<at::Tensor>{logits_}, AdamWOptions{});
  Arrange();
}

void Optimisation::Arrange() {
  std::vector<PruneRow> rows;
  std::vector<float> prices;
  for (const Row& row : rows_) {
    rows.push_back(row.row);
    prices.push_back(static_cast<float>(row.row.price));
  }
  prices_ = at::tensor(prices, at::dtype(at::kFloat)).to(logits_.device());
  minimality_.emplace(request_.norm, rows, subject_);
  parts_.clear();
  const bool stochastic = request_.masks == PruneMasks::kStochastic;
  const bool masked = request_.weight != 0;
  int64_t first_node = 0, factor_bytes = 0;
  for (const auto& [first, last] : SplitRows(subject_, limits_, rows)) {
    const std::vector<PruneRow> some(rows.begin() + static_cast<long>(first),
                                     rows.begin() + static_cast<long>(last));
    Part part{.first_node = first_node};
    if (masked && stochastic) {
      part.all = std::make_unique<RowBatch>(subject_, some, RowListing::kAll);
    }
    if ((masked && !stochastic) || request_.adversary.has_value()) {
      part.alive =
          std::make_unique<RowBatch>(subject_, some, RowListing::kAlive);
      factor_bytes += part.alive->FactorBytes();
      if (factor_bytes <= limits_.max_factor_bytes) part.alive->KeepFactors();
    }
    for (const PruneRow& row : some) part.num_nodes += row.nodes->num_nodes();
    first_node += part.num_nodes;
    parts_.push_back(std::move(part));
  }
  lower_ = LowerSigmoid(subject_.sigmoid, subject_.sampling, logits_);
}

std::vector<uint64_t> Optimisation::Seeds(const RowBatch& batch,
                                          uint64_t use) const {
  std::vector<uint64_t> seeds;
  for (const PruneRow& row : batch.rows()) {
    seeds.push_back(StepSeed(row.key, step_, use));
  }
  return seeds;
}

std::vector<EndedRow> Optimisation::Advance() {
  const c10::AutoGradMode no_gradients(false);
  Part& part = parts_[part_];
  if (request_.adversary.has_value() && attack_ == nullptr) {
    attack_ = std::make_unique<RowAttack>(
        *request_.adversary, request_.loss, *part.alive,
        lower_.narrow(0, part.first_node, part.num_nodes),
        Seeds(*part.alive, kAttackUse));
  }
  if (attack_ != nullptr && !attack_->done()) {
    attack_->Step();
    return {};
  }
  Collect(part);
  attack_ = nullptr;
  if (++part_ < parts_.size()) return {};
  part_ = 0;
  Descend();
  return TakeEnded();
}

void Optimisation::Collect(Part& part) {
  const at::Tensor g = lower_.narrow(0, part.first_node, part.num_nodes);
  at::Tensor slopes = at::zeros(g.sizes(), g.options());
  at::Tensor masked, attacked;
  if (part.all != nullptr) {
    const Background background =
        part.all->DrawBackground(Seeds(*part.all, kMaskUse));
    const at::Tensor drawn = part.all->AtNodes(background);
    const RowBatch::Slopes run = part.all->Differentiate(
        request_.loss, g + (1 - g) * drawn, &background);
    masked = run.losses;
    slopes.addcmul_(run.of_nodes, 1 - drawn, request_.weight);
  } else if (request_.weight != 0) {
    const RowBatch::Slopes run =
        part.alive->Differentiate(request_.loss, g, nullptr);
    masked = run.losses;
    slopes.add_(run.of_nodes, request_.weight);
  }
  if (attack_ != nullptr) {
    const RowBatch::Slopes run =
        part.alive->Differentiate(request_.loss, attack_->Masks(), nullptr);
    attacked = run.losses;
    slopes.addcmul_(run.of_nodes, 1 - attack_->sources(),
                    request_.adversary->weight);
  }
  const at::Tensor& some = masked.defined() ? masked : attacked;
  sums_.masked.push_back(
      masked.defined() ? masked : at::zeros(some.sizes(), some.options()));
  sums_.attacked.push_back(
      attacked.defined() ? attacked : at::zeros(some.sizes(), some.options()));
  sums_.slopes.push_back(std::move(slopes));
}

void Optimisation::Descend() {
  const Sums sums = std::exchange(sums_, {});
  const CiSigmoid sigmoid = subject_.sigmoid;
  const Minimality::Price price =
      minimality_->Of(UpperSigmoid(sigmoid, logits_),
                      NormPower(request_.norm, step_, request_.steps));
  logits_.mutable_grad() =
      LowerSigmoidSlope(sigmoid, subject_.sampling, logits_,
                        at::cat(sums.slopes)) +
      UpperSigmoidSlope(sigmoid, logits_,
                        price.slopes * minimality_->Spread(prices_));
  adam_->Step(ScheduledValue(request_.rate, step_, request_.steps));
  ++step_;
  lower_ = LowerSigmoid(sigmoid, subject_.sampling, logits_);
  const at::Tensor sizes = minimality_->SumByRow(
      lower_.gt(request_.rounding_threshold).to(at::kFloat));
  const at::Tensor numbers = ToHost(
      {at::cat(sums.masked), at::cat(sums.attacked), price.of_row, sizes});
  const double* const number = numbers.const_data_ptr<double>();
  const size_t count = rows_.size();
  for (size_t r = 0; r < count; ++r) {
    const double attacked = number[count + r], price_of = number[2 * count + r];
    PruneState& state = *rows_[r].state;
    state.losses = {
        .masked = number[r], .attacked = attacked, .price = price_of};
    state.losses.total =
        request_.weight * number[r] + rows_[r].row.price * price_of;
    if (request_.adversary.has_value()) {
      state.losses.total += request_.adversary->weight * attacked;
    }
    state.size = static_cast<int64_t>(number[3 * count + r]);
    state.steps = static_cast<int>(step_);
  }
}

bool Optimisation::Stops(Row& row) const {
  const double loss = row.state->losses.total;
  row.average = step_ == 1
                    ? loss
                    : kAverageDecay * row.average + (1 - kAverageDecay) * loss;
  const bool settled = step_ > AnnealedAt(request_.norm, request_.steps);
  const double fall = request_.stop.change * std::abs(row.least);
  if (!settled || step_ == 1 || row.average < row.least - fall) {
    row.least = row.average;
    row.least_step = step_;
  }
  return request_.stop.patience > 0 &&
         step_ - row.least_step >= request_.stop.patience;
}

std::vector<EndedRow> Optimisation::TakeEnded() {
  std::vector<EndedRow> ended;
  std::vector<Row> left;
  std::vector<at::Tensor> kept;  // nodes
  int64_t node = 0;
  for (Row& row : rows_) {
    const int64_t count = row.row.nodes->num_nodes();
    const bool stops = Stops(row);
    const bool last = step_ == request_.steps;
    if (stops || last) {
      row.state->ended = true;
      ended.push_back({.row = row.row,
                       .logits = logits_.narrow(0, node, count).clone(),
                       .steps = static_cast<int>(step_),
                       .stopped_early = !last,
                       .losses = row.state->losses});
    } else {
      kept.push_back(at::arange(node, node + count, at::dtype(at::kLong)));
      left.push_back(row);
    }
    node += count;
  }
  if (ended.empty()) return ended;
  rows_ = std::move(left);
  parts_.clear();
  if (rows_.empty()) return ended;
  logits_ = adam_->Keep(at::cat(kept).to(logits_.device()));
  Arrange();
  return ended;
}

}  // namespace spar::models
