#include "server/service/model_registry.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

#include "base/status.h"
#include "tests/service/served_model.h"

namespace spar::service {
namespace {

std::vector<std::string> Ids(const std::vector<const ServedModel*>& models) {
  std::vector<std::string> ids;
  for (const ServedModel* model : models) ids.push_back(model->id);
  return ids;
}

class ModelRegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* id : {"gpt2", "demo", "a-1.b_2"}) {
      ASSERT_TRUE(registry_.Add(testing::MakeServedModel(id, &scripted_)).ok());
    }
  }

  testing::ScriptedExplainer* scripted_ = nullptr;
  ModelRegistry registry_;
};

TEST_F(ModelRegistryTest, FindsByResourceName) {
  const auto found = registry_.Find("models/demo", "model");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ((*found)->id, "demo");
  EXPECT_EQ((*found)->ResourceName(), "models/demo");
}

TEST_F(ModelRegistryTest, TellsAbsentFromMalformed) {
  const absl::Status absent = registry_.Find("models/none", "model").status();
  EXPECT_EQ(absent.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(base::DetailOf(absent)->reason, "MODEL_NOT_FOUND");
  for (const char* name :
       {"", "demo", "models/", "models", "model/demo", "models/demo/x",
        "models/DEMO", "models/.demo", "models/d\xFF", "/models/demo"}) {
    const absl::Status bad = registry_.Find(name, "model").status();
    EXPECT_EQ(bad.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(base::DetailOf(bad)->reason, "BAD_RESOURCE_NAME") << name;
    EXPECT_EQ(base::DetailOf(bad)->field, "model") << name;
  }
}

TEST_F(ModelRegistryTest, ListsByNameInPages) {
  EXPECT_EQ(Ids(registry_.List("", 2)),
            (std::vector<std::string>{"a-1.b_2", "demo"}));
  EXPECT_EQ(Ids(registry_.List("demo", 2)), std::vector<std::string>{"gpt2"});
  EXPECT_TRUE(registry_.List("gpt2", 2).empty());
}

TEST_F(ModelRegistryTest, RefusesASecondModelOfTheSameName) {
  const absl::Status status =
      registry_.Add(testing::MakeServedModel("demo", &scripted_));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(ModelRegistryTest, RefusesNamesThatAreNoResourceIds) {
  for (const std::string& id : {std::string(), std::string("Demo"),
                                std::string("a/b"), std::string(65, 'a')}) {
    const absl::Status status =
        registry_.Add(testing::MakeServedModel(id, &scripted_));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << id;
  }
  EXPECT_TRUE(CheckModelId(std::string(64, 'a')).ok());
}

}  // namespace
}  // namespace spar::service
