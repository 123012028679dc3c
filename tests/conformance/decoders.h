// Small decoders of every kind of arithmetic and of every family, to be
// decomposed.
#pragma once

#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

#include "models/decomposition_spec.h"
#include "models/snapshot/snapshot.h"
#include "tests/conformance/models.h"
#include "tests/models/tiny_snapshots.h"

namespace spar::models {

struct NamedDecoder {
  std::string name = {};
  std::shared_ptr<const Snapshot> snapshot = nullptr;
};

inline void PrintTo(const NamedDecoder& decoder, std::ostream* out) {
  *out << decoder.name;
}

inline std::vector<NamedDecoder> AllDecoders() {
  std::vector<NamedDecoder> decoders;
  for (const NamedModel& model : SmallModels()) {
    decoders.push_back(
        {model.name, MakeRandomSnapshot(model.shape, model.biases, 3)});
  }
  const auto add = [&](const std::string& name, const TinyModel& model) {
    auto snapshot = OpenTiny(model);
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    decoders.push_back({name, *std::move(snapshot)});
  };
  add("TinyGpt2", TinyGpt2("transformer."));
  add("TinyGptNeox", TinyGptNeox("gpt_neox."));
  add("TinyLlama", TinyLlama("model."));
  add("TinyMistral", TinyMistral("model."));
  add("TinyQwen2", TinyQwen2("model."));
  add("TinyLlamaSimple", TinyLlamaSimple());
  add("TinyLlamaSimpleMlp", TinyLlamaSimpleMlp());
  add("TinyGpt2Simple", TinyGpt2Simple());
  return decoders;
}

// As many subcomponents at every site that a decoder has.
inline std::map<ModuleSite, int> AllSites(int num_components) {
  std::map<ModuleSite, int> components;
  for (const ModuleSite site :
       {ModuleSite::kEmbedding, ModuleSite::kQ, ModuleSite::kK, ModuleSite::kV,
        ModuleSite::kQkv, ModuleSite::kO, ModuleSite::kGate, ModuleSite::kUp,
        ModuleSite::kDown}) {
    components[site] = num_components;
  }
  return components;
}

}  // namespace spar::models
