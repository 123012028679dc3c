// Tokenizing a megabyte: one long word, and text. Both must take seconds at
// most.
//
//   bench/tokenize [--quick]
//
// Where SPAR_TEST_DATA holds gpt2-tokenizer and tinyshakespeare.txt, they are
// measured, and otherwise a small byte-level BPE and a repeated sentence. The
// figures are medians of five runs, with --quick single runs.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "bench/bench_report.h"
#include "models/text/tokenizer.h"

namespace {

using spar::models::Tokenizer;

constexpr size_t kBytes = 1 << 20;

std::string Repeated(const std::string& text) {
  std::string all;
  while (all.size() < kBytes) all += text;
  return all.substr(0, kBytes);
}

// The 256 byte characters of GPT-2 and merges that halve runs of a.
std::string SmallTokenizer() {
  std::string vocab = "\"a\":0";
  std::string merges;
  std::string token = "a";
  for (int id = 1; id <= 10; ++id) {
    merges += spar::base::Cat(id > 1 ? "," : "", "\"", token, " ", token, "\"");
    token += token;
    vocab += spar::base::Cat(",\"", token, "\":", id);
  }
  int id = 11;
  for (int code = 0x21; code < 0x144; ++code) {
    const bool self =
        (code <= 0x7E && code != 'a') || (code >= 0xA1 && code != 0xAD);
    if (!self) continue;
    char escaped[8] = {};
    std::snprintf(escaped, sizeof(escaped), "\\u%04x", code);
    vocab += spar::base::Cat(",\"", escaped, "\":", id++);
  }
  return spar::base::Cat(
      R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},)",
      R"("decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{)",
      vocab, R"(},"merges":[)", merges, "]}}");
}

double MedianSeconds(int runs, const std::function<void()>& work) {
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) {
    seconds.push_back(spar::bench::Seconds(work));
  }
  return spar::bench::Median(std::move(seconds));
}

int Run(int runs,
        const std::filesystem::path& folder,
        const std::string& text) {
  const auto opened = Tokenizer::Open(folder);
  if (!opened.ok()) {
    const std::string_view message = spar::base::MessageOf(opened.status());
    std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()),
                 message.data());
    return 1;
  }
  const Tokenizer& tokenizer = **opened;
  const struct {
    const char* name = nullptr;
    std::string text = {};
  } cases[] = {{"a_run_seconds", std::string(kBytes, 'a')},
               {"spaces_seconds", std::string(kBytes, ' ')},
               {"text_seconds", Repeated(text)}};
  for (const auto& one : cases) {
    size_t tokens = 0;
    bool ok = true;
    const double seconds = MedianSeconds(runs, [&] {
      const auto ids = tokenizer.Encode(one.text, {});
      ok = ids.ok();
      tokens = ok ? ids->size() : 0;
    });
    if (!ok) return 1;
    spar::bench::Report(spar::base::Cat("tokenize.", one.name), seconds, "s");
    spar::bench::Say(spar::base::Cat("  ", one.text.size(), " bytes gave ",
                                     tokens, " tokens"));
  }
  return 0;
}

std::string FileText(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

int RunOnSmallTokenizer(int runs) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() /
      spar::base::Cat(
          "spar_bench_tokenize_",
          std::chrono::steady_clock::now().time_since_epoch().count());
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "tokenizer.json") << SmallTokenizer();
  const int result =
      Run(runs, folder,
          "The quick brown fox, 1234 of them, couldn't jump.\n\tSo it sat. ");
  std::filesystem::remove_all(folder);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const int runs = spar::bench::ParseBenchOptions(argc, argv).quick ? 1 : 5;
  const char* const data = std::getenv("SPAR_TEST_DATA");
  if (data != nullptr) {
    const std::filesystem::path root(data);
    const std::string text = FileText(root / "tinyshakespeare.txt");
    if (!text.empty()) return Run(runs, root / "gpt2-tokenizer", text);
  }
  return RunOnSmallTokenizer(runs);
}
