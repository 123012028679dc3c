// L3. Attacks side by side, and margins at points with real masks.
#include <algorithm>
#include <cmath>
#include <utility>

#include "server/search/robust.h"

namespace spar::search {
namespace {

constexpr size_t kRows = 64;  // differentiated side by side

AttackSettings SettingsOf(const Case& c) {
  AttackSettings settings;
  settings.steps = c.options().attack_steps;
  settings.step_size = c.options().attack_step_size;
  settings.restarts = c.options().attack_restarts;
  settings.seed = c.options().seed;
  return settings;
}

Attack AttackOn(const Case& c,
                const Restriction& restriction,
                bool until_broken) {
  std::vector<models::UnitId> free;
  for (const models::UnitId id : c.candidates) {
    if (!restriction.units.Contains(id)) free.push_back(id);
  }
  const double never = -std::numeric_limits<double>::infinity();
  return Attack(SettingsOf(c), c.MasksOf(restriction.units), std::move(free),
                until_broken ? c.tau_acc : never);
}

// One step of every attack that is not done.
Search<Nothing> StepTogether(Case* c,
                             std::vector<Attack>* attacks,
                             std::vector<models::IndexSet> positions) {
  std::vector<models::GradientRow> rows;
  for (size_t i = 0; i < attacks->size(); ++i) {
    const Attack& attack = (*attacks)[i];
    if (attack.done()) continue;
    for (const std::vector<float>& point : attack.points()) {
      rows.push_back(c->GradientRowOf(positions[i], point));
    }
  }
  CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> gradients,
                      co_await c->oracle->Gradients(std::move(rows)));
  std::span<const models::RowGradient> rest = gradients;
  for (Attack& attack : *attacks) {
    if (attack.done()) continue;
    const size_t count = attack.points().size();
    attack.Take(rest.first(count));
    rest = rest.subspan(count);
  }
  co_return Nothing();
}

}  // namespace

Search<std::vector<models::RowGradient>> GradientsAt(
    Case* c, std::vector<models::GradientRow> points) {
  std::vector<models::RowGradient> found;
  for (size_t begin = 0; begin < points.size(); begin += kRows) {
    const size_t end = std::min(points.size(), begin + kRows);
    std::vector<models::GradientRow> rows;
    for (size_t i = begin; i < end; ++i) rows.push_back(points[i]);
    CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> gradients,
                        co_await c->oracle->Gradients(std::move(rows)));
    for (models::RowGradient& gradient : gradients) {
      found.push_back(std::move(gradient));
    }
  }
  for (size_t i = 0; i < points.size(); ++i) {
    if (std::abs(found[i].margin - c->tau_acc) > c->noise) continue;
    std::vector<models::GradientRow> alone(1, points[i]);
    CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> again,
                        co_await c->oracle->Gradients(std::move(alone)));
    found[i] = std::move(again.front());
  }
  co_return found;
}

Search<std::vector<double>> MarginsAt(Case* c,
                                      std::vector<models::GradientRow> points) {
  CO_ASSIGN_OR_RETURN(std::vector<models::RowGradient> gradients,
                      co_await GradientsAt(c, std::move(points)));
  std::vector<double> margins;
  for (const models::RowGradient& gradient : gradients) {
    margins.push_back(gradient.margin);
  }
  co_return margins;
}

Search<std::vector<Attacked>> RunAttacks(Case* c,
                                         std::vector<Restriction> restrictions,
                                         bool until_broken) {
  const size_t restarts = static_cast<size_t>(c->options().attack_restarts);
  const size_t width = std::max<size_t>(1, kRows / restarts);
  std::vector<Attacked> attacked;
  for (size_t begin = 0; begin < restrictions.size(); begin += width) {
    const size_t end = std::min(restrictions.size(), begin + width);
    std::vector<Attack> attacks;
    std::vector<models::IndexSet> positions;
    for (size_t i = begin; i < end; ++i) {
      attacks.push_back(AttackOn(*c, restrictions[i], until_broken));
      positions.push_back(restrictions[i].positions);
    }
    const auto running = [&attacks] {
      return std::any_of(attacks.begin(), attacks.end(),
                         [](const Attack& attack) { return !attack.done(); });
    };
    while (running()) {
      CO_RETURN_IF_ERROR(
          (co_await StepTogether(c, &attacks, positions)).status());
    }
    for (size_t i = 0; i < attacks.size(); ++i) {
      Attacked result;
      result.worst = attacks[i].worst();
      result.worst_by_step = attacks[i].worst_by_step();
      if (std::abs(result.worst.margin - c->tau_acc) <= c->noise) {
        std::vector<models::GradientRow> alone(
            1, c->GradientRowOf(positions[i], result.worst.masks));
        CO_ASSIGN_OR_RETURN(std::vector<double> margins,
                            co_await MarginsAt(c, std::move(alone)));
        result.worst.margin = margins.front();
        result.worst_by_step.back() = margins.front();
      }
      attacked.push_back(std::move(result));
    }
  }
  co_return attacked;
}

}  // namespace spar::search
