#include "models/snapshot/whole_file.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {
namespace {

class WholeFile : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_.path() / "file"; }
  // What lies in the folder beside the file.
  int64_t Others() const {
    int64_t others = 0;
    for (const auto& entry :
         std::filesystem::directory_iterator(folder_.path())) {
      others += entry.path() != path();
    }
    return others;
  }

  const TempFolder folder_;
};

TEST_F(WholeFile, HoldsItsPiecesInOrder) {
  using namespace std::string_view_literals;
  const std::string_view pieces[] = {"one ", "", "t\0wo"sv};
  ASSERT_TRUE(WriteWholeFile(path(), pieces).ok());
  EXPECT_EQ(ReadText(path()), "one t\0wo"sv);
  EXPECT_EQ(Others(), 0);
}

TEST_F(WholeFile, ReplacesTheOneBefore) {
  WriteText(path(), "a longer text than the new one");
  ASSERT_TRUE(WriteWholeFile(path(), "new").ok());
  EXPECT_EQ(ReadText(path()), "new");
  EXPECT_EQ(Others(), 0);
}

TEST_F(WholeFile, LeavesNothingBehindWhereItCannotBeWritten) {
  // A folder with something in it cannot be renamed over.
  ASSERT_TRUE(MakeFolder(path() / "inner").ok());
  const absl::Status status = WriteWholeFile(path(), "text");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  const auto detail = base::DetailOf(status);
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->reason, "CANNOT_WRITE");
  EXPECT_EQ(detail->metadata.at("file"), path().string());
  EXPECT_EQ(Others(), 0);
  EXPECT_FALSE(
      WriteWholeFile(folder_.path() / "missing" / "file", "text").ok());
  EXPECT_EQ(Others(), 0);
}

TEST_F(WholeFile, IsThatOfOneWriterWhenManyWrite) {
  std::vector<std::string> texts;
  for (int i = 0; i < 4; ++i) {
    texts.emplace_back(100'000, static_cast<char>('a' + i));
  }
  {
    std::vector<std::jthread> writers;
    for (const std::string& text : texts) {
      writers.emplace_back([&] {
        for (int i = 0; i < 10; ++i) {
          EXPECT_TRUE(WriteWholeFile(path(), text).ok());
        }
      });
    }
  }
  const std::string read = ReadText(path());
  EXPECT_EQ(std::count(texts.begin(), texts.end(), read), 1);
  EXPECT_EQ(Others(), 0);
}

TEST_F(WholeFile, NeedsAFolderThatCanBe) {
  WriteText(path(), "no folder");
  const absl::Status status = MakeFolder(path() / "inner");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(MakeFolder(folder_.path() / "a" / "b").ok());
  EXPECT_TRUE(MakeFolder(folder_.path() / "a" / "b").ok());
  EXPECT_TRUE(std::filesystem::is_directory(folder_.path() / "a" / "b"));
}

}  // namespace
}  // namespace spar::models
