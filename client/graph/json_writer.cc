#include "client/graph/json_writer.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

#include "client/text.h"

namespace spar::client {
namespace {

template <typename T>
std::string Shortest(T number) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return std::string(buffer, end);
}

}  // namespace

std::string JsonString(std::string_view text) {
  std::string json = "\"";
  while (!text.empty()) {
    const size_t bytes = Utf8Length(text);
    if (bytes == 0) {
      json += "\\ufffd";
      text.remove_prefix(1);
      continue;
    }
    const std::string_view character = text.substr(0, bytes);
    const unsigned char c = static_cast<unsigned char>(character[0]);
    const bool is_line_end =
        character == "\xE2\x80\xA8" || character == "\xE2\x80\xA9";
    if (c == '"' || c == '\\') {
      json += '\\';
      json += character;
    } else if (is_line_end) {
      json += character == "\xE2\x80\xA8" ? "\\u2028" : "\\u2029";
    } else if (c < 0x20 || c == 0x7F || c == '<' || c == '>' || c == '&') {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      json += escape;
    } else {
      json += character;
    }
    text.remove_prefix(bytes);
  }
  return json + "\"";
}

void JsonWriter::Separate() {
  if (!first_ && !after_key_) text_ += ',';
  first_ = false;
  after_key_ = false;
}

void JsonWriter::Open(char bracket) {
  Separate();
  text_ += bracket;
  first_ = true;
}

void JsonWriter::Close(char bracket) {
  text_ += bracket;
  first_ = false;
}

void JsonWriter::Key(std::string_view key) {
  Separate();
  text_ += JsonString(key);
  text_ += ':';
  after_key_ = true;
}

void JsonWriter::String(std::string_view text) {
  Separate();
  text_ += JsonString(text);
}

void JsonWriter::Int(int64_t number) {
  Separate();
  text_ += std::to_string(number);
}

void JsonWriter::Bool(bool value) {
  Separate();
  text_ += value ? "true" : "false";
}

void JsonWriter::Null() {
  Separate();
  text_ += "null";
}

void JsonWriter::Number(double number) {
  if (!std::isfinite(number)) return Null();
  Separate();
  text_ += Shortest(number);
}

void JsonWriter::Number(float number) {
  if (!std::isfinite(number)) return Null();
  Separate();
  text_ += Shortest(number);
}

std::string JsonWriter::Take() {
  first_ = true;
  return std::exchange(text_, {});
}

}  // namespace spar::client
