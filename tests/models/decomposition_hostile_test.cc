// Decomposition folders that are wrong: each is refused with the file, the
// field or tensor, and the numbers.
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/splitmix64.h"
#include "tests/models/decomposition_fixture.h"

namespace spar::models {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class HostileDecomposition : public DecompositionFolder {
 protected:
  void SetUp() override { Use("global_shared_transformer"); }

  void Use(const std::string& kind) {
    WriteTiny(TinyLlamaSimpleMlp(), TinyCiSpecs().at(kind));
  }

  // The refusal after the field at `pointer` became `value`.
  std::string With(const std::string& pointer, const Json& value) {
    Json json = ReadJson();
    const Json kept = json;
    json[Json::json_pointer(pointer)] = value;
    WriteJson(json);
    const std::string message = Message();
    WriteJson(kept);
    return message;
  }

  std::string Without(const std::string& pointer) {
    Json json = ReadJson();
    const Json kept = json;
    const Json::json_pointer at(pointer);
    json.at(at.parent_pointer()).erase(at.back());
    WriteJson(json);
    const std::string message = Message();
    WriteJson(kept);
    return message;
  }
};

TEST_F(HostileDecomposition, SaysWhatIsMissing) {
  EXPECT_EQ(Message(), "opened");
  const auto nowhere =
      Decomposition::Open(path() / "nowhere", *target_, SnapshotOptions{});
  EXPECT_EQ(nowhere.status().code(), absl::StatusCode::kNotFound);
  std::filesystem::remove(path() / "decomposition.safetensors");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(), HasSubstr("neither decomposition.safetensors nor"));
  std::filesystem::remove(path() / "decomposition.json");
  EXPECT_EQ(Open().status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(base::DetailOf(Open().status())->reason, "BAD_MODEL");
}

TEST_F(HostileDecomposition, RefusesAnotherModelsWeights) {
  const auto other = OpenTiny([] {
    TinyModel model = TinyLlamaSimpleMlp();
    model.tensors["ln_f.weight"].values[0] += 1;
    return model;
  }());
  ASSERT_TRUE(other.ok());
  const auto opened = Decomposition::Open(path(), **other, SnapshotOptions{});
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(base::MessageOf(opened.status())),
              AllOf(HasSubstr(target_->weights_digest()),
                    HasSubstr((*other)->weights_digest())));
}

