// L1. See query_files.h.
#include "models/demo/query_files.h"

#include "base/status.h"
#include "models/demo/corpus.h"

namespace spar::demo {
namespace {

constexpr int kReferencePrompts = 512;
constexpr uint64_t kReferenceSeed = 70001;
constexpr int kQueries = 300;
constexpr uint64_t kQuerySeed = 80001;

}  // namespace

std::string ReferencePromptsText() {
  const QueryOptions options{.min_words = 6, .max_words = 30};
  std::string text;
  for (const Query& query :
       HeldOutQueries(kReferencePrompts, options, kReferenceSeed)) {
    text += JoinWords(query.prompt) + "\n";
  }
  return text;
}

std::string QueriesText() {
  const QueryOptions options{.max_words = 30};
  std::string text;
  for (const Query& query : HeldOutQueries(kQueries, options, kQuerySeed)) {
    text += base::Cat(QueryTypeName(query.type), "\t", JoinWords(query.prompt),
                      "\t", query.answer, "\n");
  }
  return text;
}

}  // namespace spar::demo
