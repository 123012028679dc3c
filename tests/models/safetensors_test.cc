#include <cstring>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/status.h"
#include "models/snapshot/safetensors_reader.h"
#include "models/snapshot/safetensors_writer.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Safetensors : public ::testing::Test {
 protected:
  absl::StatusOr<SafetensorsFile> Open(std::string_view bytes) {
    WriteText(path(), bytes);
    return SafetensorsFile::Open(path());
  }

  // The message, or "opened". Every message names the file.
  std::string Refusal(std::string_view bytes) {
    const auto file = Open(bytes);
    if (file.ok()) return "opened";
    EXPECT_EQ(base::DetailOf(file.status())->reason, "BAD_MODEL");
    const std::string message(base::MessageOf(file.status()));
    EXPECT_THAT(message, HasSubstr(path().string()));
    return message;
  }
  std::string Refusal(std::string_view header, std::string_view data) {
    return Refusal(TensorFile(header, data));
  }

  std::filesystem::path path() const {
    return folder_.path() / "model.safetensors";
  }

  const TempFolder folder_;
};

std::string Entry(const char* name, const char* shape, const char* offsets) {
  return base::Cat("\"", name, R"(":{"dtype":"F32","shape":)", shape,
                   R"(,"data_offsets":)", offsets, "}");
}

TEST_F(Safetensors, ReadsTensorsOfEveryShape) {
  const std::string header = base::Cat(
      "{\"__metadata__\":{\"format\":\"pt\"},", Entry("b", "[2,1]", "[4,12]"),
      ",", Entry("a", "[]", "[0,4]"), ",", Entry("c", "[0,5]", "[12,12]"), "}");
  const auto file = Open(TensorFile(header, "aaaabbbbBBBB"));
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_THAT(file->tensors().at("a").shape, ElementsAre());
  EXPECT_THAT(file->tensors().at("b").shape, ElementsAre(2, 1));
  EXPECT_EQ(std::memcmp(file->tensors().at("b").bytes.data(), "bbbbBBBB", 8),
            0);
  EXPECT_TRUE(file->tensors().at("c").bytes.empty());
}

TEST_F(Safetensors, AlignsTheDataOfFilesWithAnUnpaddedHeader) {
  for (int spaces = 0; spaces < 8; ++spaces) {
    const std::string header =
        base::Cat("{", Entry("a", "[1]", "[0,4]"), "}",
                  std::string(static_cast<size_t>(spaces), ' '));
    const auto file = Open(TensorFile(header, "wxyz"));
    ASSERT_TRUE(file.ok()) << file.status();
    const std::byte* const data = file->tensors().at("a").bytes.data();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 4, 0u) << spaces;
    EXPECT_EQ(std::memcmp(data, "wxyz", 4), 0);
  }
}

TEST_F(Safetensors, RefusesFilesWithoutAWholeHeader) {
  EXPECT_THAT(Refusal(""), HasSubstr("has 0 bytes"));
  EXPECT_THAT(Refusal("1234567"), HasSubstr("has 7 bytes"));
  EXPECT_THAT(Refusal(TensorFile("{}", "").substr(0, 9)),
              HasSubstr("header of 2 bytes, at most 1"));
}

TEST_F(Safetensors, RefusesAHugeHeaderWithoutReadingIt) {
  EXPECT_THAT(Refusal(std::string(8, '\xff')),
              HasSubstr("header of 18446744073709551615 bytes, at most 0"));
}

TEST_F(Safetensors, RefusesAHeaderThatIsNoJsonObject) {
  EXPECT_THAT(Refusal("PK\x03\x04", ""), HasSubstr("not JSON at byte 1"));
  EXPECT_THAT(Refusal("[]", ""), HasSubstr("not a JSON object"));
  EXPECT_THAT(Refusal("{} x", ""), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("", ""), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal("{\"\xff\":1}", ""), HasSubstr("not JSON"));
  EXPECT_THAT(Refusal(std::string(1 << 20, '['), ""),
              HasSubstr("nested deeper than 64"));
}

TEST_F(Safetensors, RefusesATensorNamedTwice) {
  const std::string header = base::Cat("{", Entry("a", "[1]", "[0,4]"), ",",
                                       Entry("a", "[1]", "[4,8]"), "}");
  EXPECT_THAT(Refusal(header, "12345678"), HasSubstr("key 'a' occurs twice"));
}