TEST_F(HostileDecomposition, RefusesFieldsByNameAndNumber) {
  const struct {
    std::string pointer;
    Json value;
    std::string wants;
  } cases[] = {
      {"/format", "spar", "field 'format' is 'spar': want 'spar-decomp"},
      {"/version", 2, "field 'version' is 2, want a whole number in [1, 1]"},
      {"/target", 3, "field 'target.weights_digest' is missing"},
      {"/target/weights_digest", "ABC", "want 64 lower-case hexadecimal"},
      {"/extra", 1, "field 'extra' is 1: not a field of this format"},
      {"/architectures", Json::array(), "field 'architectures'"},
      {"/modules", 3, "want an array of at most"},
      {"/modules", Json::array(), "none is there"},
      {"/modules/0", 3, "want an array of at most"},
      {"/modules/2/name", "h.0.attn.nope", "'modules[2].name'"},
      {"/modules/2/name", "lm_head", "no such module"},
      {"/modules/2/name", "h.0.attn.q_proj", "occurs twice"},
      {"/modules/2/name", 7, "'modules[2].name' is 7, want a string"},
      {"/modules/2/d_in", 13, "'modules[2].d_in' is 13: the model's is 12"},
      {"/modules/2/d_out", 13, "'modules[2].d_out' is 13: the model's is"},
      {"/modules/2/components", 0, "want a whole number in [1, 1048576]"},
      {"/modules/2/components", 1e30, "want a whole number"},
      {"/modules/2/components", -1, "'modules[2].components' is -1"},
      {"/modules/2/alive", 4, "'modules[2].alive' is 4, want a whole number"},
      {"/modules/2/color", "red", "'modules[2].color' is 'red'"},
      {"/ci", "mlp", "field 'ci' is 'mlp': want an object"},
      {"/ci/kind", "magic", "known are mlp, vector_mlp"},
      {"/ci/hidden", 3, "'ci.hidden' is 3, want an array"},
      {"/ci/hidden", Json::array(), "needs at least one width"},
      {"/ci/hidden/0", -1, "'ci.hidden'"},
      {"/ci/hidden/0", 18446744073709551615u, "'ci.hidden'"},
      {"/ci/hidden", Json(17, 3), "at most 16 whole numbers"},
      {"/ci/width", 9, "'ci.attention.heads' is 2: want heads of an even"},
      {"/ci/width", 1 << 20, "'ci.width' is 1048576"},
      {"/ci/blocks", 0, "'ci.blocks' is 0"},
      {"/ci/attention", 3, "'ci.attention.heads' is missing"},
      {"/ci/attention/rope_base", 0, "'ci.attention.rope_base' is 0"},
      {"/ci/attention/max_positions", -3, "'ci.attention.max_positions'"},
      {"/ci/groups", Json::array(), "'ci.groups'"},
      {"/sigmoid", "soft", "'sigmoid' is 'soft': known are leaky_hard"},
      {"/sampling", Json(), "'sampling' is missing"},
      {"/delta", 1, "'delta' is 1, want true or false"},
      {"/training", 3, "'training' is not an object"},
  };
  for (const auto& test : cases) {
    EXPECT_THAT(With(test.pointer, test.value),
                AllOf(HasSubstr("decomposition.json"), HasSubstr(test.wants)))
        << test.pointer;
  }
  for (const char* pointer :
       {"/format", "/version", "/target", "/modules", "/ci", "/sigmoid",
        "/sampling", "/delta", "/modules/0/components", "/ci/kind",
        "/ci/hidden", "/ci/width", "/ci/blocks", "/ci/attention"}) {
    EXPECT_THAT(Without(pointer), HasSubstr("field '")) << pointer;
  }
}

TEST_F(HostileDecomposition, RefusesTooManySubcomponentsTogether) {
  Json json = ReadJson();
  ASSERT_EQ(json["modules"].size(), 13u);
  for (Json& module : json["modules"]) module["components"] = 1 << 20;
  WriteJson(json);
  EXPECT_THAT(Message(), HasSubstr("together 13631488 subcomponents, at most "
                                   "8388608"));
}

TEST_F(HostileDecomposition, RefusesGroupsThatAreNoPartition) {
  Use("global_reverse_residual");
  EXPECT_EQ(Message(), "opened");
  EXPECT_THAT(With("/ci/groups", Json::array()),
              HasSubstr("holds 0 of the 13 modules"));
  EXPECT_THAT(With("/ci/groups/0/modules/0", "h.7.mlp"),
              HasSubstr("'h.7.mlp' is no module here"));
  EXPECT_THAT(With("/ci/groups/0/modules/0", "wte"), HasSubstr("occurs twice"));
  EXPECT_THAT(With("/ci/groups/0/modules", Json::array()),
              HasSubstr("want at least one name"));
  EXPECT_THAT(With("/ci/groups/0/name", 1),
              HasSubstr("'ci.groups[0].name' is 1"));
  Json groups = ReadJson()["ci"]["groups"];
  groups.erase(2);
  EXPECT_THAT(With("/ci/groups", groups), HasSubstr("holds 12 of the 13"));
}

TEST_F(HostileDecomposition, RefusesAnEmbeddingWhereTheKindReadsInputs) {
  EXPECT_THAT(With("/ci", {{"kind", "shared_mlp"}, {"hidden", {3}}}),
              HasSubstr("the embedding's are token ids"));
}

TEST_F(HostileDecomposition, RefusesTextThatIsNoJsonObject) {
  for (const std::string text :
       {"", "[]", "{", "{\"format\":1,\"format\":1}", "{\"a\":1e999}", "nul"}) {
    WriteText(path() / "decomposition.json", text);
    EXPECT_EQ(Open().status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(), HasSubstr("decomposition.json: ")) << text;
  }
  WriteText(path() / "decomposition.json", std::string((16 << 20) + 1, ' '));
  EXPECT_THAT(Message(), HasSubstr("has 16777217 bytes, at most 16777216"));
}

