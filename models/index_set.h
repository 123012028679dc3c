// L1. A set of small integers as bits: units of a model, positions of a prompt.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace spar::models {

// A subset of [0, universe). Indices outside it are a broken invariant of the
// caller. A value: copies are independent.
class IndexSet {
 public:
  IndexSet() = default;
  explicit IndexSet(int universe)
      : universe_(universe), words_((universe + 63) / 64, 0) {}
  IndexSet(int universe, std::span<const int32_t> members)
      : IndexSet(universe) {
    for (const int32_t member : members) Insert(member);
  }
  static IndexSet All(int universe) {
    IndexSet set(universe);
    for (uint64_t& word : set.words_) word = ~uint64_t{0};
    if (universe % 64 != 0) {
      set.words_.back() = (uint64_t{1} << (universe % 64)) - 1;
    }
    return set;
  }

  int universe() const { return universe_; }
  bool Contains(int32_t index) const {
    return (words_[static_cast<size_t>(index) / 64] >> (index % 64)) & 1;
  }
  void Insert(int32_t index) {
    words_[static_cast<size_t>(index) / 64] |= uint64_t{1} << (index % 64);
  }
  void Remove(int32_t index) {
    words_[static_cast<size_t>(index) / 64] &= ~(uint64_t{1} << (index % 64));
  }
  int Count() const {
    int count = 0;
    for (const uint64_t word : words_) count += std::popcount(word);
    return count;
  }
  bool IsAll() const { return Count() == universe_; }
  // this := this | other. Same universe.
  void UniteWith(const IndexSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool IsSubsetOf(const IndexSet& other) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      if ((words_[i] & ~other.words_[i]) != 0) return false;
    }
    return true;
  }
  // Ascending.
  std::vector<int32_t> Members() const {
    std::vector<int32_t> members;
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t word = words_[i]; word != 0; word &= word - 1) {
        members.push_back(
            static_cast<int32_t>(64 * i + std::countr_zero(word)));
      }
    }
    return members;
  }
  std::span<const uint64_t> words() const { return words_; }

  friend bool operator==(const IndexSet&, const IndexSet&) = default;
  template <typename H>
  friend H AbslHashValue(H hash, const IndexSet& set) {
    return H::combine(std::move(hash), set.universe_, set.words_);
  }

 private:
  int universe_ = 0;
  std::vector<uint64_t> words_;
};

}  // namespace spar::models
