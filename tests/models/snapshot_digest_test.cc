// The digests of a model, their cache, and its units.
#include <limits>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/status.h"
#include "models/digest.h"
#include "tests/models/snapshot_fixture.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {
namespace {

using ::testing::HasSubstr;

using SnapshotDigest = SnapshotFolder;

TEST_F(SnapshotDigest, IsWhatItsDefinitionSays) {
  const TinyModel model = TinyGpt2("transformer.");
  model.Write(path());
  std::string hashed;
  for (const auto& [name, tensor] : model.tensors) {
    hashed += name;
    hashed += '\0';
    hashed += "F32";
    hashed += '\0';
    hashed += absl::StrJoin(tensor.shape, ",");
    hashed += '\0';
    hashed.append(reinterpret_cast<const char*>(tensor.values.data()),
                  4 * tensor.values.size());
  }
  const auto opened = Open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->weights_digest(), Sha256Hex(hashed));
  EXPECT_EQ((*opened)->digest(),
            Sha256Hex(base::Cat("{\"config\":", (*opened)->config_json(),
                                ",\"weights\":\"", Sha256Hex(hashed), "\"}")));
}

TEST_F(SnapshotDigest, IgnoresFieldsThatDoNotMatter) {
  TinyModel model = TinyGpt2("transformer.");
  const auto before = OpenTiny(model);
  model.config["initializer_range"] = 0.5;
  model.config["_name_or_path"] = "/somewhere/else";
  const auto same = OpenTiny(model);
  model.config["layer_norm_epsilon"] = 1e-6;
  const auto other = OpenTiny(model);
  ASSERT_TRUE(before.ok() && same.ok() && other.ok());
  EXPECT_EQ((*before)->digest(), (*same)->digest());
  EXPECT_NE((*before)->digest(), (*other)->digest());
  EXPECT_EQ((*before)->weights_digest(), (*other)->weights_digest());
}

TEST_F(SnapshotDigest, CoversTheConfigAsCanonicalJson) {
  const auto opened = OpenTiny(TinyLlamaSimpleMlp());
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(
      (*opened)->config_json(),
      R"({"activation":"gelu_tanh","attention_scales":[0.4082482904638631,)"
      R"(0.4082482904638631],"context_length":16,"family":"llama_simple_mlp",)"
      R"("gated_mlp":false,"head_dim":6,"mlp_width":20,"norm":"rms_norm",)"
      R"("norm_epsilon":1e-06,"num_heads":2,"num_kv_heads":1,"num_layers":2,)"
      R"("parallel_residual":false,"rotary":{"adjacent_pairs":false,"dim":6,)"
      R"("theta":10000.0},"sliding_windows":[0,0],"tied_embeddings":true,)"
      R"("vocab_size":7,"width":12})");
}

TEST_F(SnapshotDigest, IsTakenFromTheCacheWhenItIsThere) {
  TinyGpt2("").Write(path());
  const std::string digest = Digest();
  const std::string entry = ReadText(CacheEntry());
  ASSERT_THAT(entry, HasSubstr(digest));
  // An entry that is whole but says another digest proves that it is used.
  const std::string other(64, 'a');
  std::string forged = entry.substr(0, entry.size() - 65);
  forged.replace(forged.find(digest), 64, other);
  WriteText(CacheEntry(), base::Cat(forged, Sha256Hex(forged), "\n"));
  EXPECT_EQ(Digest(), other);
}

TEST_F(SnapshotDigest, IgnoresAndReplacesADamagedCacheEntry) {
  TinyGpt2("").Write(path());
  const std::string digest = Digest();
  const std::string entry = ReadText(CacheEntry());
  std::string flipped = entry;
  const size_t at = flipped.find(digest) + 5;
  flipped[at] = flipped[at] == '0' ? '1' : '0';
  for (const std::string& damaged :
       {std::string(), entry.substr(0, entry.size() / 2), flipped,
        std::string(10000, 'x'), entry + "more"}) {
    WriteText(CacheEntry(), damaged);
    EXPECT_EQ(Digest(), digest);
    EXPECT_EQ(ReadText(CacheEntry()), entry);
  }
}

TEST_F(SnapshotDigest, IsComputedAgainWhenAFileChanged) {
  TinyModel model = TinyGpt2("");
  model.Write(path());
  const std::string before = Digest();
  model.tensors["wte.weight"].values[0] += 1;
  model.Write(path());
  EXPECT_NE(Digest(), before);
  model.tensors["wte.weight"].values[0] =
      std::numeric_limits<float>::infinity();
  model.Write(path());
  EXPECT_THAT(Message(), HasSubstr("flat index 0"));
}

TEST_F(SnapshotDigest, NeedsNoUsableCacheFolder) {
  TinyGpt2("").Write(path());
  WriteText(cache_.path() / "digests", "a file where the folder should be");
  EXPECT_EQ(Message(), "opened");
}

TEST(UnitTableOfASpec, CountsTheParametersOfHeadsAndNeurons) {
  const auto gpt2 = OpenTiny(TinyGpt2(""));
  ASSERT_TRUE(gpt2.ok()) << gpt2.status();
  const UnitTable of_gpt2 = MakeUnitTable((*gpt2)->spec());
  // q, k, v rows of 12 with a bias each, o columns of 12.
  EXPECT_EQ(of_gpt2.Parameters(0), 6 * (3 * 13 + 12));
  EXPECT_EQ(of_gpt2.Parameters(2), 13 + 12);

  const auto qwen2 = OpenTiny(TinyQwen2("model."));
  ASSERT_TRUE(qwen2.ok()) << qwen2.status();
  const UnitTable of_qwen2 = MakeUnitTable((*qwen2)->spec());
  // Two heads share one head of k and v.
  EXPECT_EQ(of_qwen2.Parameters(1), 6 * (13 + 12) + 6 * 2 * 13 / 2);
  EXPECT_EQ(of_qwen2.Parameters(2), 3 * 12);
}

}  // namespace
}  // namespace spar::models
