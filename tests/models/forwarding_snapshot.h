// Test support: a snapshot that is another one but for what a test overrides.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "models/snapshot/snapshot.h"

namespace spar::models {

class ForwardingSnapshot : public Snapshot {
 public:
  explicit ForwardingSnapshot(std::shared_ptr<const Snapshot> inner)
      : inner_(std::move(inner)) {}

  const std::filesystem::path& folder() const override {
    return inner_->folder();
  }
  const DecoderSpec& spec() const override { return inner_->spec(); }
  const TensorView& Tensor(std::string_view name) const override {
    return inner_->Tensor(name);
  }
  const std::string& config_json() const override {
    return inner_->config_json();
  }
  const std::string& weights_digest() const override {
    return inner_->weights_digest();
  }
  const std::string& digest() const override { return inner_->digest(); }

 private:
  const std::shared_ptr<const Snapshot> inner_;
};

}  // namespace spar::models
