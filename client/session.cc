#include "client/session.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>

#include "client/json_lines.h"

#include "base/status.h"

namespace spar::client {
namespace {

constexpr size_t kMaxFileBytes = 64 << 20;

ClientOptions OptionsOf(const CommandLine& line) {
  ClientOptions options;
  options.target = line.server;
  if (line.timeout_seconds) {
    const std::chrono::milliseconds timeout(
        static_cast<int64_t>(*line.timeout_seconds * 1e3));
    options.unary_timeout = timeout;
    options.verify_timeout = timeout;
    options.search_timeout = timeout;
  }
  return options;
}

struct CloseUnlessStdin {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

}  // namespace

Session::Session(const CommandLine& line)
    : line_(line),
      style_(StyleFor(SurroundingsOf(fileno(stdout)), line.color)),
      error_style_(StyleFor(SurroundingsOf(fileno(stderr)), line.color)),
      client_(OptionsOf(line)) {}

void Session::Print(std::string_view text) {
  if (!output_.ok()) return;
  const size_t written = std::fwrite(text.data(), 1, text.size(), stdout);
  if (written != text.size() || std::fflush(stdout) != 0) {
    output_ = absl::DataLossError(base::AbslView(
        base::Cat("cannot write to standard output: ", std::strerror(errno))));
  }
}

void Session::PrintJson(const google::protobuf::Message& message) {
  const absl::StatusOr<std::string> text = JsonLine(message);
  if (text.ok()) {
    Print(*text);
  } else if (output_.ok()) {
    output_ = text.status();
  }
}

void Session::PrintError(const absl::Status& error) {
  const std::string text =
      json() ? ErrorJsonLine(error)
             : base::Cat(Paint(error_style_, Tone::kBad, "spar: "),
                         ErrorText(error), "\n");
  std::fputs(text.c_str(), stderr);
}

int Session::Fail(const absl::Status& error) {
  const bool unreachable = absl::IsUnavailable(error) && !base::DetailOf(error);
  PrintError(unreachable ? base::Annotate(
                               error, base::Cat("cannot reach ", line_.server,
                                                " (--server or SPAR_SERVER)"))
                         : error);
  return kExitRpcError;
}

int Session::FailUsage(std::string_view message) {
  PrintError(absl::InvalidArgumentError(base::AbslView(message)));
  return kExitUsage;
}

int Session::FailOutput(std::string_view message) {
  PrintError(absl::DataLossError(base::AbslView(message)));
  return kExitOutputFailed;
}

int Session::Finish(int code) {
  return output_.ok() ? code : FailOutput(base::MessageOf(output_));
}

absl::StatusOr<v1::Prompt> Session::ReadPrompt() {
  v1::Prompt prompt;
  prompt.set_ignore_special_tokens(line_.ignore_special_tokens);
  if (!line_.prompt_text) {
    for (const int32_t id : line_.prompt_tokens) {
      prompt.mutable_tokens()->add_ids(id);
    }
    return prompt;
  }
  if (*line_.prompt_text != "-") {
    prompt.set_text(*line_.prompt_text);
    return prompt;
  }
  ASSIGN_OR_RETURN(std::string text, ReadFile("-"));
  // The newline that ends a line of a pipe is not meant.
  if (text.ends_with('\n')) text.pop_back();
  prompt.set_text(text);
  return prompt;
}

absl::StatusOr<std::vector<v1::Prompt>> Session::ReadPrompts() {
  std::vector<v1::Prompt> prompts;
  for (const std::string& text : line_.prompt_texts) {
    if (text != "-") {
      prompts.emplace_back().set_text(text);
      continue;
    }
    ASSIGN_OR_RETURN(const std::string lines, ReadFile("-"));
    std::string_view rest = lines;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      prompts.emplace_back().set_text(std::string(rest.substr(0, end)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  prompts.insert(prompts.end(), line_.token_prompts.begin(),
                 line_.token_prompts.end());
  for (v1::Prompt& prompt : prompts) {
    prompt.set_ignore_special_tokens(line_.ignore_special_tokens);
  }
  return prompts;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<std::FILE, CloseUnlessStdin> file(
      path == "-" ? stdin : std::fopen(path.c_str(), "rb"));
  std::string text;
  char buffer[1 << 16];
  while (file != nullptr) {
    const size_t size = std::fread(buffer, 1, sizeof buffer, file.get());
    if (size == 0) break;
    text.append(buffer, size);
    if (text.size() > kMaxFileBytes) {
      return absl::OutOfRangeError(base::AbslView(
          base::Cat(path, " is longer than ", kMaxFileBytes, " bytes")));
    }
  }
  if (file == nullptr || std::ferror(file.get()) != 0) {
    return absl::NotFoundError(base::AbslView(
        base::Cat("cannot read ", path, ": ", std::strerror(errno))));
  }
  return text;
}

}  // namespace spar::client