TEST_F(Safetensors, RefusesOverlappingTensors) {
  const std::string header = base::Cat("{", Entry("a", "[2]", "[0,8]"), ",",
                                       Entry("b", "[2]", "[4,12]"), "}");
  EXPECT_THAT(Refusal(header, "123456789abc"),
              AllOf(HasSubstr("tensor 'b'"), HasSubstr("begin at 4"),
                    HasSubstr("ends at 8")));
}

TEST_F(Safetensors, RefusesGapsBetweenTensorsAndAfterThem) {
  const std::string gap = base::Cat("{", Entry("a", "[1]", "[0,4]"), ",",
                                    Entry("b", "[1]", "[8,12]"), "}");
  EXPECT_THAT(Refusal(gap, "123456789abc"),
              HasSubstr("begin at 8, after a gap that begins at 4"));
  const std::string one = base::Cat("{", Entry("a", "[1]", "[0,4]"), "}");
  EXPECT_THAT(Refusal(one, "12345678"),
              HasSubstr("holds 8 bytes of data, its tensors cover 4"));
}

TEST_F(Safetensors, RefusesTensorsBeyondTheEndOfATruncatedFile) {
  const std::string header = base::Cat("{", Entry("a", "[2]", "[0,8]"), "}");
  EXPECT_THAT(Refusal(header, "1234"),
              AllOf(HasSubstr("tensor 'a'"), HasSubstr("[0,8]"),
                    HasSubstr("out of range"), HasSubstr("4 bytes")));
}

TEST_F(Safetensors, RefusesOffsetsThatAreNoRange) {
  for (const char* offsets :
       {"[4,0]", "[0]", "[0,4,8]", "[-4,0]", "[0.0,4.0]", "\"0,4\"", "null",
        "[0,18446744073709551615]", "[0,1e99]"}) {
    const std::string header = base::Cat("{", Entry("a", "[1]", offsets), "}");
    EXPECT_THAT(Refusal(header, "1234"),
                AllOf(HasSubstr("tensor 'a'"), HasSubstr("data_offsets")))
        << offsets;
  }
}

TEST_F(Safetensors, RefusesMisalignedTensors) {
  const std::string header =
      base::Cat(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)",
                Entry("b", "[1]", "[2,6]"), "}");
  EXPECT_THAT(Refusal(header, "123456"),
              AllOf(HasSubstr("tensor 'b'"), HasSubstr("begin at 2"),
                    HasSubstr("not aligned for F32 (4 bytes)")));
}

TEST_F(Safetensors, RefusesShapesThatDoNotFitTheirBytes) {
  const std::string header = base::Cat("{", Entry("a", "[3]", "[0,8]"), "}");
  EXPECT_THAT(Refusal(header, "12345678"),
              AllOf(HasSubstr("shape [3] need 12 bytes"), HasSubstr("hold 8")));
}

TEST_F(Safetensors, RefusesShapesWhoseProductOverflows) {
  for (const char* shape : {"[4611686018427387904]", "[4294967296,4294967296]",
                            "[3037000500,3037000500,2]"}) {
    const std::string header = base::Cat("{", Entry("a", shape, "[0,0]"), "}");
    EXPECT_THAT(Refusal(header, ""), HasSubstr("overflows 64 bits")) << shape;
  }
}

TEST_F(Safetensors, RefusesDimensionsThatAreNoSizes) {
  for (const char* shape : {"[-1]", "[1.0]", "[\"1\"]", "[null]", "[[1]]",
                            "[18446744073709551615]"}) {
    const std::string header = base::Cat("{", Entry("a", shape, "[0,4]"), "}");
    EXPECT_THAT(Refusal(header, "1234"), HasSubstr("which is not a size"))
        << shape;
  }
}

TEST_F(Safetensors, RefusesEntriesThatAreNotTensors) {
  EXPECT_THAT(Refusal(R"({"a":3})", ""), HasSubstr("not an object"));
  EXPECT_THAT(Refusal(R"({"a":{}})", ""), HasSubstr("dtype is missing"));
  EXPECT_THAT(Refusal(R"({"a":{"dtype":"F32"}})", ""),
              HasSubstr("shape is missing"));
  EXPECT_THAT(
      Refusal(R"({"a":{"dtype":"Q4","shape":[],"data_offsets":[0,0]}})", ""),
      HasSubstr("unknown dtype 'Q4'"));
  EXPECT_THAT(Refusal(R"({"a":{"dtype":"F32","strides":[1]}})", ""),
              HasSubstr("unknown entry field 'strides'"));
  EXPECT_THAT(Refusal(R"({"__metadata__":{"x":1}})", ""),
              HasSubstr("field 'x' is not a string"));
  EXPECT_THAT(Refusal(R"({"__metadata__":[]})", ""),
              HasSubstr("__metadata__ is not an object"));
}

