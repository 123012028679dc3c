// L0. Errors as values: builders that carry what a client needs to react.
//
// Every error that can reach a client has a reason (google.rpc.ErrorInfo), and
// where a request field is at fault, its path. Both ride on absl::Status as a
// payload, so no layer below the service knows about gRPC.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace spar::base {

// Debian's Abseil has its own string_view; this is the one bridge to std's.
inline absl::string_view AbslView(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}
inline std::string_view StdView(absl::string_view text) {
  return std::string_view(text.data(), text.size());
}

namespace internal {
inline const std::string& Piece(const std::string& text) {
  return text;
}
inline absl::string_view Piece(std::string_view text) {
  return AbslView(text);
}
inline const char* Piece(const char* text) {
  return text;
}
template <typename T>
requires std::is_arithmetic_v<T> T Piece(T number) {
  return number;
}
}  // namespace internal

// absl::StrCat for strings, std::string_views and numbers.
template <typename... Ts>
std::string Cat(const Ts&... pieces) {
  return absl::StrCat(internal::Piece(pieces)...);
}

// What a client can act on beside the code and the sentence.
struct ErrorDetail {
  std::string reason = {};  // UPPER_SNAKE, e.g. "TOKEN_OUT_OF_RANGE"
  std::string field = {};   // request field path, e.g. "prompt.tokens[3]"
  std::map<std::string, std::string> metadata = {};  // numbers of the message
};

absl::Status Error(absl::StatusCode code,
                   std::string_view message,
                   const ErrorDetail& detail);

// `field` may be empty. kInvalidArgument.
absl::Status InvalidArgument(
    std::string_view reason,
    std::string_view field,
    std::string_view message,
    const std::map<std::string, std::string>& metadata = {});

// The detail attached by Error(), if any.
std::optional<ErrorDetail> DetailOf(const absl::Status& status);

// The same error with "`prefix`: " before its message; the detail is kept.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

// The message as std's view.
inline std::string_view MessageOf(const absl::Status& status) {
  return StdView(status.message());
}

// Ends the process. For broken invariants only, never reachable by a request.
[[noreturn]] void Die(const char* file, int line, const char* condition);

}  // namespace spar::base

#define SPAR_CONCAT_INNER(a, b) a##b
#define SPAR_CONCAT(a, b) SPAR_CONCAT_INNER(a, b)

#define INVARIANT(condition) \
  ((condition) ? (void)0 : ::spar::base::Die(__FILE__, __LINE__, #condition))

#define RETURN_IF_ERROR_IMPL(keyword, status, expression) \
  if (absl::Status status = (expression); !status.ok()) keyword status

#define ASSIGN_OR_RETURN_IMPL(keyword, result, lhs, expression) \
  auto result = (expression);                                   \
  if (!result.ok()) keyword std::move(result).status();         \
  lhs = *std::move(result)

// Each expands to several statements: use braces around it in an `if`.
#define RETURN_IF_ERROR(expression) \
  RETURN_IF_ERROR_IMPL(return, SPAR_CONCAT(status_, __LINE__), expression)
#define ASSIGN_OR_RETURN(lhs, expression) \
  ASSIGN_OR_RETURN_IMPL(return, SPAR_CONCAT(result_, __LINE__), lhs, expression)
#define CO_RETURN_IF_ERROR(expression) \
  RETURN_IF_ERROR_IMPL(co_return, SPAR_CONCAT(status_, __LINE__), expression)
#define CO_ASSIGN_OR_RETURN(lhs, expression)                            \
  ASSIGN_OR_RETURN_IMPL(co_return, SPAR_CONCAT(result_, __LINE__), lhs, \
                        expression)
