// L5. What every command of `spar` has: the client, the styles, the output.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "client/command_line.h"
#include "client/spar_client.h"
#include "client/style.h"
#include <google/protobuf/message.h>

namespace spar::client {

// For one thread. Keeps the command line by reference.
class Session {
 public:
  explicit Session(const CommandLine& line);

  const CommandLine& line() const { return line_; }
  Client& client() { return client_; }
  const Style& style() const { return style_; }              // stdout
  const Style& error_style() const { return error_style_; }  // stderr
  bool json() const { return line_.output == OutputFormat::kJson; }

  // To standard output, at once.
  void Print(std::string_view text);
  void PrintJson(const google::protobuf::Message& message);

  // Explains the error on standard error; the exit code that fits.
  int Fail(const absl::Status& error);
  int FailUsage(std::string_view message);
  int FailOutput(std::string_view message);

  // `code`, unless something could not be printed.
  int Finish(int code);

  // The prompt of the command line; stdin is read here. kNotFound when it
  // cannot be read.
  absl::StatusOr<v1::Prompt> ReadPrompt();
  // The prompts of a command that takes several: texts, then token ids.
  absl::StatusOr<std::vector<v1::Prompt>> ReadPrompts();

 private:
  void PrintError(const absl::Status& error);

  const CommandLine& line_;
  const Style style_;
  const Style error_style_;
  Client client_;
  absl::Status output_ = absl::OkStatus();
};

// All of a file, "-" for standard input. kNotFound when it cannot be read,
// kOutOfRange beyond 64 MiB.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace spar::client
