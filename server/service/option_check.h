// L5. What every option is checked by. Fields are paths in the request.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "base/status.h"
#include "models/row.h"
#include "models/text/tokenizer.h"

namespace spar::service {

absl::Status OutOfRange(std::string_view reason,
                        std::string_view field,
                        const std::string& value,
                        std::string_view want);

// OPTION_OUT_OF_RANGE, unless `holds`.
template <typename T>
absl::Status CheckField(bool holds,
                        std::string_view field,
                        T value,
                        std::string_view want) {
  if (holds) return absl::OkStatus();
  return OutOfRange("OPTION_OUT_OF_RANGE", field, base::Cat(value), want);
}

// The value of an enum of ours that one of the contract stands for.
template <typename T>
struct EnumValue {
  int wire = 0;
  T value = {};
};

// OPTION_OUT_OF_RANGE for a value that `known` lacks.
template <typename T, size_t kSize>
absl::StatusOr<T> EnumFromProto(const EnumValue<T> (&known)[kSize],
                                int wire,
                                std::string_view field) {
  for (const EnumValue<T>& entry : known) {
    if (entry.wire == wire) return entry.value;
  }
  return OutOfRange("OPTION_OUT_OF_RANGE", field, base::Cat(wire),
                    "a value of its enum");
}

// The value of the contract for one of ours; the last entry that has it.
template <typename T, size_t kSize>
int EnumToProto(const EnumValue<T> (&known)[kSize], T value) {
  int wire = 0;
  for (const EnumValue<T>& entry : known) {
    if (entry.value == value) wire = entry.wire;
  }
  return wire;
}

// The one token that `text` is. NOT_ONE_TOKEN, and TokensFromText's errors.
absl::StatusOr<models::TokenId> TokenFromText(
    const std::string& text,
    const models::Tokenizer& tokenizer,
    std::string_view field);

}  // namespace spar::service