TEST_F(Safetensors, ShowsHostileNamesEscapedAndCut) {
  const std::string header =
      base::Cat("{\"\\u001b[31m", std::string(10000, 'x'), "\":3}");
  const std::string message = Refusal(header, "");
  EXPECT_THAT(message, HasSubstr("\\033[31mxxx"));
  EXPECT_LT(message.size(), 600u);
}

TEST_F(Safetensors, RefusesWhatIsNoRegularFile) {
  std::filesystem::create_directory(path());
  const auto file = SafetensorsFile::Open(path());
  EXPECT_THAT(std::string(base::MessageOf(file.status())),
              HasSubstr("is not a regular file"));
}

TEST_F(Safetensors, RefusesEveryTruncationOfAGoodFile) {
  TinyTensors tensors;
  tensors["x"] = RandomTensor("x", {2, 3});
  tensors["y"] = RandomTensor("y", {5});
  const std::string whole = TensorFile(tensors);
  ASSERT_TRUE(Open(whole).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Open(whole.substr(0, size)).ok()) << size;
  }
}

TEST_F(Safetensors, SurvivesAnyOneByteChangedInTheHeader) {
  TinyTensors tensors;
  tensors["x"] = RandomTensor("x", {2, 3});
  tensors["y"] = RandomTensor("y", {5});
  const std::string whole = TensorFile(tensors);
  const size_t header_end = whole.size() - 4 * (6 + 5);
  for (size_t i = 0; i < header_end; ++i) {
    for (const int change : {1, 2, 16, 64, 128}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      const auto file = Open(bytes);
      if (!file.ok()) continue;
      for (const auto& [name, tensor] : file->tensors()) {
        EXPECT_LE(tensor.bytes.size(), whole.size());
      }
    }
  }
}

TEST_F(Safetensors, WritesWhatTheReaderReads) {
  const std::vector<float> x = {1.5f, -2.0f, 0.0f, 3.25f, 1e-30f, 7.0f};
  const std::vector<float> y = {42.0f};
  ASSERT_TRUE(WriteSafetensors(path(), {{"y", {}, y}, {"x", {2, 3}, x}}).ok());
  const auto file = SafetensorsFile::Open(path());
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 2u);
  const StoredTensor& stored = file->tensors().at("x");
  EXPECT_EQ(stored.dtype, "F32");
  EXPECT_THAT(stored.shape, ElementsAre(2, 3));
  EXPECT_EQ(std::memcmp(stored.bytes.data(), x.data(), 24), 0);
}

TEST_F(Safetensors, WritesTheSameBytesWhateverTheOrderOfTensors) {
  const std::vector<float> x = {1, 2};
  const std::vector<float> y = {3};
  const auto other = folder_.path() / "other";
  ASSERT_TRUE(WriteSafetensors(path(), {{"x", {2}, x}, {"y", {1}, y}}).ok());
  ASSERT_TRUE(WriteSafetensors(other, {{"y", {1}, y}, {"x", {2}, x}}).ok());
  const std::string bytes = ReadText(path());
  EXPECT_EQ(bytes, ReadText(other));
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), 8);
  EXPECT_EQ(header_bytes % 8, 0u);
}

TEST_F(Safetensors, LeavesOnlyTheWrittenFileBehind) {
  const std::vector<float> x = {1};
  ASSERT_TRUE(WriteSafetensors(path(), {{"x", {1}, x}}).ok());
  int num_files = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path(), path());
    ++num_files;
  }
  EXPECT_EQ(num_files, 1);
}

TEST_F(Safetensors, RefusesToWriteTensorsThatDoNotFit) {
  const std::vector<float> x = {1, 2};
  EXPECT_THAT(
      std::string(base::MessageOf(WriteSafetensors(path(), {{"x", {3}, x}}))),
      HasSubstr("2 values for shape [3]"));
  EXPECT_THAT(std::string(base::MessageOf(
                  WriteSafetensors(path(), {{"x", {2}, x}, {"x", {2}, x}}))),
              HasSubstr("'x': name is taken"));
  EXPECT_THAT(std::string(base::MessageOf(
                  WriteSafetensors(path(), {{"\xff", {2}, x}}))),
              HasSubstr("name is no UTF-8"));
  EXPECT_EQ(
      WriteSafetensors(folder_.path() / "no" / "x", {{"x", {2}, x}}).code(),
      absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace spar::models
