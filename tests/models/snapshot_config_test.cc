// What single config fields do to the spec, family by family.
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "tests/models/tiny_snapshots.h"

namespace spar::models {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The spec of `model` with `patch` merged into its config (null removes).
DecoderSpec SpecWith(TinyModel model, const char* patch) {
  model.config.merge_patch(Json::parse(patch));
  const auto snapshot = OpenTiny(model);
  EXPECT_TRUE(snapshot.ok()) << snapshot.status();
  return snapshot.ok() ? (*snapshot)->spec() : DecoderSpec{};
}

std::string RefusalWith(TinyModel model, const char* patch) {
  model.config.merge_patch(Json::parse(patch));
  return Refusal(model);
}

TinyModel Gpt2() {
  return TinyGpt2("transformer.");
}
TinyModel Neox() {
  return TinyGptNeox("gpt_neox.");
}
TinyModel Llama() {
  return TinyLlama("model.");
}

TEST(Gpt2Config, HasTheDefaultsOfItsFamily) {
  const DecoderSpec spec = SpecWith(
      Gpt2(), R"({"activation_function":null,"layer_norm_epsilon":null})");
  EXPECT_EQ(spec.norm, NormKind::kLayerNorm);
  EXPECT_EQ(spec.norm_epsilon, 1e-5);
  EXPECT_EQ(spec.activation, Activation::kGeluTanh);
  EXPECT_EQ(spec.positions, PositionKind::kLearned);
  EXPECT_EQ(spec.mlp_width, 48);
  EXPECT_TRUE(spec.tied_embeddings);
  EXPECT_EQ(spec.unembedding.weight.tensor, "transformer.wte.weight");
  EXPECT_FALSE(spec.unembedding.bias.present());
}

TEST(Gpt2Config, ReadsTheFusedConv1dByParts) {
  const LayerSpec layer = SpecWith(Gpt2(), "{}").layers[0];
  for (const Affine* part : {&layer.q, &layer.k, &layer.v}) {
    EXPECT_EQ(part->weight.tensor, "transformer.h.0.attn.c_attn.weight");
    EXPECT_EQ(part->bias.tensor, "transformer.h.0.attn.c_attn.bias");
    EXPECT_TRUE(part->weight.transposed);
    EXPECT_EQ(part->weight.groups, 1);
    EXPECT_EQ(part->weight.parts, 3);
    EXPECT_EQ(part->bias.parts, 3);
  }
  EXPECT_EQ(layer.q.weight.part, 0);
  EXPECT_EQ(layer.k.bias.part, 1);
  EXPECT_EQ(layer.v.weight.part, 2);
  EXPECT_TRUE(layer.down.weight.transposed);
  EXPECT_FALSE(layer.gate.weight.present());
}

TEST(Gpt2Config, ScalesAttentionAsItsFlagsSay) {
  const double scale = 1 / std::sqrt(6.0);
  const DecoderSpec by_layer =
      SpecWith(Gpt2(), R"({"scale_attn_by_inverse_layer_idx":true})");
  EXPECT_DOUBLE_EQ(by_layer.layers[0].attention_scale, scale);
  EXPECT_DOUBLE_EQ(by_layer.layers[1].attention_scale, scale / 2);
  const DecoderSpec plain = SpecWith(Gpt2(), R"({"scale_attn_weights":false})");
  EXPECT_EQ(plain.layers[1].attention_scale, 1.0);
  EXPECT_THAT(RefusalWith(Gpt2(), R"({"reorder_and_upcast_attn":true})"),
              HasSubstr("'reorder_and_upcast_attn' is true"));
  EXPECT_THAT(RefusalWith(Gpt2(), R"({"add_cross_attention":true})"),
              HasSubstr("'add_cross_attention' is true"));
}

TEST(Gpt2Config, RefusesContextsThatDisagreeAndHeadsThatDoNotDivide) {
  EXPECT_THAT(RefusalWith(Gpt2(), R"({"n_ctx":8})"),
              HasSubstr("'n_ctx' is 8, but 'n_positions' is 16"));
  EXPECT_THAT(RefusalWith(Gpt2(), R"({"n_head":5})"),
              HasSubstr("'n_embd' is 12: not divisible by the 5 heads"));
  EXPECT_THAT(RefusalWith(Gpt2(), R"({"n_head":24})"),
              HasSubstr("'n_embd' is 12: not divisible by the 24 heads"));
}

TEST(Gpt2Config, KnowsEveryActivationByItsArithmetic) {
  const auto activation = [](const char* name) {
    TinyModel model = Gpt2();
    model.config["activation_function"] = name;
    return SpecWith(model, "{}").activation;
  };
  EXPECT_EQ(activation("gelu"), Activation::kGeluErf);
  EXPECT_EQ(activation("gelu_pytorch_tanh"), Activation::kGeluTanh);
  EXPECT_EQ(activation("relu"), Activation::kRelu);
  EXPECT_EQ(activation("swish"), Activation::kSilu);
  EXPECT_THAT(RefusalWith(Gpt2(), R"({"activation_function":"relu2"})"),
              HasSubstr("'activation_function' is 'relu2'"));
}

TEST(GptNeoxConfig, RotatesAQuarterOfEachHeadUnlessToldOtherwise) {
  TinyModel model = Neox();
  EXPECT_EQ(SpecWith(model, "{}").rotary.dim, 2);
  // A quarter of 6 is 1: odd.
  EXPECT_THAT(RefusalWith(model, R"({"rotary_pct":null})"),
              HasSubstr("rotates 1 of the 6"));
  EXPECT_EQ(SpecWith(model, R"({"rotary_pct":1.0})").rotary.dim, 6);
  EXPECT_EQ(SpecWith(model, R"({"rotary_pct":0.67})").rotary.dim, 4);
  EXPECT_THAT(RefusalWith(model, R"({"rotary_pct":0.5})"),
              HasSubstr("rotates 3 of the 6"));
  EXPECT_THAT(RefusalWith(model, R"({"rotary_pct":1.5})"),
              HasSubstr("'rotary_pct' is 1.5"));
}

TEST(GptNeoxConfig, ReadsQueriesKeysAndValuesHeadByHead) {
  const DecoderSpec spec = SpecWith(Neox(), R"({"rotary_emb_base":500,
                           "use_parallel_residual":false})");
  EXPECT_EQ(spec.rotary.theta, 500);
  EXPECT_FALSE(spec.parallel_residual);
  EXPECT_TRUE(
      SpecWith(Neox(), R"({"use_parallel_residual":null})").parallel_residual);
  EXPECT_EQ(spec.activation, Activation::kGeluErf);
  EXPECT_EQ(spec.unembedding.weight.tensor, "embed_out.weight");
  const WeightRef& k = spec.layers[1].k.weight;
  EXPECT_EQ(k.tensor, "gpt_neox.layers.1.attention.query_key_value.weight");
  EXPECT_EQ(k.groups, 2);
  EXPECT_EQ(k.parts, 3);
  EXPECT_EQ(k.part, 1);
  EXPECT_FALSE(k.transposed);
}

