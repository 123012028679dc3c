// L0. One line a message on standard error: time, level, text.
#pragma once

#include <string_view>

namespace spar::base {

enum class LogLevel { kInfo, kWarning, kError };

// Thread-safe; a message is written whole.
void Log(LogLevel level, std::string_view message);

inline void LogInfo(std::string_view message) {
  Log(LogLevel::kInfo, message);
}
inline void LogWarning(std::string_view message) {
  Log(LogLevel::kWarning, message);
}
inline void LogError(std::string_view message) {
  Log(LogLevel::kError, message);
}

}  // namespace spar::base
