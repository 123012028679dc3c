#include "models/train/confined_path.h"

#include <algorithm>
#include <string>

#include "base/status.h"
#include "models/snapshot/bad_model.h"

namespace spar::models {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPathBytes = 1024;

absl::Status OutsidePath(std::string_view field,
                         const fs::path& path,
                         std::string_view problem) {
  return base::InvalidArgument("PATH_OUTSIDE_FOLDER", field,
                               base::Cat("field '", field, "' is ",
                                         Quoted(path.string()), ", ", problem));
}

bool IsBelow(const fs::path& root, const fs::path& path) {
  return std::mismatch(root.begin(), root.end(), path.begin(), path.end())
             .first == root.end();
}

}  // namespace

absl::StatusOr<fs::path> ConfinedPath(const fs::path& root,
                                      const fs::path& path,
                                      std::string_view field) {
  const std::string& text = path.native();
  if (text.empty() || text.size() > kMaxPathBytes ||
      text.find('\0') != text.npos || path.is_absolute()) {
    return OutsidePath(
        field, path,
        base::Cat("want a relative path of 1 to ", kMaxPathBytes, " bytes"));
  }
  std::error_code error;
  const fs::path base = fs::canonical(root, error);
  if (error) return OutsidePath(field, path, "and its folder is not there");
  fs::path place = base;
  for (const fs::path& part : path) {
    if (part.empty() || part == "." || part == "..") {
      return OutsidePath(field, path, "want no empty part, no '.' and no '..'");
    }
    place /= part;
    if (!fs::is_symlink(fs::symlink_status(place, error))) continue;
    place = fs::canonical(place, error);
    if (error || !IsBelow(base, place)) {
      return OutsidePath(field, path, "and a link leads out of its folder");
    }
  }
  return place;
}

}  // namespace spar::models
