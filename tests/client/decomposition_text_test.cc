#include "client/decomposition_text.h"

#include <gtest/gtest.h>

namespace spar::client {
namespace {

v1::Decomposition Sample() {
  v1::Decomposition sample;
  sample.set_name("models/demo/decompositions/main");
  sample.set_digest("cd34");
  sample.set_module_count(2);
  sample.set_subcomponent_count(1'234);
  v1::ImportanceFunction& function = *sample.mutable_importance_function();
  function.set_kind(v1::IMPORTANCE_FUNCTION_KIND_GLOBAL_SHARED_TRANSFORMER);
  function.set_sigmoid(v1::IMPORTANCE_SIGMOID_LEAKY_HARD);
  function.set_max_token_count(512);
  sample.set_sampling(v1::MASK_SAMPLING_CONTINUOUS);
  sample.set_has_delta(true);
  sample.set_dtype("bfloat16");
  sample.set_memory_bytes(5'678'900);
  sample.set_identity_error(3.14e-7);
  return sample;
}

constexpr char kHead[] =
    "models/demo/decompositions/main\n"
    "  1,234 subcomponents of 2 modules, trained with Delta, continuous masks\n"
    "  importances by global_shared_transformer, leaky_hard, prompts of up to "
    "512 tokens\n"
    "  5,678,900 bytes in bfloat16, with all masks 1 within 3.1e-07 of its "
    "model\n"
    "  digest cd34\n";

TEST(FormatDecomposition, TellsWhatItIs) {
  EXPECT_EQ(FormatDecomposition(Sample(), Style()), kHead);
}

TEST(FormatDecomposition, HasALineForEachModule) {
  v1::Decomposition sample = Sample();
  v1::DecompositionModule& q = *sample.add_modules();
  q.set_name("h.0.attn.q_proj");
  q.set_input_width(768);
  q.set_output_width(768);
  q.set_subcomponent_count(1'200);
  q.set_alive_count(131);
  q.set_weight_norm(12.3456);
  q.set_delta_norm(0.5);
  v1::DecompositionModule& odd = *sample.add_modules();
  odd.set_name("w\n");
  odd.set_subcomponent_count(34);
  EXPECT_EQ(FormatDecomposition(sample, Style()),
            std::string(kHead) +
                "\n"
                "  module           reads writes      C  alive       |W|   "
                "|Delta|\n"
                "  h.0.attn.q_proj    768    768  1,200    131    12.346     "
                "0.500\n"
                "  w\\n                  0      0     34      ?     0.000     "
                "0.000\n");
}

TEST(FormatDecomposition, SurvivesWordsItDoesNotKnow) {
  v1::Decomposition sample = Sample();
  sample.mutable_importance_function()->set_kind(
      static_cast<v1::ImportanceFunctionKind>(99));
  EXPECT_NE(FormatDecomposition(sample, Style()).find("by unknown, leaky_hard"),
            std::string::npos);
}

v1::ImportancesStart Start() {
  v1::ImportancesStart start;
  start.add_modules()->set_name("h.0.attn.q_proj");
  start.mutable_modules(0)->set_subcomponent_count(1'200);
  start.add_modules()->set_name("h.0.mlp.c_fc");
  start.add_modules()->set_name("h.1.mlp.c_fc");
  start.mutable_modules(2)->set_subcomponent_count(34);
  return start;
}

PromptLists APrompt() {
  PromptLists prompt;
  for (const char* const text : {"of", "japan\n", "is"}) {
    prompt.tokens.emplace_back().set_text(text);
  }
  prompt.modules.resize(3);
  prompt.modules[0][1] = {{5, 0.25f, -0.5f}, {7, 1, 12.345f}};
  prompt.modules[0][2] = {{7, 0.5f, 0}};
  prompt.modules[2][0] = {{33, 0.125f, 1}};
  prompt.num_entries = 4;
  return prompt;
}

TEST(FormatImportances, ListsTheAliveStrongestFirst) {
  EXPECT_EQ(FormatImportances(Start(), APrompt(), Style()),
            "prompt  of japan\\n is\n"
            "alive   4 at all positions of 3 modules\n"
            "\n"
            "h.0.attn.q_proj  2 of 1,200 alive\n"
            "      1 \"japan\\n\"  7 1.00 (+12.3), 5 0.25 (-0.5)\n"
            "      2 \"is\"       7 0.50 (+0)\n"
            "\n"
            "h.1.mlp.c_fc  1 of 34 alive\n"
            "      0 \"of\"       33 0.12 (+1)\n"
            "\n");
}

TEST(FormatImportances, WrapsOnATerminalAndCountsWhatIsLeftOut) {
  PromptLists prompt = APrompt();
  prompt.num_cut = 1'500;
  Style style;
  style.columns = 34;
  const std::string text = FormatImportances(Start(), prompt, style);
  EXPECT_NE(text.find("modules, 1,500 weaker left out\n"), text.npos) << text;
  EXPECT_NE(text.find("7 1.00 (+12.3),\n                   5 0.25 (-0.5)\n"),
            text.npos)
      << text;
}

}  // namespace
}  // namespace spar::client
