#include "models/snapshot/reference_prompts.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/status.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ReferencePrompts : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<std::string>> Read(std::string_view text) const {
    WriteText(folder_.path() / kReferencePromptsFile, text);
    return ReadReferencePrompts(folder_.path() / kReferencePromptsFile);
  }
  std::string Message(std::string_view text) const {
    const auto prompts = Read(text);
    if (prompts.ok()) return "read";
    EXPECT_EQ(base::DetailOf(prompts.status())->reason,
              "BAD_REFERENCE_PROMPTS");
    return std::string(base::MessageOf(prompts.status()));
  }

  const TempFolder folder_;
};

TEST_F(ReferencePrompts, AreTheLinesThatAreNeitherBlankNorComments) {
  EXPECT_THAT(*Read("\xef\xbb\xbfOne\r\n\n# two\n  \t\n three \nvier \xc3\xbc"),
              ElementsAre("One", " three ", "vier \xc3\xbc"));
  EXPECT_TRUE(Read("")->empty());
}

TEST_F(ReferencePrompts, MustBeTextOfBoundedSize) {
  EXPECT_THAT(Message("a\nb\xff\n"), HasSubstr(":2: not UTF-8"));
  EXPECT_THAT(Message("\xed\xa0\x80"), HasSubstr(":1: not UTF-8"));
  EXPECT_THAT(Message("\xc0\x80"), HasSubstr(":1: not UTF-8"));
  EXPECT_THAT(Message(std::string_view("a\0b", 3)), HasSubstr(":1: has a NUL"));
  EXPECT_THAT(Message(std::string(65537, 'x')),
              HasSubstr(":1: prompt of 65537 bytes, at most 65536"));
  std::string many;
  for (int i = 0; i < 100001; ++i) many += "x\n";
  EXPECT_THAT(Message(many), HasSubstr(":100001: more than 100000 prompts"));
  EXPECT_EQ(Read(std::string((16 << 20) + 1, '\n')).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReadReferencePrompts(folder_.path() / "none").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace spar::models
