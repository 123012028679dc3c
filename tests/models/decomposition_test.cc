// Decomposition folders that are right: every kind of CI function and every
// family, written, read back and digested.
#include "models/decomposition/decomposition.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "models/decomposition/decomposable_modules.h"
#include "models/decomposition/decomposition_writer.h"
#include "models/digest.h"
#include "tests/models/decomposition_fixture.h"

namespace spar::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

std::vector<std::string> Names(const std::vector<DecomposedModule>& modules) {
  std::vector<std::string> names;
  for (const DecomposedModule& module : modules) names.push_back(module.name);
  return names;
}

std::vector<DecomposedModule> ModulesOf(const TinyModel& model) {
  const auto snapshot = OpenTiny(model);
  EXPECT_TRUE(snapshot.ok()) << snapshot.status();
  return DecomposableModules((*snapshot)->spec());
}

TEST(DecomposableModules, AreNamedAsTheCheckpointNamesThem) {
  EXPECT_THAT(
      Names(ModulesOf(TinyLlamaSimpleMlp())),
      ElementsAre("wte", "h.0.attn.q_proj", "h.0.attn.k_proj",
                  "h.0.attn.v_proj", "h.0.attn.o_proj", "h.0.mlp.c_fc",
                  "h.0.mlp.down_proj", "h.1.attn.q_proj", "h.1.attn.k_proj",
                  "h.1.attn.v_proj", "h.1.attn.o_proj", "h.1.mlp.c_fc",
                  "h.1.mlp.down_proj"));
  const std::vector<DecomposedModule> gpt2 =
      ModulesOf(TinyGpt2("transformer."));
  EXPECT_EQ(gpt2[1].name, "transformer.h.0.attn.c_attn");
  EXPECT_EQ(gpt2[1].site, ModuleSite::kQkv);
  EXPECT_EQ(gpt2[1].d_in, 12);
  EXPECT_EQ(gpt2[1].d_out, 36);
  EXPECT_EQ(gpt2[0].d_in, 7);
  EXPECT_EQ(gpt2[0].d_out, 12);
}

TEST(DecomposableModules, LeadBackToTheirWeights) {
  const auto snapshot = OpenTiny(TinyGpt2(""));
  ASSERT_TRUE(snapshot.ok());
  const DecoderSpec& spec = (*snapshot)->spec();
  for (const DecomposedModule& module : DecomposableModules(spec)) {
    const Affine whole = WholeWeight(spec, module);
    EXPECT_EQ(whole.weight.tensor, module.name + ".weight");
    EXPECT_EQ(whole.weight.parts, 1);
    const std::vector<int64_t>& stored =
        (*snapshot)->Tensor(whole.weight.tensor).shape;
    const std::vector<int64_t> linear = {module.d_out, module.d_in};
    const std::vector<int64_t> transposed = {module.d_in, module.d_out};
    EXPECT_EQ(stored, whole.weight.transposed ? transposed : linear)
        << module.name;
    EXPECT_EQ(whole.bias.present(), module.site != ModuleSite::kEmbedding);
  }
}

TEST_F(DecompositionFolder, ComesBackAsItWasWrittenForEveryKindAndFamily) {
  for (const auto& [kind, ci] : TinyCiSpecs()) {
    for (const TinyModel& model :
         {TinyLlamaSimpleMlp(), TinyLlamaSimple(), TinyGpt2("transformer."),
          TinyGptNeox(""), TinyGpt2Simple()}) {
      WriteTiny(model, ci);
      const auto opened = Open();
      ASSERT_TRUE(opened.ok()) << kind << ": " << opened.status();
      EXPECT_EQ((*opened)->spec(), written_->spec()) << kind;
      for (const auto& [name, shape] : DecompositionTensors(written_->spec())) {
        const TensorView& got = (*opened)->Tensor(name);
        EXPECT_EQ(got.shape, shape);
        EXPECT_TRUE(std::ranges::equal(got.bytes, written_->Tensor(name).bytes))
            << name;
      }
    }
  }
}

TEST_F(DecompositionFolder, DigestIsTheOneThatTheDocumentDefines) {
  WriteTiny(TinyLlamaSimpleMlp(), TinyCiSpecs()["global_reverse_residual"]);
  const auto opened = Open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::string text;
  for (const auto& [name, tensor] : Tensors()) {
    text += name + std::string(1, '\0') + "F32" + std::string(1, '\0') +
            absl::StrJoin(tensor.shape, ",") + std::string(1, '\0');
    text.append(reinterpret_cast<const char*>(tensor.values.data()),
                tensor.values.size() * sizeof(float));
  }
  const std::string weights = Sha256Hex(text);
  EXPECT_EQ((*opened)->weights_digest(), weights);
  Json config = ReadJson();
  config.erase("training");
  EXPECT_EQ((*opened)->digest(),
            Sha256Hex("{\"config\":" + config.dump() + ",\"weights\":\"" +
                      weights + "\"}"));
}

