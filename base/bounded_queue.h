// L0. A queue with a bound, between threads.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "base/mutex.h"

namespace spar::base {

// Thread-safe. Push never blocks; Pop waits. After Close, Push refuses and Pop
// hands out what is left, then nothing.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t limit) : limit_(limit) {}

  // False when full or closed; `item` is then dropped.
  bool Push(T item) {
    MutexLock lock(mu_);
    if (closed_ || items_.size() >= limit_) return false;
    items_.push_back(std::move(item));
    ready_.NotifyOne();
    return true;
  }

  // Nothing once closed and empty.
  std::optional<T> Pop() {
    MutexLock lock(mu_);
    while (items_.empty() && !closed_) ready_.Wait(mu_);
    return TakeFront();
  }

  // Nothing when nothing is there at once.
  std::optional<T> TryPop() {
    MutexLock lock(mu_);
    return TakeFront();
  }

  void Close() {
    MutexLock lock(mu_);
    closed_ = true;
    ready_.NotifyAll();
  }

  size_t size() const {
    MutexLock lock(mu_);
    return items_.size();
  }

 private:
  std::optional<T> TakeFront() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (items_.empty()) return std::nullopt;
    std::optional<T> item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

  const size_t limit_;

  mutable Mutex mu_;
  CondVar ready_;
  std::deque<T> items_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace spar::base
