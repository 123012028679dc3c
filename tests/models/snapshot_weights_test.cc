// The tensors of a folder: where they may lie and what they may hold.
#include <cstring>
#include <limits>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include <sys/stat.h>

#include "base/status.h"
#include "models/digest.h"
#include "tests/models/snapshot_fixture.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

using SnapshotWeights = SnapshotFolder;

TEST_F(SnapshotWeights, SayWhatIsMissing) {
  const auto no_folder = Snapshot::Open(path() / "nowhere", SnapshotOptions{});
  EXPECT_EQ(no_folder.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(), HasSubstr("config.json"));
  WriteText(path() / "config.json", TinyLlama("model.").config.dump());
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(), HasSubstr("has neither model.safetensors nor"));
  EXPECT_EQ(base::DetailOf(Open().status())->reason, "BAD_MODEL");
}

TEST_F(SnapshotWeights, OpenFromSeveralFilesAsFromOne) {
  const TinyModel model = TinyGpt2("transformer.");
  const auto whole = OpenTiny(model);
  ASSERT_TRUE(whole.ok()) << whole.status();
  WriteSharded(model);
  EXPECT_EQ(Digest(), (*whole)->weights_digest());
}

TEST_F(SnapshotWeights, OpenFromTheHubsFolderOfLinks) {
  const TinyModel model = TinyGpt2("");
  WriteSharded(model);
  const std::filesystem::path snapshot = path() / "snapshots" / "0123abcd";
  const std::filesystem::path blobs = path() / "blobs";
  std::filesystem::create_directories(snapshot);
  std::filesystem::create_directory(blobs);
  for (const char* name : {"config.json", "model.safetensors.index.json",
                           "part-0.safetensors", "part-1.safetensors"}) {
    const std::string blob = Sha256Hex(name);
    std::filesystem::rename(path() / name, blobs / blob);
    std::filesystem::create_symlink(std::filesystem::path("../../blobs") / blob,
                                    snapshot / name);
  }
  const auto opened = Snapshot::Open(snapshot, SnapshotOptions{});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->spec().layers[0].attention_module, "h.0.attn");
  std::filesystem::remove(blobs / Sha256Hex("part-1.safetensors"));
  const auto dangling = Snapshot::Open(snapshot, SnapshotOptions{});
  EXPECT_EQ(dangling.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(SnapshotWeights, RefuseIndexEntriesThatLeaveTheFolder) {
  const Json index = WriteSharded(TinyGpt2(""));
  const TempFolder outside;
  std::filesystem::copy(path() / "part-0.safetensors",
                        outside.path() / "part-0.safetensors");
  const std::string absolute = (outside.path() / "part-0.safetensors").string();
  for (const std::string& entry :
       {absolute, std::string("../part-0.safetensors"), std::string(".."),
        std::string("./part-0.safetensors"), std::string(""),
        std::string("a\\part-0.safetensors"), std::string("config.json"),
        std::string("part-0.safetensors\0.safetensors", 31),
        std::string("sub/part-0.safetensors")}) {
    Json hostile = index;
    hostile["weight_map"]["h.0.ln_1.bias"] = entry;
    WriteIndex(hostile);
    EXPECT_THAT(Message(), AllOf(HasSubstr("weight_map field 'h.0.ln_1.bias'"),
                                 HasSubstr("want a plain file name")))
        << entry;
  }
  Json hostile = index;
  hostile["weight_map"]["h.0.ln_1.bias"] = 3;
  WriteIndex(hostile);
  EXPECT_THAT(Message(), HasSubstr("want a plain file name"));
}

TEST_F(SnapshotWeights, RefuseAnIndexThatDisagreesWithItsFiles) {
  const Json index = WriteSharded(TinyGpt2(""));
  Json wrong = index;
  wrong["weight_map"]["h.9.ln_1.bias"] = "part-0.safetensors";
  WriteIndex(wrong);
  EXPECT_THAT(Message(), HasSubstr("'h.9.ln_1.bias' is not in "));
  wrong = index;
  wrong["weight_map"]["wte.weight"] = "part-0.safetensors";
  WriteIndex(wrong);
  EXPECT_THAT(Message(),
              HasSubstr("'wte.weight' is not in 'part-0.safetensors'"));
  wrong = index;
  wrong["weight_map"].erase("wte.weight");
  WriteIndex(wrong);
  EXPECT_THAT(Message(), HasSubstr("'wte.weight' is not in the index"));
  wrong = index;
  wrong["weight_map"]["wte.weight"] = "part-9.safetensors";
  WriteIndex(wrong);
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(), HasSubstr("part-9.safetensors"));
  WriteText(path() / "model.safetensors.index.json", "{\"weight_map\":{}}");
  EXPECT_THAT(Message(), HasSubstr("weight_map is missing, empty"));
}