TEST(GptNeoxConfig, MayLackAttentionBiases) {
  TinyModel model = Neox();
  for (const char* layer : {"0", "1"}) {
    const std::string module = std::string("gpt_neox.layers.") + layer;
    model.tensors.erase(module + ".attention.query_key_value.bias");
    model.tensors.erase(module + ".attention.dense.bias");
  }
  const LayerSpec layer =
      SpecWith(model, R"({"attention_bias":false})").layers[0];
  EXPECT_FALSE(layer.q.bias.present());
  EXPECT_FALSE(layer.o.bias.present());
  EXPECT_TRUE(layer.up.bias.present());
}

TEST(LlamaConfig, HasTheDefaultsOfItsFamily) {
  TinyModel model = Llama();
  for (const char* layer : {"0", "1"}) {
    for (const char* name : {"k_proj", "v_proj"}) {
      model.Add(std::string("model.layers.") + layer + ".self_attn." + name +
                    ".weight",
                {12, 12});
    }
  }
  const DecoderSpec spec = SpecWith(
      model,
      R"({"num_key_value_heads":null,"rms_norm_eps":null,"hidden_act":null,
          "rope_theta":null,"tie_word_embeddings":null})");
  EXPECT_EQ(spec.num_kv_heads, 2);
  EXPECT_EQ(spec.norm, NormKind::kRmsNorm);
  EXPECT_EQ(spec.norm_epsilon, 1e-6);
  EXPECT_EQ(spec.activation, Activation::kSilu);
  EXPECT_EQ(spec.rotary.theta, 10000.0);
  EXPECT_EQ(spec.rotary.dim, 6);
  EXPECT_TRUE(spec.gated_mlp);
  EXPECT_FALSE(spec.tied_embeddings);
}

