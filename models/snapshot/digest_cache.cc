#include "models/snapshot/digest_cache.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "models/digest.h"
#include "models/snapshot/whole_file.h"

namespace spar::models {
namespace {

constexpr char kVersion[] = "spar-weights-digest-1";
constexpr size_t kMaxEntryBytes = 4096;

// "version\nkey\ndigest\nchecksum\n".
std::string EntryText(const std::string& key, const std::string& digest) {
  const std::string body = base::Cat(kVersion, "\n", key, "\n", digest, "\n");
  return base::Cat(body, Sha256Hex(body), "\n");
}

bool IsHexDigest(std::string_view text) {
  return text.size() == 64 &&
         text.find_first_not_of("0123456789abcdef") == text.npos;
}

}  // namespace

DigestCache::DigestCache(std::filesystem::path folder)
    : folder_(std::move(folder)) {}

std::string DigestCache::Key(const std::vector<FileIdentity>& files,
                             const std::vector<std::string>& tensors) {
  Sha256 sha;
  for (const FileIdentity& file : files) {
    sha.Update(base::Cat(file.path.size(), ":", file.path, " ", file.size_bytes,
                         " ", file.device, " ", file.inode, " ",
                         file.modified_ns, " ", file.changed_ns, "\n"));
  }
  for (const std::string& tensor : tensors) {
    sha.Update(base::Cat(tensor.size(), ":", tensor, "\n"));
  }
  return sha.HexDigest();
}

std::filesystem::path DigestCache::EntryPath(const std::string& key) const {
  return folder_ / base::Cat("weights-", key);
}

std::optional<std::string> DigestCache::Find(const std::string& key) const {
  if (folder_.empty()) return std::nullopt;
  const absl::StatusOr<std::string> text =
      ReadWholeFile(EntryPath(key), kMaxEntryBytes);
  if (!text.ok()) return std::nullopt;
  const size_t begin = base::Cat(kVersion, "\n", key, "\n").size();
  if (text->size() < begin + 64) return std::nullopt;
  const std::string digest = text->substr(begin, 64);
  if (!IsHexDigest(digest) || *text != EntryText(key, digest)) {
    return std::nullopt;
  }
  return digest;
}

void DigestCache::Keep(const std::string& key,
                       const std::string& digest) const {
  if (folder_.empty()) return;
  absl::Status status = MakeFolder(folder_);
  if (status.ok()) {
    status = WriteWholeFile(EntryPath(key), EntryText(key, digest));
  }
  if (!status.ok()) {
    base::LogWarning(
        base::Cat("cannot keep the weights digest: ", base::MessageOf(status)));
  }
}

}  // namespace spar::models
