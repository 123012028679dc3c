#include "server/service/call_ledger.h"

#include <string_view>

#include <gtest/gtest.h>

#include "base/status.h"

namespace spar::service {
namespace {

constexpr std::string_view kMethod = "spar.v1.TestService/Stream";

TEST(CallLedgerTest, APlaceIsFreeOnceLeftThoughItsCallStillLives) {
  CallLedger ledger(nullptr);
  for (int call = 0; call < 3; ++call) {
    ASSERT_TRUE(ledger.Begin(kMethod).ok());
    ASSERT_TRUE(ledger.TakePlace(kMethod, 1).ok()) << call;
    ledger.LeavePlace(kMethod);
  }
  EXPECT_EQ(ledger.live(), 3);
}

TEST(CallLedgerTest, RefusedCallsTakeNoPlace) {
  CallLedger ledger(nullptr);
  ASSERT_TRUE(ledger.TakePlace(kMethod, 2).ok());
  ASSERT_TRUE(ledger.TakePlace(kMethod, 2).ok());
  for (int refused = 0; refused < 3; ++refused) {
    const absl::Status status = ledger.TakePlace(kMethod, 2);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(base::DetailOf(status)->reason, "TOO_MANY_CALLS");
  }
  ledger.LeavePlace(kMethod);
  EXPECT_TRUE(ledger.TakePlace(kMethod, 2).ok());
}

TEST(CallLedgerTest, MethodsHaveTheirOwnPlaces) {
  CallLedger ledger(nullptr);
  ASSERT_TRUE(ledger.TakePlace(kMethod, 1).ok());
  EXPECT_TRUE(ledger.TakePlace("spar.v1.TestService/Other", 1).ok());
}

}  // namespace
}  // namespace spar::service