TEST(LlamaConfig, MayHaveHeadsOfAnotherSizeThanWidthOverHeads) {
  TinyModel model = Llama();
  for (const char* layer : {"0", "1"}) {
    const std::string attention =
        std::string("model.layers.") + layer + ".self_attn.";
    model.Add(attention + "q_proj.weight", {20, 12});
    model.Add(attention + "k_proj.weight", {10, 12});
    model.Add(attention + "v_proj.weight", {10, 12});
    model.Add(attention + "o_proj.weight", {12, 20});
  }
  const DecoderSpec spec = SpecWith(model, R"({"head_dim":10})");
  EXPECT_EQ(spec.head_dim, 10);
  EXPECT_EQ(spec.rotary.dim, 10);
  EXPECT_DOUBLE_EQ(spec.layers[0].attention_scale, 1 / std::sqrt(10.0));
  EXPECT_THAT(RefusalWith(model, R"({"head_dim":7})"),
              HasSubstr("rotates 7 of the 7"));
}

TEST(LlamaConfig, MayHaveBiases) {
  TinyModel model = Llama();
  for (const char* layer : {"0", "1"}) {
    const std::string module = std::string("model.layers.") + layer;
    model.Add(module + ".self_attn.q_proj.bias", {12});
    model.Add(module + ".self_attn.k_proj.bias", {6});
    model.Add(module + ".self_attn.v_proj.bias", {6});
    model.Add(module + ".self_attn.o_proj.bias", {12});
    model.Add(module + ".mlp.gate_proj.bias", {20});
    model.Add(module + ".mlp.up_proj.bias", {20});
    model.Add(module + ".mlp.down_proj.bias", {12});
  }
  const LayerSpec layer =
      SpecWith(model, R"({"attention_bias":true,"mlp_bias":true})").layers[1];
  EXPECT_EQ(layer.o.bias.tensor, "model.layers.1.self_attn.o_proj.bias");
  EXPECT_EQ(layer.gate.bias.tensor, "model.layers.1.mlp.gate_proj.bias");
  EXPECT_THAT(RefusalWith(model, R"({"attention_bias":true})"),
              HasSubstr("mlp.down_proj.bias' is not part of"));
}

TEST(LlamaConfig, RefusesWhatItsArithmeticLacks) {
  EXPECT_THAT(RefusalWith(Llama(), R"({"sliding_window":128})"),
              HasSubstr("'sliding_window' is 128"));
  EXPECT_THAT(RefusalWith(Llama(), R"({"partial_rotary_factor":0.5})"),
              HasSubstr("'partial_rotary_factor' is 0.5"));
  EXPECT_THAT(
      RefusalWith(Llama(),
                  R"({"layer_types":["full_attention","sliding_attention"]})"),
      HasSubstr("'layer_types'"));
  EXPECT_THAT(RefusalWith(Llama(), R"({"num_key_value_heads":3})"),
              HasSubstr("'num_key_value_heads' is 3: does not divide"));
}

TEST(RopeScaling, IsReadInBothSpellings) {
  for (const char* patch :
       {R"({"rope_scaling":{"type":"linear","factor":4}})",
        R"({"rope_scaling":{"rope_type":"linear","factor":4.0}})",
        R"({"rope_theta":null,"rope_parameters":{"rope_type":"linear",
            "factor":4.0,"rope_theta":10000}})",
        R"({"rope_scaling":{"type":"linear","factor":4},
            "rope_parameters":{"rope_type":"linear","factor":4,
            "rope_theta":10000}})"}) {
    const Rotary rotary = SpecWith(Llama(), patch).rotary;
    EXPECT_EQ(rotary.scaling, RopeScalingKind::kLinear) << patch;
    EXPECT_EQ(rotary.factor, 4.0);
  }
  for (const char* outer : {"rope_scaling", "rope_parameters"}) {
    TinyModel model = Llama();
    model.config[outer] =
        Json::parse(R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.5,
                        "high_freq_factor":4.0,
                        "original_max_position_embeddings":8192})");
    const Rotary rotary = SpecWith(model, "{}").rotary;
    EXPECT_EQ(rotary.scaling, RopeScalingKind::kLlama3);
    EXPECT_EQ(rotary.factor, 8.0);
    EXPECT_EQ(rotary.low_frequency_factor, 1.5);
    EXPECT_EQ(rotary.high_frequency_factor, 4.0);
    EXPECT_EQ(rotary.original_context, 8192);
    model.config[outer]["high_freq_factor"] = 1.5;
    EXPECT_THAT(Refusal(model), HasSubstr("not above low_freq_factor"));
    model.config[outer].erase("high_freq_factor");
    EXPECT_THAT(Refusal(model), HasSubstr("high_freq_factor' is absent"));
  }
}

