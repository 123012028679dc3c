// Every family: its spec in both spellings of config.json, its defaults, its
// checkpoint's names.
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "base/status.h"
#include "models/snapshot/family.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;

struct FamilyCase {
  const char* name = "";
  TinyModel (*make)() = nullptr;
  // What the newer spelling puts in place of the older; null removes.
  const char* newer = "{}";
  const char* attention_module = "";
  const char* mlp_module = "";
};

const FamilyCase kCases[] = {
    {"gpt2", [] { return TinyGpt2("transformer."); },
     R"({"n_ctx":null,"n_inner":null,"scale_attn_weights":true,
         "reorder_and_upcast_attn":false,"add_cross_attention":false,
         "tie_word_embeddings":true,"dtype":"float32","pad_token_id":null})",
     "transformer.h.1.attn", "transformer.h.1.mlp"},
    {"gpt_neox", [] { return TinyGptNeox("gpt_neox."); },
     R"({"rotary_pct":null,"rotary_emb_base":null,"attention_bias":true,
         "rope_parameters":{"rope_type":"default","rope_theta":10000.0,
                            "partial_rotary_factor":0.34}})",
     "gpt_neox.layers.1.attention", "gpt_neox.layers.1.mlp"},
    {"llama", [] { return TinyLlama("model."); },
     R"({"rope_theta":null,"rope_scaling":null,"head_dim":6,"mlp_bias":false,
         "attention_bias":false,"torch_dtype":null,"dtype":"float32",
         "rope_parameters":{"rope_type":"default","rope_theta":10000.0}})",
     "model.layers.1.self_attn", "model.layers.1.mlp"},
    {"mistral", [] { return TinyMistral("model."); },
     R"({"rope_theta":null,"head_dim":6,
         "rope_parameters":{"rope_type":"default","rope_theta":10000.0}})",
     "model.layers.1.self_attn", "model.layers.1.mlp"},
    {"qwen2", [] { return TinyQwen2("model."); },
     R"({"rope_theta":null,
         "layer_types":["full_attention","sliding_attention"],
         "rope_parameters":{"rope_type":"default","rope_theta":10000.0}})",
     "model.layers.1.self_attn", "model.layers.1.mlp"},
    {"llama_simple", TinyLlamaSimple, "{}", "h.1.attn", "h.1.mlp"},
    {"llama_simple_mlp", TinyLlamaSimpleMlp, "{}", "h.1.attn", "h.1.mlp"},
    {"gpt2_simple", TinyGpt2Simple, "{}", "h.1.attn", "h.1.mlp"},
};

class EveryFamily : public ::testing::TestWithParam<FamilyCase> {};

TEST_P(EveryFamily, OpensWithItsSizesAndNames) {
  const auto snapshot = OpenTiny(GetParam().make());
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  const DecoderSpec& spec = (*snapshot)->spec();
  EXPECT_EQ(spec.family, GetParam().name);
  EXPECT_EQ(spec.num_layers, 2);
  EXPECT_EQ(spec.width, 12);
  EXPECT_EQ(spec.num_heads, 2);
  EXPECT_EQ(spec.head_dim, 6);
  EXPECT_EQ(spec.vocab_size, 7);
  EXPECT_EQ(spec.context_length, 16);
  ASSERT_EQ(spec.layers.size(), 2u);
  EXPECT_EQ(spec.layers[1].attention_module, GetParam().attention_module);
  EXPECT_EQ(spec.layers[1].mlp_module, GetParam().mlp_module);
  EXPECT_DOUBLE_EQ(spec.layers[1].attention_scale, 1 / std::sqrt(6.0));
  const TensorView& embedding =
      (*snapshot)->Tensor(spec.token_embedding.tensor);
  EXPECT_EQ(embedding.bytes.size(), 7u * 12 * 4);
}

TEST_P(EveryFamily, OpensAlikeInTheNewerSpelling) {
  TinyModel model = GetParam().make();
  const auto older = OpenTiny(model);
  ASSERT_TRUE(older.ok()) << older.status();
  model.config.merge_patch(Json::parse(GetParam().newer));
  const auto newer = OpenTiny(model);
  ASSERT_TRUE(newer.ok()) << newer.status();
  EXPECT_EQ((*older)->config_json(), (*newer)->config_json());
  EXPECT_EQ((*older)->digest(), (*newer)->digest());
}

