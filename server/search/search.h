// L3. Search<T>: the coroutine type of everything that asks for rows.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"

#include "base/status.h"

namespace spar::search {

// What a search without a value gives.
struct Nothing {};

// Owns its frame; lazy; gives an absl::StatusOr<T>. Runs on the thread that
// resumes it, one thread only. Destroying it destroys the frames below it, at
// any suspension. Parameters of such coroutines are values, or pointers to what
// outlives the search.
template <typename T>
class [[nodiscard]] Search {
 public:
  struct promise_type;
  using Handle = std::coroutine_handle<promise_type>;

  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(Handle handle) noexcept {
      const std::coroutine_handle<> next = handle.promise().continuation;
      return next ? next : std::coroutine_handle<>(std::noop_coroutine());
    }
    void await_resume() noexcept {}
  };

  struct promise_type {
    std::optional<absl::StatusOr<T>> result = std::nullopt;
    std::coroutine_handle<> continuation = nullptr;

    Search get_return_object() { return Search(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    FinalAwaiter final_suspend() noexcept { return {}; }
    template <typename U>
    void return_value(U&& value) {
      result.emplace(std::forward<U>(value));
    }
    void unhandled_exception() {
      result.emplace(absl::InternalError("a search threw an exception"));
    }
  };

  class Awaiter {
   public:
    explicit Awaiter(Handle handle) : handle_(handle) {}
    bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<> caller) noexcept {
      handle_.promise().continuation = caller;
      return handle_;
    }
    absl::StatusOr<T> await_resume() {
      return *std::move(handle_.promise().result);
    }

   private:
    Handle handle_;
  };

  Search(Search&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  Search& operator=(Search&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Search() {
    if (handle_) handle_.destroy();
  }

  Awaiter operator co_await() && noexcept { return Awaiter(handle_); }

  // For the outermost search: begins it. Returns at its first suspension.
  void Start() { handle_.resume(); }
  bool done() const { return handle_.done(); }
  // Once, after done().
  absl::StatusOr<T> TakeResult() {
    return *std::move(handle_.promise().result);
  }

 private:
  explicit Search(Handle handle) : handle_(handle) {}

  Handle handle_ = nullptr;
};

}  // namespace spar::search