TEST(RopeScaling, OfAnyOtherKindIsRefusedByName) {
  for (const char* type : {"yarn", "dynamic", "longrope", "mrope", "su", ""}) {
    TinyModel model = Llama();
    model.config["rope_scaling"] = {{"type", type}, {"factor", 2.0}};
    EXPECT_THAT(Refusal(model),
                HasSubstr(std::string("'rope_scaling.type' is '") + type))
        << type;
  }
  EXPECT_THAT(RefusalWith(Llama(), R"({"rope_scaling":{"type":"linear",
                                       "factor":2,"beta_fast":32}})"),
              HasSubstr("'rope_scaling.beta_fast' is 32"));
  EXPECT_THAT(RefusalWith(Llama(), R"({"rope_scaling":"linear"})"),
              HasSubstr("'rope_scaling' is 'linear'"));
  EXPECT_THAT(RefusalWith(Llama(), R"({"rope_scaling":{"type":"linear"}})"),
              HasSubstr("'rope_scaling.factor' is absent"));
  EXPECT_THAT(RefusalWith(Gpt2(), R"({"rope_scaling":{"type":"linear"}})"),
              HasSubstr("'rope_scaling' is an object"));
}

TEST(RopeScaling, MustAgreeWhereBothSpellingsArePresent) {
  EXPECT_THAT(RefusalWith(Llama(), R"({"rope_parameters":{"rope_theta":5e5}})"),
              HasSubstr("'rope_theta' is 10000.0, but "
                        "'rope_parameters.rope_theta' is 500000.0"));
  EXPECT_THAT(
      RefusalWith(Llama(), R"({"rope_scaling":{"type":"linear","factor":2},
                               "rope_parameters":{"rope_type":"default"}})"),
      HasSubstr("'rope_scaling.type' is 'linear', but"));
  EXPECT_THAT(
      RefusalWith(Llama(), R"({"rope_scaling":{"type":"linear","factor":2,
                               "rope_type":"llama3"}})"),
      HasSubstr("'rope_scaling.type' is 'linear', but"));
  EXPECT_THAT(RefusalWith(Neox(), R"({"rope_parameters":
                              {"partial_rotary_factor":0.67}})"),
              HasSubstr("'rotary_pct' is 0.34, but"));
}

std::vector<int> Windows(const DecoderSpec& spec) {
  std::vector<int> windows;
  for (const LayerSpec& layer : spec.layers) {
    windows.push_back(layer.sliding_window);
  }
  return windows;
}

TEST(MistralConfig, SlidesInEveryLayerOrInNone) {
  const TinyModel model = TinyMistral("model.");
  EXPECT_THAT(Windows(SpecWith(model, "{}")), ElementsAre(5, 5));
  EXPECT_THAT(Windows(SpecWith(model, R"({"sliding_window":null})")),
              ElementsAre(4096, 4096));
  TinyModel without = model;
  without.config["sliding_window"] = nullptr;
  EXPECT_THAT(Windows(SpecWith(without, "{}")), ElementsAre(0, 0));
  EXPECT_THAT(
      RefusalWith(model,
                  R"({"layer_types":["sliding_attention","full_attention"]})"),
      HasSubstr("'layer_types'"));
}

TEST(Qwen2Config, SlidesOnlyWhereItSaysSo) {
  const TinyModel model = TinyQwen2("model.");
  EXPECT_THAT(Windows(SpecWith(model, "{}")), ElementsAre(0, 5));
  EXPECT_THAT(Windows(SpecWith(model, R"({"max_window_layers":0})")),
              ElementsAre(5, 5));
  EXPECT_THAT(Windows(SpecWith(model, R"({"max_window_layers":28})")),
              ElementsAre(0, 0));
  EXPECT_THAT(Windows(SpecWith(model, R"({"use_sliding_window":false})")),
              ElementsAre(0, 0));
  EXPECT_THAT(
      Windows(SpecWith(
          model, R"({"layer_types":["sliding_attention","full_attention"]})")),
      ElementsAre(5, 0));
  EXPECT_THAT(RefusalWith(model, R"({"use_sliding_window":false,
          "layer_types":["sliding_attention","full_attention"]})"),
              HasSubstr("no sliding window is in use"));
  EXPECT_THAT(RefusalWith(model, R"({"layer_types":["full_attention"]})"),
              HasSubstr("want one for each of 2 layers"));
  EXPECT_THAT(
      RefusalWith(model,
                  R"({"layer_types":["chunked_attention","full_attention"]})"),
      HasSubstr("'layer_types'"));
}

