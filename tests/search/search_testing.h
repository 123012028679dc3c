// Helpers of the search tests: toys, and questions asked and awaited.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "models/fake_backend.h"
#include "server/search/explainer.h"
#include "server/search/random.h"

namespace spar::search {

// A callback's result, awaited by the test.
template <typename T>
class Awaited {
 public:
  void Set(T value) {
    std::lock_guard<std::mutex> lock(mutex_);
    value_.emplace(std::move(value));
    changed_.notify_all();
  }
  T Get() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return value_.has_value(); });
    return *std::move(value_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<T> value_;
};

// A search's events and its end.
class Asked {
 public:
  Explainer::OnEvent OnEvent() {
    return [this](const Event& event) {
      std::lock_guard<std::mutex> lock(mutex_);
      events_.push_back(event);
    };
  }
  Explainer::OnDone OnDone() {
    return [this](absl::StatusOr<Explanation> result) {
      done_.Set(std::move(result));
    };
  }
  absl::StatusOr<Explanation> Result() { return done_.Get(); }
  std::vector<Event> Events() {
    std::lock_guard<std::mutex> lock(mutex_);
    return events_;
  }

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
  Awaited<absl::StatusOr<Explanation>> done_;
};

inline std::vector<models::TokenId> RandomTokens(uint64_t seed,
                                                 int length,
                                                 int vocab_size) {
  std::vector<models::TokenId> tokens;
  for (int i = 0; i < length; ++i) {
    tokens.push_back(static_cast<models::TokenId>(
        RandomBelow(vocab_size, seed, Draw::kControls, 99, i)));
  }
  return tokens;
}

inline models::FakeBackendOptions ToyOptions(uint64_t seed) {
  models::FakeBackendOptions options;
  options.seed = seed;
  for (int i = 0; i < 100; ++i) {
    options.reference_prompts.push_back(
        RandomTokens(1000 * seed + i, 5 + i % 8, options.vocab_size));
  }
  return options;
}

inline absl::StatusOr<Explanation> AskAndWait(Explainer& explainer,
                                              const Question& question) {
  Asked asked;
  const absl::StatusOr<SearchId> id =
      explainer.Start(question, asked.OnEvent(), asked.OnDone());
  if (!id.ok()) return id.status();
  return asked.Result();
}

}  // namespace spar::search
