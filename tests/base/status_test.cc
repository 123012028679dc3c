#include "base/status.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace spar::base {
namespace {

absl::StatusOr<int> Half(int number) {
  if (number % 2 != 0) {
    return InvalidArgument("ODD_NUMBER", "number",
                           Cat("number ", number, ": want an even one"),
                           {{"number", Cat(number)}});
  }
  return number / 2;
}

absl::StatusOr<int> Quarter(int number) {
  ASSIGN_OR_RETURN(const int half, Half(number));
  return Half(half);
}

absl::Status CheckEven(int number) {
  RETURN_IF_ERROR(Half(number).status());
  return absl::OkStatus();
}

TEST(Status, CarriesReasonFieldAndNumbers) {
  const absl::Status status = Half(3).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(status), "number 3: want an even one");
  const auto detail = DetailOf(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "ODD_NUMBER");
  EXPECT_EQ(detail->field, "number");
  EXPECT_EQ(detail->metadata.at("number"), "3");
}

TEST(Status, HasNoDetailWhenMadeByOthers) {
  EXPECT_FALSE(DetailOf(absl::InternalError("broken")).has_value());
  EXPECT_FALSE(DetailOf(absl::OkStatus()).has_value());
}

TEST(Status, AnnotationKeepsTheDetail) {
  const absl::Status status = Annotate(Half(5).status(), "row 2");
  EXPECT_EQ(MessageOf(status), "row 2: number 5: want an even one");
  EXPECT_EQ(DetailOf(status)->reason, "ODD_NUMBER");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "row 2").ok());
}

TEST(Status, MacrosPassErrorsOn) {
  EXPECT_EQ(*Quarter(12), 3);
  EXPECT_EQ(MessageOf(Quarter(6).status()), "number 3: want an even one");
  EXPECT_TRUE(CheckEven(2).ok());
  EXPECT_FALSE(CheckEven(7).ok());
}

TEST(Cat, JoinsStdViewsAndNumbers) {
  const std::string_view view = "of";
  EXPECT_EQ(Cat(3, " ", view, " ", std::string("ten"), " ", 0.5),
            "3 of ten 0.5");
}

TEST(StatusDeathTest, BrokenInvariantEndsTheProcess) {
  const int one = 1;
  EXPECT_DEATH(INVARIANT(one == 2), "broken invariant: one == 2");
}

}  // namespace
}  // namespace spar::base
