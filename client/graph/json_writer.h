// L5. JSON as text, written as it goes: graphs have millions of edges.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace spar::client {

// Members come in the order written. Keys and nesting are the caller's to get
// right. Strings may hold anything: bytes that are no UTF-8 become U+FFFD.
class JsonWriter {
 public:
  void BeginObject() { Open('{'); }
  void EndObject() { Close('}'); }
  void BeginArray() { Open('['); }
  void EndArray() { Close(']'); }
  void Key(std::string_view key);

  void String(std::string_view text);
  void Int(int64_t number);
  void Bool(bool value);
  void Null();
  // The shortest text that reads back as the same number; null when it is not
  // finite.
  void Number(double number);
  void Number(float number);

  template <typename Value>
  void Member(std::string_view key, const Value& value) {
    Key(key);
    if constexpr (std::same_as<Value, bool>) {
      Bool(value);
    } else if constexpr (std::integral<Value>) {
      Int(value);
    } else if constexpr (std::floating_point<Value>) {
      Number(value);
    } else {
      String(value);
    }
  }

  // What was written; the writer is empty then.
  std::string Take();

 private:
  void Open(char bracket);
  void Close(char bracket);
  void Separate();

  std::string text_;
  bool first_ = true;  // in the present object or array
  bool after_key_ = false;
};

// `text` between quotes, escaped for JSON and for an HTML <script> alike.
std::string JsonString(std::string_view text);

}  // namespace spar::client