TEST(Qwen2Config, HasBiasesOnQueriesKeysAndValuesOnly) {
  const LayerSpec layer = SpecWith(TinyQwen2("model."), "{}").layers[0];
  EXPECT_TRUE(layer.q.bias.present());
  EXPECT_TRUE(layer.v.bias.present());
  EXPECT_FALSE(layer.o.bias.present());
  EXPECT_FALSE(layer.up.bias.present());
}

TEST(LlamaSimpleConfig, RotatesWholeHeadsWhateverRotaryDimSays) {
  const Rotary rotary = SpecWith(TinyLlamaSimpleMlp(),
                                 R"({"rotary_dim":64,"rotary_base":500,
                   "rotary_adjacent_pairs":true})")
                            .rotary;
  EXPECT_EQ(rotary.dim, 6);
  EXPECT_EQ(rotary.theta, 500);
  EXPECT_TRUE(rotary.adjacent_pairs);
}

TEST(LlamaSimpleConfig, ReadsTheFusedLinearWithoutGroupedQueries) {
  TinyModel model = TinyLlamaSimpleMlp();
  for (const char* layer : {"h.0.attn.", "h.1.attn."}) {
    for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
      model.tensors.erase(std::string(layer) + name + ".weight");
    }
    model.Add(std::string(layer) + "c_attn.weight", {36, 12});
  }
  const DecoderSpec spec =
      SpecWith(model, R"({"use_grouped_query_attention":false})");
  EXPECT_EQ(spec.num_kv_heads, 2);
  EXPECT_EQ(spec.layers[0].v.weight.tensor, "h.0.attn.c_attn.weight");
  EXPECT_FALSE(spec.layers[0].v.weight.transposed);
  EXPECT_EQ(spec.layers[0].v.weight.parts, 3);
  EXPECT_EQ(spec.layers[0].v.weight.part, 2);
}

TEST(LlamaSimpleConfig, IsGatedOrNotByItsModelType) {
  const DecoderSpec gated = SpecWith(TinyLlamaSimple(), "{}");
  EXPECT_TRUE(gated.gated_mlp);
  EXPECT_EQ(gated.activation, Activation::kSilu);
  EXPECT_EQ(gated.layers[0].gate.weight.tensor, "h.0.mlp.gate_proj.weight");
  const DecoderSpec plain = SpecWith(TinyLlamaSimpleMlp(), "{}");
  EXPECT_FALSE(plain.gated_mlp);
  EXPECT_EQ(plain.activation, Activation::kGeluTanh);
  EXPECT_EQ(plain.layers[0].up.weight.tensor, "h.0.mlp.c_fc.weight");
  EXPECT_FALSE(plain.layers[0].gate.weight.present());
  EXPECT_TRUE(plain.tied_embeddings);
}

TEST(LlamaSimpleConfig, StopsWhereItsRotaryTablesEnd) {
  EXPECT_EQ(SpecWith(TinyLlamaSimpleMlp(), R"({"n_ctx":4})").context_length, 4);
  EXPECT_EQ(
      SpecWith(TinyLlamaSimpleMlp(), R"({"block_size":9})").context_length, 9);
}

TEST(ConfigFile, MustBeOneStrictJsonObject) {
  const auto refusal = [](std::string_view text) {
    const TempFolder folder;
    TinyLlama("model.").Write(folder.path());
    WriteText(folder.path() / "config.json", text);
    const auto opened = Snapshot::Open(folder.path(), SnapshotOptions{});
    return opened.ok() ? "opened" : std::string(opened.status().message());
  };
  EXPECT_THAT(refusal(""), HasSubstr("config.json: not JSON"));
  EXPECT_THAT(refusal("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(R"({"model_type":"llama","vocab_size":NaN})"),
              HasSubstr("not JSON at byte"));
  EXPECT_THAT(refusal(R"({"model_type":"llama","rms_norm_eps":1e999})"),
              HasSubstr("number out of range"));
  EXPECT_THAT(refusal(R"({"model_type":"llama","model_type":"gpt2"})"),
              HasSubstr("key 'model_type' occurs twice"));
  EXPECT_THAT(refusal(std::string(2 << 20, ' ')),
              HasSubstr("has 2097152 bytes, at most 1048576"));
}

}  // namespace
}  // namespace spar::models