TEST_F(HostileDecomposition, RefusesTensorsByNameAndNumber) {
  const TinyTensors good = Tensors();
  const std::string name = "components.h.1.mlp.c_fc.V";
  TinyTensors wrong = good;
  wrong.erase(name);
  WriteTensors(wrong);
  EXPECT_THAT(Message(),
              HasSubstr("'" + name + "' is missing, want shape [8,1"));
  wrong = good;
  wrong["components.h.9.mlp.c_fc.V"] = good.at(name);
  WriteTensors(wrong);
  EXPECT_THAT(Message(), HasSubstr("'components.h.9.mlp.c_fc.V' is not part"));
  wrong = good;
  std::swap(wrong[name].shape[0], wrong[name].shape[1]);
  WriteTensors(wrong);
  EXPECT_THAT(Message(), HasSubstr("has shape [12,8], decomposition.json wants "
                                   "[8,12]"));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          -std::numeric_limits<float>::infinity()}) {
    wrong = good;
    wrong["ci.output.bias"].values[5] = bad;
    WriteTensors(wrong);
    EXPECT_THAT(Message(), HasSubstr("'ci.output.bias' holds NaN or infinity "
                                     "at flat index 5"));
  }
}

TEST_F(HostileDecomposition, RefusesOtherDtypes) {
  const TinyTensors good = Tensors();
  Json header;
  std::string data;
  for (const auto& [name, tensor] : good) {
    const size_t begin = data.size();
    data.append(tensor.values.size() * 4, '\0');
    header[name] = {{"dtype", name == "components.wte.V" ? "I32" : "F32"},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  WriteText(path() / "decomposition.safetensors",
            TensorFile(header.dump(), data));
  EXPECT_THAT(Message(), HasSubstr("has dtype I32, want F32, F16 or BF16"));
}

TEST_F(HostileDecomposition, RefusesIndexEntriesThatLeaveTheFolder) {
  std::filesystem::rename(path() / "decomposition.safetensors",
                          path() / "part.safetensors");
  Json index;
  for (const auto& [name, tensor] : Tensors()) {
    index["weight_map"][name] = "part.safetensors";
  }
  const std::filesystem::path file =
      path() / "decomposition.safetensors.index.json";
  WriteText(file, index.dump());
  EXPECT_EQ(Message(), "opened");
  for (const char* entry : {"../part.safetensors", "/etc/passwd", "..",
                            "sub/part.safetensors", ""}) {
    Json hostile = index;
    hostile["weight_map"]["components.wte.U"] = entry;
    WriteText(file, hostile.dump());
    EXPECT_THAT(Message(),
                AllOf(HasSubstr("weight_map field 'components.wte.U'"),
                      HasSubstr("want a plain file name")))
        << entry;
  }
}

// Whatever the bytes, Open answers.
TEST_F(HostileDecomposition, LivesThroughDamageAnywhere) {
  for (const char* name : {"decomposition.json", "decomposition.safetensors"}) {
    const std::string good = ReadText(path() / name);
    uint64_t state = 1;
    for (int i = 0; i < 400; ++i) {
      std::string bad = good;
      state = base::SplitMix64(state);
      if (i % 4 == 3) {
        bad.resize(state % bad.size());
      } else {
        const size_t limit = std::min<size_t>(bad.size(), 4096);
        bad[state % limit] = static_cast<char>(state >> 32);
      }
      WriteText(path() / name, bad);
      const auto opened = Open();
      if (!opened.ok()) {
        EXPECT_EQ(base::DetailOf(opened.status())->reason, "BAD_MODEL");
      }
    }
    WriteText(path() / name, good);
  }
  EXPECT_EQ(Message(), "opened");
}

}  // namespace
}  // namespace spar::models
