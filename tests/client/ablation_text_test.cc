#include "client/ablation_text.h"

#include <cmath>

#include "gtest/gtest.h"

namespace spar::client {
namespace {

v1::AblatedPosition Position(int position, double margin) {
  v1::AblatedPosition read;
  read.set_position(position);
  v1::TokenScore& best = *read.add_top();
  best.mutable_token()->set_id(7);
  best.mutable_token()->set_text("tokyo");
  best.set_log_probability(std::log(0.5));
  v1::TokenScore& next = *read.add_top();
  next.mutable_token()->set_id(8);
  next.mutable_token()->set_text("a\nb");
  next.set_log_probability(std::log(0.25));
  *read.mutable_target() = best.token();
  read.set_target_log_probability(std::log(0.5));
  read.set_kl_divergence(0.1234);
  read.set_margin(margin);
  return read;
}

TEST(AblationText, ShowsTheModelUnderTheHeadings) {
  v1::AblationStart start;
  start.add_prompt()->set_text("of");
  start.add_prompt()->set_text("japan");
  *start.add_baseline() = Position(1, 2);
  EXPECT_EQ(FormatAblationStart(start, Style{}),
            "prompt  of japan\n"
            "target  \"tokyo\"\n"
            "run                                 pos       KL    margin"
            "  p(target)  says\n"
            "the model itself                      1   0.1234    +2.000"
            "       50 %  \"tokyo\" 50 %, \"a\\nb\" 25 %\n");
}

TEST(AblationText, NamesWhatChangedAndWhere) {
  v1::AblationRow row;
  *row.add_positions() = Position(0, -1);
  *row.add_positions() = Position(1, 1);
  EXPECT_TRUE(FormatAblationRow(row, Style{}).starts_with("as asked"));
  row.set_step(4);
  row.set_part("h.0.attn#head=2");
  row.set_part_position(3);
  row.set_sample(1);
  const std::string text = FormatAblationRow(row, Style{});
  EXPECT_TRUE(text.starts_with("h.0.attn#head=2 @3 ~1")) << text;
  EXPECT_NE(text.find("\n                      "), text.npos) << text;
  EXPECT_NE(text.find("-1.000"), text.npos);
}

TEST(AblationText, ShowsGeneratedTokensByNumber) {
  v1::AblationRow row;
  *row.add_positions() = Position(5, 1);
  row.set_step(0);
  row.mutable_generated()->set_text("tokyo");
  EXPECT_TRUE(FormatAblationRow(row, Style{}).starts_with("1 \"tokyo\""));
}

}  // namespace
}  // namespace spar::client
