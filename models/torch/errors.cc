#include "models/torch/errors.h"

#include <exception>
#include <new>

#include <c10/util/Exception.h>

#include "base/status.h"

namespace spar::models {
namespace {

absl::Status OutOfMemory(std::string_view what, std::string_view message) {
  return base::Error(absl::StatusCode::kResourceExhausted,
                     base::Cat(what, ": out of memory: ", message),
                     {.reason = "OUT_OF_DEVICE_MEMORY"});
}

absl::Status Internal(std::string_view what, std::string_view message) {
  return base::Error(absl::StatusCode::kInternal,
                     base::Cat(what, ": ", message), {.reason = "TORCH_ERROR"});
}

}  // namespace

absl::Status CatchTorch(std::string_view what,
                        const std::function<absl::Status()>& body) {
  try {
    return body();
  } catch (const c10::OutOfMemoryError& error) {
    return OutOfMemory(what, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    const std::string_view message = error.what_without_backtrace();
    // The CPU allocator throws a plain Error.
    if (message.find("not enough memory") != message.npos ||
        message.find("can't allocate memory") != message.npos) {
      return OutOfMemory(what, message);
    }
    return Internal(what, message);
  } catch (const std::bad_alloc& error) {
    return OutOfMemory(what, error.what());
  } catch (const std::exception& error) {
    return Internal(what, error.what());
  }
}

}  // namespace spar::models
