#include "models/studies/identity_error.h"

#include <algorithm>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

namespace spar::studies {
namespace {

double SumOf(const ImportanceTable& table, const std::vector<int>& columns) {
  double sum = 0;
  for (size_t row = 0; row < table.size(); ++row) {
    sum += table[row][columns[row]];
  }
  return sum;
}

TEST(IdentityErrorTest, FindsTheBestColumnsAsTryingAllDoes) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(0, 1);
  for (int trial = 0; trial < 50; ++trial) {
    const int rows = 1 + trial % 4;
    const int columns = rows + trial % 3;
    ImportanceTable table(rows, std::vector<float>(columns));
    for (auto& row : table) {
      for (float& entry : row) entry = uniform(random);
    }
    std::vector<int> order(columns);
    std::iota(order.begin(), order.end(), 0);
    double best = 0;
    do {
      best = std::max(best, SumOf(table, order));
    } while (std::next_permutation(order.begin(), order.end()));
    std::vector<int> found = BestColumns(table);
    EXPECT_NEAR(SumOf(table, found), best, 1e-6);
    std::sort(found.begin(), found.end());
    EXPECT_EQ(std::unique(found.begin(), found.end()), found.end());
  }
}

TEST(IdentityErrorTest, CountsWhatIsOffAndWhatLacks) {
  // Feature 0 has column 2, feature 1 column 0.
  const ImportanceTable perfect = {{0, 0.05F, 1, 0}, {0.95F, 0, 0.09F, 0}};
  EXPECT_EQ(IdentityError(perfect, 0.1), 0);
  const ImportanceTable weak = {{0, 0, 0.85F, 0}, {1, 0, 0, 0}};
  EXPECT_EQ(IdentityError(weak, 0.1), 1);
  EXPECT_EQ(IdentityError(weak, 0.2), 0);
  // A spare column that is on counts for each feature.
  const ImportanceTable spare = {{0, 0, 1, 0.3F}, {1, 0, 0, 0.15F}};
  EXPECT_EQ(IdentityError(spare, 0.1), 2);
  EXPECT_EQ(IdentityError(spare, 0.2), 1);
  EXPECT_EQ(IdentityError({}, 0.1), 0);
}

TEST(IdentityErrorTest, DenseCountsIdleColumnsAndBusyOthers) {
  const ImportanceTable table = {{1, 0.5F, 0, 0.19F}, {0.2F, 0.95F, 0, 0}};
  EXPECT_EQ(DenseError(table, 2, 0.1), 1);  // the 0.19 of the last
  EXPECT_EQ(DenseError(table, 2, 0.2), 0);
  EXPECT_EQ(DenseError(table, 3, 0.1), 1);  // which is never fully on
  // 0.5 + 0.95 is most; 1, 0.2 and 0.19 are of others.
  EXPECT_EQ(DenseError(table, 1, 0.1), 3);
}

}  // namespace
}  // namespace spar::studies
