// L1. How far causal importances are from a pattern that is known: the
// IdentityCIError of the reference library.
#pragma once

#include <vector>

namespace spar::studies {

// Lower importances, [rows][subcomponents]. Below, a row is what each
// subcomponent is worth where one feature alone is on.
using ImportanceTable = std::vector<std::vector<float>>;

// Each feature has a subcomponent of its own: of the columns in the order that
// lays most importance on the diagonal, how many entries off it are above
// `tolerance` and how many on it below 1 - tolerance. There are at least as
// many subcomponents as features.
int IdentityError(const ImportanceTable& importances, double tolerance);

// The k subcomponents with the largest sums matter and the others do not: how
// many of those k have no entry of at least 1 - tolerance, and how many entries
// of the others are above `tolerance`.
int DenseError(const ImportanceTable& importances, int k, double tolerance);

// For each row of a table a column of its own, so that the entries' sum is
// largest (Kuhn 1955; Jonker and Volgenant 1987). Rows at most columns.
std::vector<int> BestColumns(const ImportanceTable& table);

}  // namespace spar::studies
