#include "models/snapshot/family.h"

#include <charconv>

#include "base/status.h"

namespace spar::models {
namespace {

constexpr const Family* kFamilies[] = {
    &kGpt2Family,           &kGptNeoxFamily,    &kLlamaFamily,
    &kMistralFamily,        &kQwen2Family,      &kLlamaSimpleFamily,
    &kLlamaSimpleMlpFamily, &kGpt2SimpleFamily,
};

// Whether `name` is `pattern` with the number of a layer in place of its '*'.
bool Matches(std::string_view name, std::string_view pattern, int num_layers) {
  const size_t star = pattern.find('*');
  if (star == pattern.npos) return name == pattern;
  const std::string_view before = pattern.substr(0, star);
  const std::string_view after = pattern.substr(star + 1);
  if (name.size() <= before.size() + after.size() ||
      !name.starts_with(before) || !name.ends_with(after)) {
    return false;
  }
  const std::string_view digits =
      name.substr(before.size(), name.size() - before.size() - after.size());
  if (digits.size() > 1 && digits.front() == '0') return false;
  int layer = -1;
  const char* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, layer);
  return error == std::errc() && stop == end && layer >= 0 &&
         layer < num_layers;
}

}  // namespace

const Family* FindFamily(std::string_view model_type) {
  for (const Family* const family : kFamilies) {
    if (family->model_type == model_type) return family;
  }
  return nullptr;
}

std::vector<std::string> FamilyNames() {
  std::vector<std::string> names;
  for (const Family* const family : kFamilies) {
    names.emplace_back(family->model_type);
  }
  return names;
}

std::string DetectPrefix(const Family& family, const TensorTable& tensors) {
  const bool bare = tensors.Contains(family.embedding);
  const bool prefixed =
      tensors.Contains(base::Cat(family.prefix, family.embedding));
  return std::string(bare && !prefixed ? "" : family.prefix);
}

bool IsIgnoredBuffer(const Family& family,
                     const std::string& prefix,
                     int num_layers,
                     std::string_view name) {
  if (!name.starts_with(prefix)) return false;
  name.remove_prefix(prefix.size());
  for (const std::string_view pattern : family.buffers) {
    if (Matches(name, pattern, num_layers)) return true;
  }
  return false;
}

}  // namespace spar::models
