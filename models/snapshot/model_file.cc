#include "models/snapshot/model_file.h"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "models/snapshot/bad_model.h"

namespace spar::models {
namespace {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;

  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

struct OpenedFile {
  FileDescriptor descriptor;
  struct stat status = {};
};

absl::Status SystemError(const std::filesystem::path& path, int error) {
  const std::string reason = std::generic_category().message(error);
  if (error == ENOENT || error == ENOTDIR) {
    return MissingModelFile(path, reason);
  }
  return BadModel(path, reason, {{"errno", std::to_string(error)}});
}

// Never waits: opening a pipe without O_NONBLOCK would.
absl::StatusOr<OpenedFile> OpenRegularFile(const std::filesystem::path& path) {
  FileDescriptor descriptor(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (descriptor.get() < 0) return SystemError(path, errno);
  struct stat status = {};
  if (fstat(descriptor.get(), &status) != 0) return SystemError(path, errno);
  if (!S_ISREG(status.st_mode)) {
    return BadModel(path, "is not a regular file");
  }
  return OpenedFile{std::move(descriptor), status};
}

int64_t Nanoseconds(const struct timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileIdentity IdentityOf(const std::filesystem::path& path,
                        const struct stat& status) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  return {.path = (error ? path : real).string(),
          .size_bytes = static_cast<uint64_t>(status.st_size),
          .device = static_cast<uint64_t>(status.st_dev),
          .inode = static_cast<uint64_t>(status.st_ino),
          .modified_ns = Nanoseconds(status.st_mtim),
          .changed_ns = Nanoseconds(status.st_ctim)};
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(const OpenedFile file, OpenRegularFile(path));
  MappedFile mapped;
  mapped.path_ = path;
  mapped.identity_ = IdentityOf(path, file.status);
  const auto size = static_cast<size_t>(file.status.st_size);
  if (size == 0) return mapped;
  void* const address =
      mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor.get(), 0);
  if (address == MAP_FAILED) return SystemError(path, errno);
  mapped.bytes_ = {static_cast<const std::byte*>(address), size};
  return mapped;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) {
    munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      identity_(std::move(other.identity_)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(bytes_, other.bytes_);
  std::swap(identity_, other.identity_);
  return *this;
}

absl::Status MappedFile::CheckUnchanged() const {
  struct stat status = {};
  if (stat(path_.c_str(), &status) != 0) return SystemError(path_, errno);
  if (IdentityOf(path_, status) != identity_) {
    return BadModel(path_, "changed while it was being read");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWholeFile(const std::filesystem::path& path,
                                          size_t limit_bytes) {
  ASSIGN_OR_RETURN(const OpenedFile file, OpenRegularFile(path));
  const auto size = static_cast<uint64_t>(file.status.st_size);
  if (size > limit_bytes) {
    return BadModel(path,
                    base::Cat("has ", size, " bytes, at most ", limit_bytes),
                    {{"size", std::to_string(size)},
                     {"limit", std::to_string(limit_bytes)}});
  }
  std::string text(size, '\0');
  size_t num_read = 0;
  while (num_read < text.size()) {
    const ssize_t got = read(file.descriptor.get(), text.data() + num_read,
                             text.size() - num_read);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path, errno);
    if (got == 0) break;
    num_read += static_cast<size_t>(got);
  }
  text.resize(num_read);
  return text;
}

}  // namespace spar::models