TEST_F(SnapshotWeights, RefuseATensorThatLiesInTwoFiles) {
  const TinyModel model = TinyGpt2("");
  WriteSharded(model);
  TinyTensors first;
  size_t count = 0;
  for (const auto& [name, tensor] : model.tensors) {
    if (2 * count++ / model.tensors.size() == 0) first[name] = tensor;
  }
  first["wte.weight"] = model.tensors.at("wte.weight");
  WriteText(path() / "part-0.safetensors", TensorFile(first));
  EXPECT_THAT(Message(), HasSubstr("'wte.weight' is also in part-0"));
}

TEST_F(SnapshotWeights, AreNeverReadFromAPipe) {
  TinyGpt2("").Write(path());
  std::filesystem::remove(path() / "model.safetensors");
  ASSERT_EQ(mkfifo((path() / "model.safetensors").c_str(), 0600), 0);
  EXPECT_THAT(Message(), HasSubstr("is not a regular file"));
}

TEST_F(SnapshotWeights, MayBeNamedWithoutTheFamilysPrefix) {
  for (const char* prefix : {"", "transformer."}) {
    TinyGpt2(prefix).Write(path());
    const auto opened = Open();
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ((*opened)->spec().layers[1].mlp_module,
              base::Cat(prefix, "h.1.mlp"));
  }
  for (const TinyModel& model :
       {TinyGptNeox(""), TinyLlama(""), TinyQwen2("")}) {
    EXPECT_EQ(Refusal(model), "opened");
  }
  TinyModel both = TinyGpt2("transformer.");
  both.Add("wte.weight", {7, 12});
  EXPECT_THAT(Refusal(both), HasSubstr("'wte.weight' is not part of"));
}

TEST_F(SnapshotWeights, MayLieBesideKnownBuffers) {
  TinyModel gpt2 = TinyGpt2("");
  gpt2.Add("h.0.attn.bias", {1, 1, 16, 16});
  gpt2.Add("h.1.attn.masked_bias", {});
  EXPECT_EQ(Refusal(gpt2), "opened");
  TinyModel neox = TinyGptNeox("gpt_neox.");
  neox.Add("gpt_neox.layers.0.attention.bias", {1, 1, 16, 16});
  neox.Add("gpt_neox.layers.0.attention.masked_bias", {});
  neox.Add("gpt_neox.layers.1.attention.rotary_emb.inv_freq", {1});
  EXPECT_EQ(Refusal(neox), "opened");
  TinyModel llama = TinyLlama("model.");
  llama.Add("model.layers.0.self_attn.rotary_emb.inv_freq", {3});
  EXPECT_EQ(Refusal(llama), "opened");

  for (const char* name :
       {"h.2.attn.bias", "h.-1.attn.bias", "h.00.attn.bias", "h..attn.bias",
        "h.0x.attn.bias", "transformer.h.0.attn.bias", "h.0.attn.biases",
        "h.99999999999999999999.attn.bias"}) {
    TinyModel model = TinyGpt2("");
    model.Add(name, {1});
    EXPECT_THAT(Refusal(model), HasSubstr("is not part of")) << name;
  }
}

TEST_F(SnapshotWeights, MayHoldBuffersOfAnyDtypeButNoSuchWeight) {
  for (const char* dtype : {"BOOL", "F64", "I32"}) {
    const TinyModel model = TinyGpt2("");
    std::string file = TensorFile(model.tensors);
    model.Write(path());
    Json header = Json::parse(file.substr(8, file.find("}}") - 6));
    const std::string data = file.substr(file.find("}}") + 2);
    const size_t size = std::string(dtype) == "BOOL"  ? 1
                        : std::string(dtype) == "F64" ? 8
                                                      : 4;
    // Every tensor holds a multiple of 8 bytes.
    header["h.0.attn.bias"] = {
        {"dtype", dtype},
        {"shape", {16 / size}},
        {"data_offsets", {data.size(), data.size() + 16}}};
    WriteText(path() / "model.safetensors",
              TensorFile(header.dump(), data + std::string(16, '\1')));
    EXPECT_EQ(Message(), "opened") << dtype;
    std::swap(header["h.0.attn.bias"], header["h.0.ln_1.bias"]);
    WriteText(path() / "model.safetensors",
              TensorFile(header.dump(), data + std::string(16, '\1')));
    EXPECT_THAT(Message(),
                HasSubstr(base::Cat("'h.0.ln_1.bias' has dtype ", dtype)));
  }
}