TEST_P(EveryFamily, RefusesEveryUnknownFieldByName) {
  for (const char* field :
       {"attn_logit_softcapping", "num_local_experts", "qk_norm", "clip_qkv",
        "logit_scale", "residual_multiplier", "alibi", "quantization_config",
        "auto_map", "per_layer_config", "some_new_field"}) {
    TinyModel model = GetParam().make();
    model.config[field] = nullptr;
    EXPECT_EQ(Refusal(model), "opened") << field;
    model.config[field] = true;
    EXPECT_THAT(Refusal(model), HasSubstr(base::Cat("field '", field, "'")));
    model.config[field] = Json{{"x", 8}};
    EXPECT_THAT(Refusal(model), HasSubstr(base::Cat("field '", field, "'")));
  }
}

TEST_P(EveryFamily, RefusesAbsurdNumbersWithFieldAndNumber) {
  const TinyModel good = GetParam().make();
  for (const auto& [field, value] : good.config.items()) {
    if (!value.is_number() || field == "n_ctx" || field == "rotary_dim" ||
        field == "resid_pdrop" || field == "max_window_layers") {
      continue;
    }
    for (const char* absurd :
         {"0", "-1", "1e300", "99999999999999", "18446744073709551615"}) {
      TinyModel model = good;
      model.config[field] = Json::parse(absurd);
      EXPECT_THAT(Refusal(model), AllOf(HasSubstr("config.json"),
                                        HasSubstr(base::Cat("'", field, "'"))))
          << absurd;
    }
    for (const char* other : {"\"12\"", "[12]", "{}", "true"}) {
      TinyModel model = good;
      model.config[field] = Json::parse(other);
      EXPECT_THAT(Refusal(model), HasSubstr(base::Cat("'", field, "'")))
          << other;
    }
  }
}

TEST_P(EveryFamily, RefusesAMissingOrAnExtraOrAMisshapenTensor) {
  const TinyModel good = GetParam().make();
  for (const auto& [name, tensor] : good.tensors) {
    TinyModel model = good;
    model.tensors.erase(name);
    // A tied head is a spare copy of the embedding.
    const bool is_spare =
        name == "lm_head.weight" && good.tensors.contains("wte.weight");
    EXPECT_THAT(Refusal(model),
                HasSubstr(is_spare ? "opened" : "' is missing, want shape ["))
        << name;
    model.tensors[name] = RandomTensor(name, {3, 5, 2});
    EXPECT_THAT(Refusal(model), HasSubstr(base::Cat("'", name, "'")));
  }
  TinyModel model = good;
  model.Add("h.0.attn.unheard_of.weight", {1});
  EXPECT_THAT(Refusal(model),
              AllOf(HasSubstr("'h.0.attn.unheard_of.weight' is not part of a "),
                    HasSubstr(GetParam().name)));
}

TEST_P(EveryFamily, HasUnitsNamedAsTheCheckpointNamesModules) {
  const auto snapshot = OpenTiny(GetParam().make());
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  const UnitTable units = MakeUnitTable((*snapshot)->spec());
  const int per_layer = 2 + (*snapshot)->spec().mlp_width;
  EXPECT_EQ(units.size(), 2 * per_layer);
  EXPECT_EQ(units.Name(per_layer + 1),
            base::Cat(GetParam().attention_module, "#head=1"));
  EXPECT_EQ(units.Name(per_layer + 5),
            base::Cat(GetParam().mlp_module, "#neuron=3"));
}

INSTANTIATE_TEST_SUITE_P(Families,
                         EveryFamily,
                         ::testing::ValuesIn(kCases),
                         [](const auto& test) {
                           return std::string(test.param.name);
                         });

TEST(Families, AreAllTested) {
  std::vector<std::string> tested;
  for (const FamilyCase& test : kCases) tested.emplace_back(test.name);
  EXPECT_THAT(FamilyNames(), ::testing::UnorderedElementsAreArray(tested));
}

TEST(Families, RefuseAModelTypeThatNobodyKnows) {
  TinyModel model = TinyLlama("model.");
  model.config["model_type"] = "gemma3";
  EXPECT_THAT(Refusal(model),
              AllOf(HasSubstr("'gemma3'"), HasSubstr("gpt2, gpt_neox, llama")));
  model.config.erase("model_type");
  EXPECT_THAT(Refusal(model), HasSubstr("'model_type' is missing"));
}

}  // namespace
}  // namespace spar::models
