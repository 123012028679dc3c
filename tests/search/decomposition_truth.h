// Toys with decompositions, and the truth about certificates of their units.
#pragma once

#include <set>
#include <vector>

#include "models/fake_backend.h"
#include "server/search/explanation.h"

namespace spar::search {

inline constexpr models::UnitScheme kDecomposedSchemes[] = {
    models::UnitScheme::kSubcomponent,
    models::UnitScheme::kSubcomponentAndDelta, models::UnitScheme::kNode,
    models::UnitScheme::kNodeAndDelta};

// Two modules of five subcomponents and Delta; decompositions "other", "main".
models::FakeBackendOptions DecomposedToy(uint64_t seed);

// Six tokens, of "main".
Question DecomposedQuestion(uint64_t seed,
                            models::UnitScheme scheme,
                            Mode mode);

// The restricted margin as docs/certificate.md defines it, written apart from
// the search: which subcomponents are on at which position of a prompt of
// another length too.
double TrueMargin(models::FakeBackend& backend,
                  const Certificate& certificate,
                  const std::vector<models::TokenId>& tokens,
                  const std::set<int32_t>& units,
                  const std::set<int32_t>& positions);

// Everything that a certificate claims, by brute force.
void ExpectHolds(models::FakeBackend& backend, const Certificate& certificate);

}  // namespace spar::search
