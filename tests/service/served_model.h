// A server over one scripted model, "models/toy", and clients of it.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"

#include "server/service/server.h"
#include "spar/v1/explanation_service.grpc.pb.h"
#include "spar/v1/model_service.grpc.pb.h"
#include "tests/service/scripted_explainer.h"
#include "tests/service/word_tokenizer.h"

namespace spar::testing {

// The default FakeBackend: 24 tokens, 32 positions, 24 units, 4 of them heads.
inline service::ServedModel MakeServedModel(
    const std::string& id,
    ScriptedExplainer** explainer,
    models::FakeBackendOptions options = {}) {
  auto scripted = std::make_unique<ScriptedExplainer>(std::move(options));
  *explainer = scripted.get();
  service::ServedModel model;
  model.id = id;
  model.tokenizer = MakeWordTokenizer(scripted->info().vocab_size);
  model.explainer = std::move(scripted);
  model.load_time = std::chrono::system_clock::from_time_t(1'700'000'000);
  return model;
}

class ServedModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(registry_.Add(MakeServedModel("toy", &explainer_)).ok());
  }

  void Serve(service::ServerOptions options = {}) {
    options.listen = "127.0.0.1:0";
    absl::StatusOr<std::unique_ptr<service::Server>> server =
        service::Server::Start(&registry_, options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = server_->InProcessChannel();
    models_ = v1::ModelService::NewStub(channel_);
    explanations_ = v1::ExplanationService::NewStub(channel_);
  }

  service::ModelRegistry registry_;
  ScriptedExplainer* explainer_ = nullptr;
  std::unique_ptr<service::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ModelService::Stub> models_;
  std::unique_ptr<v1::ExplanationService::Stub> explanations_;
};

}  // namespace spar::testing