TEST_F(DecompositionFolder, NeitherOrderNorNotesChangeTheDigest) {
  WriteTiny(TinyLlamaSimpleMlp(), TinyCiSpecs()["shared_mlp"]);
  const auto before = Open();
  ASSERT_TRUE(before.ok()) << before.status();
  Json json = ReadJson();
  std::reverse(json["modules"].begin(), json["modules"].end());
  json["modules"][0]["alive"] = 3;
  json["training"] = {{"steps", 5}, {"loss", {1, 2.5}}};
  WriteJson(json);
  const auto after = Open();
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ((*after)->digest(), (*before)->digest());
  EXPECT_EQ((*after)->spec().modules.back().num_alive, 3);
  EXPECT_EQ((*after)->spec().modules[0].first_component, 0);
  EXPECT_EQ(Json::parse((*after)->spec().training_json), json["training"]);
  json["sigmoid"] = "normal";
  WriteJson(json);
  const auto other = Open();
  ASSERT_TRUE(other.ok());
  EXPECT_NE((*other)->digest(), (*before)->digest());
  EXPECT_EQ((*other)->weights_digest(), (*before)->weights_digest());
}

TEST_F(DecompositionFolder, DigestComesFromTheCacheTheSecondTime) {
  WriteTiny(TinyLlamaSimpleMlp(), TinyCiSpecs()["mlp"]);
  const TempFolder cache;
  SnapshotOptions options;
  options.cache_dir = cache.path() / "digests";
  const auto first = Decomposition::Open(path(), *target_, options);
  ASSERT_TRUE(first.ok());
  const auto entries = std::filesystem::directory_iterator(options.cache_dir);
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
  const auto second = Decomposition::Open(path(), *target_, options);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ((*first)->digest(), (*second)->digest());
}

TEST_F(DecompositionFolder, HoldsHalfPrecisionToo) {
  WriteTiny(TinyLlamaSimpleMlp(), TinyCiSpecs()["mlp"]);
  for (const std::string dtype : {"F16", "BF16"}) {
    Json header;
    std::string data;
    for (const auto& [name, tensor] : Tensors()) {
      const size_t begin = data.size();
      data.append(tensor.values.size() * 2, '\0');
      header[name] = {{"dtype", dtype},
                      {"shape", tensor.shape},
                      {"data_offsets", {begin, data.size()}}};
    }
    WriteText(path() / "decomposition.safetensors",
              TensorFile(header.dump(), data));
    const auto opened = Open();
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ((*opened)->Tensor("components.wte.V").dtype,
              dtype == "F16" ? Dtype::kFloat16 : Dtype::kBfloat16);
  }
}

TEST_F(DecompositionFolder, OpensFromSeveralFiles) {
  WriteTiny(TinyLlamaSimpleMlp(), TinyCiSpecs()["mlp"]);
  const auto whole = Open();
  ASSERT_TRUE(whole.ok());
  TinyTensors parts[2];
  Json index;
  for (const auto& [name, tensor] : Tensors()) {
    const size_t part = name.starts_with("ci.") ? 1 : 0;
    parts[part][name] = tensor;
    index["weight_map"][name] = base::Cat("part-", part, ".safetensors");
  }
  std::filesystem::remove(path() / "decomposition.safetensors");
  WriteText(path() / "part-0.safetensors", TensorFile(parts[0]));
  WriteText(path() / "part-1.safetensors", TensorFile(parts[1]));
  WriteText(path() / "decomposition.safetensors.index.json", index.dump());
  const auto sharded = Open();
  ASSERT_TRUE(sharded.ok()) << sharded.status();
  EXPECT_EQ((*sharded)->digest(), (*whole)->digest());
}

TEST_F(DecompositionFolder, WriterRefusesTensorsThatAreNotTheSpecs) {
  WriteTiny(TinyLlamaSimpleMlp(), TinyCiSpecs()["mlp"]);
  const TinyTensors tensors = Tensors();
  const auto write = [&](const TinyTensors& some) {
    std::vector<NamedTensor> named;
    for (const auto& [name, tensor] : some) {
      named.push_back(
          {.name = name, .shape = tensor.shape, .values = tensor.values});
    }
    const TempFolder out;
    return std::string(base::MessageOf(
        WriteDecomposition(out.path() / "new", written_->spec(), named)));
  };
  EXPECT_EQ(write(tensors), "");
  TinyTensors wrong = tensors;
  wrong.erase("components.wte.U");
  EXPECT_THAT(write(wrong), HasSubstr("'components.wte.U' is missing"));
  wrong = tensors;
  wrong["components.wte.W"] = tensors.at("components.wte.U");
  EXPECT_THAT(write(wrong), HasSubstr("'components.wte.W' is not part"));
  wrong = tensors;
  wrong["components.wte.U"].shape = {12, 6};
  EXPECT_THAT(write(wrong), HasSubstr("has shape [12,6], want [6,12]"));
}

}  // namespace
}  // namespace spar::models
