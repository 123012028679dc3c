#include "models/studies/identity_error.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace spar::studies {

// Rows are added one by one; each along the shortest alternating path, with
// prices on rows and columns that keep all reduced costs from being negative.
// Column 0 and row 0 stand for none.
std::vector<int> BestColumns(const ImportanceTable& table) {
  constexpr double kFar = std::numeric_limits<double>::infinity();
  const int rows = static_cast<int>(table.size());
  const int columns = rows == 0 ? 0 : static_cast<int>(table[0].size());
  std::vector<double> row_price(rows + 1, 0), column_price(columns + 1, 0);
  std::vector<int> row_of(columns + 1, 0), came_from(columns + 1, 0);
  for (int row = 1; row <= rows; ++row) {
    row_of[0] = row;
    int column = 0;
    std::vector<double> distance(columns + 1, kFar);
    std::vector<bool> reached(columns + 1, false);
    do {
      reached[column] = true;
      const int from = row_of[column];
      double step = kFar;
      int next = 0;
      for (int c = 1; c <= columns; ++c) {
        if (reached[c]) continue;
        const double cost =
            -table[from - 1][c - 1] - row_price[from] - column_price[c];
        if (cost < distance[c]) {
          distance[c] = cost;
          came_from[c] = column;
        }
        if (distance[c] < step) {
          step = distance[c];
          next = c;
        }
      }
      for (int c = 0; c <= columns; ++c) {
        if (reached[c]) {
          row_price[row_of[c]] += step;
          column_price[c] -= step;
        } else {
          distance[c] -= step;
        }
      }
      column = next;
    } while (row_of[column] != 0);
    while (column != 0) {
      row_of[column] = row_of[came_from[column]];
      column = came_from[column];
    }
  }
  std::vector<int> best(rows, 0);
  for (int c = 1; c <= columns; ++c) {
    if (row_of[c] != 0) best[row_of[c] - 1] = c - 1;
  }
  return best;
}

int IdentityError(const ImportanceTable& importances, double tolerance) {
  const std::vector<int> own = BestColumns(importances);
  int errors = 0;
  for (size_t row = 0; row < importances.size(); ++row) {
    for (size_t c = 0; c < importances[row].size(); ++c) {
      const float g = importances[row][c];
      const bool diagonal = static_cast<int>(c) == own[row];
      errors += diagonal ? g < 1 - tolerance : g > tolerance;
    }
  }
  return errors;
}

int DenseError(const ImportanceTable& importances, int k, double tolerance) {
  const size_t columns = importances.empty() ? 0 : importances[0].size();
  std::vector<double> sums(columns, 0);
  std::vector<float> largest(columns, 0);
  std::vector<int> above(columns, 0);
  for (const std::vector<float>& row : importances) {
    for (size_t c = 0; c < columns; ++c) {
      sums[c] += row[c];
      largest[c] = std::max(largest[c], row[c]);
      above[c] += row[c] > tolerance;
    }
  }
  std::vector<size_t> order(columns);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return sums[a] > sums[b]; });
  int errors = 0;
  for (size_t i = 0; i < columns; ++i) {
    errors += i < static_cast<size_t>(k) ? largest[order[i]] < 1 - tolerance
                                         : above[order[i]];
  }
  return errors;
}

}  // namespace spar::studies