TEST_F(SnapshotWeights, MayStoreATiedHeadThatEqualsTheEmbedding) {
  TinyModel model = TinyGpt2("transformer.");
  const auto without = OpenTiny(model);
  model.tensors["lm_head.weight"] = model.tensors["transformer.wte.weight"];
  const auto with = OpenTiny(model);
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ((*with)->digest(), (*without)->digest());
  model.tensors["lm_head.weight"].values[80] += 0.5f;
  EXPECT_THAT(Refusal(model),
              HasSubstr("'lm_head.weight' differs from "
                        "'transformer.wte.weight', but the config ties them"));
}

TEST_F(SnapshotWeights, HaveAHeadOfTheirOwnWhenUntied) {
  TinyModel model = TinyGpt2("transformer.");
  model.config["tie_word_embeddings"] = false;
  EXPECT_THAT(Refusal(model), HasSubstr("'lm_head.weight' is missing"));
  model.Add("lm_head.weight", {7, 12});
  const auto opened = OpenTiny(model);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->spec().unembedding.weight.tensor, "lm_head.weight");
}

TEST_F(SnapshotWeights, NameBothShapesWhenTheyDiffer) {
  TinyModel model = TinyLlama("model.");
  model.Add("model.layers.1.mlp.up_proj.weight", {12, 20});
  EXPECT_THAT(Refusal(model),
              HasSubstr("'model.layers.1.mlp.up_proj.weight' has shape "
                        "[12,20], the config wants [20,12]"));
}

// A single-tensor stand-in: lm_head of the llama in another dtype.
std::string WithHead(const TinyModel& model,
                     const char* dtype,
                     const std::vector<uint16_t>& bits) {
  TinyModel rest = model;
  rest.tensors.erase("lm_head.weight");
  const std::string file = TensorFile(rest.tensors);
  Json header = Json::parse(file.substr(8, file.find("}}") - 6));
  std::string data = file.substr(file.find("}}") + 2);
  const size_t begin = data.size();
  data.append(reinterpret_cast<const char*>(bits.data()), 2 * bits.size());
  header["lm_head.weight"] = {{"dtype", dtype},
                              {"shape", {7, 12}},
                              {"data_offsets", {begin, data.size()}}};
  return TensorFile(header.dump(), data);
}

TEST_F(SnapshotWeights, MayMixDtypes) {
  const TinyModel model = TinyLlama("model.");
  model.Write(path());
  WriteText(path() / "model.safetensors",
            WithHead(model, "BF16", std::vector<uint16_t>(84, 0x3f80)));
  const auto opened = Open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->Tensor("lm_head.weight").dtype, Dtype::kBfloat16);
  EXPECT_EQ((*opened)->Tensor("model.norm.weight").dtype, Dtype::kFloat32);
}

TEST_F(SnapshotWeights, MustBeFiniteInEveryDtype) {
  const TinyModel model = TinyLlama("model.");
  model.Write(path());
  struct HalfCase {
    const char* dtype = "";
    uint16_t bits = 0;
  };
  for (const HalfCase& bad :
       {HalfCase{"BF16", 0x7f80}, HalfCase{"BF16", 0xffc1},
        HalfCase{"F16", 0x7c00}, HalfCase{"F16", 0xfe00}}) {
    std::vector<uint16_t> bits(84, 0x3c00);
    bits[61] = bad.bits;
    WriteText(path() / "model.safetensors", WithHead(model, bad.dtype, bits));
    EXPECT_THAT(Message(),
                HasSubstr("'lm_head.weight' holds NaN or infinity at flat "
                          "index 61"));
  }
  for (const uint32_t bits : {0x7f800000u, 0xff800000u, 0x7fc00000u}) {
    TinyModel hostile = model;
    std::memcpy(&hostile.tensors["model.norm.weight"].values[7], &bits, 4);
    EXPECT_THAT(Refusal(hostile),
                HasSubstr("'model.norm.weight' holds NaN or infinity at flat "
                          "index 7"));
  }
  // The largest finite numbers are fine.
  WriteText(path() / "model.safetensors",
            WithHead(model, "F16", std::vector<uint16_t>(84, 0xfbff)));
  EXPECT_EQ(Message(), "opened");
  WriteText(path() / "model.safetensors",
            WithHead(model, "BF16", std::vector<uint16_t>(84, 0x7f7f)));
  EXPECT_EQ(Message(), "opened");
}

TEST_F(SnapshotWeights, NameTheFlatIndexBeyondTheFirstPiece) {
  TinyModel model = TinyGpt2("");
  model.config["vocab_size"] = 20000;
  model.Add("wte.weight", {20000, 12});
  model.tensors["wte.weight"].values[200003] =
      std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(Refusal(model),
              HasSubstr("'wte.weight' holds NaN or infinity at flat index "
                        "200003"));
}

}  // namespace
}  // namespace spar::models
