// Paths that a client names stay in the folder that the operator allowed.
#include "models/train/confined_path.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

#include "base/status.h"

namespace spar::models {
namespace {

namespace fs = std::filesystem;

class ConfinedPathTest : public ::testing::Test {
 protected:
  // allowed/{inner/file, loop, out -> outside, in -> inner, gone -> nowhere},
  // and outside/, whose name begins as that of a folder inside.
  void SetUp() override {
    top_ = fs::canonical(testing::TempDir()) / "confined";
    fs::remove_all(top_);
    root_ = top_ / "allowed";
    fs::create_directories(root_ / "inner");
    fs::create_directories(top_ / "allowed-not");
    std::ofstream(root_ / "inner" / "file") << "x";
    fs::create_symlink("../allowed-not", root_ / "out");
    fs::create_symlink("inner", root_ / "in");
    fs::create_symlink(top_ / "nowhere", root_ / "gone");
    fs::create_symlink("loop", root_ / "loop");
    fs::create_symlink("..", root_ / "inner" / "up");
    fs::create_symlink("/", root_ / "inner" / "top");
  }

  std::string Refusal(const std::string& path) {
    const auto place = ConfinedPath(root_, path, "out_dir");
    if (place.ok()) return "";
    const auto detail = base::DetailOf(place.status());
    EXPECT_TRUE(absl::IsInvalidArgument(place.status()));
    EXPECT_EQ(detail->reason, "PATH_OUTSIDE_FOLDER");
    EXPECT_EQ(detail->field, "out_dir");
    return std::string(base::MessageOf(place.status()));
  }

  fs::path top_, root_;
};

TEST_F(ConfinedPathTest, FindsWhatLiesInside) {
  EXPECT_EQ(*ConfinedPath(root_, "new", "f"), root_ / "new");
  EXPECT_EQ(*ConfinedPath(root_, "new/er/est", "f"), root_ / "new/er/est");
  EXPECT_EQ(*ConfinedPath(root_, "inner/file", "f"), root_ / "inner/file");
  EXPECT_EQ(*ConfinedPath(root_, "in/file", "f"), root_ / "inner/file");
  EXPECT_EQ(*ConfinedPath(root_, "in/new", "f"), root_ / "inner/new");
  EXPECT_EQ(*ConfinedPath(root_, "..a/b..", "f"), root_ / "..a/b..");
  EXPECT_EQ(*ConfinedPath(root_, "inner/up/inner/file", "f"),
            root_ / "inner/file");
}

TEST_F(ConfinedPathTest, RefusesWhatLeadsOut) {
  for (const std::string& path : {std::string(),
                                  std::string("/"),
                                  std::string("/etc/passwd"),
                                  root_.string() + "/inner",
                                  std::string(".."),
                                  std::string("../allowed"),
                                  std::string("inner/../inner"),
                                  std::string("inner/../../allowed-not"),
                                  std::string("./inner"),
                                  std::string("inner/."),
                                  std::string("inner/"),
                                  std::string("."),
                                  std::string("out"),
                                  std::string("out/file"),
                                  std::string("gone"),
                                  std::string("gone/file"),
                                  std::string("loop"),
                                  std::string("loop/file"),
                                  std::string("inner/up/../x"),
                                  std::string("inner/up/out/x"),
                                  std::string("inner/top/etc"),
                                  std::string("new\0/../../x", 12),
                                  std::string("a\0b", 3),
                                  std::string(1025, 'a')}) {
    EXPECT_NE(Refusal(path), "") << path;
  }
  EXPECT_NE(Refusal("out").find("a link leads out"), std::string::npos);
}

TEST_F(ConfinedPathTest, SaysThatTheFolderIsGone) {
  fs::remove_all(root_);
  EXPECT_NE(Refusal("new"), "");
}

TEST_F(ConfinedPathTest, TakesAFolderThatIsALink) {
  fs::create_symlink(root_, top_ / "link");
  EXPECT_EQ(*ConfinedPath(top_ / "link", "new", "f"), root_ / "new");
}

}  // namespace
}  // namespace spar::models
