// L5. The arguments of `spar` as a value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/graph/exports.h"
#include "client/saved_set.h"
#include "client/style.h"

#include "spar/v1/ablation_service.pb.h"
#include "spar/v1/attribution.pb.h"
#include "spar/v1/decomposition_service.pb.h"
#include "spar/v1/explanation_service.pb.h"
#include "spar/v1/pruning_service.pb.h"

namespace spar::client {

// What `spar` exits with; `spar --help` and docs/command-line.md say the same.
enum ExitCode : int {
  kExitOk = 0,                  // done; searches that CRYSTALLIZED
  kExitInvalidCertificate = 1,  // verify: something does not hold
  kExitUsage = 2,               // bad arguments or an unreadable file
  kExitOtherVerdict = 3,        // crystallize, prune: any other verdict
  kExitRpcError = 4,            // the server refused, or cannot be reached
  kExitOutputFailed = 5,        // output or a file could not be written
  kExitInterrupted = 130,       // Ctrl-C
};

enum class Command {
  kModels,
  kTokenize,
  kPredict,
  kCrystallize,
  kPrune,
  kAblate,
  kVerify,
  kAttribute,
  kGraph,
  kCompare,
  kAggregate,
  kDecompositions,
  kImportances,
  kEvaluate,
  kTrain,
  kWait
};

enum class OutputFormat { kText, kJson };

struct GraphExport {
  GraphFormat format = GraphFormat::kJson;
  std::string path = {};
};

// Of the commands about attribution graphs.
struct GraphArguments {
  std::vector<std::string> files = {};  // to read: one, two, or any number

  // graph: nodes by name, "": as the file has it.
  std::string target = {};
  std::string source = {};
  std::optional<int32_t> num_paths = std::nullopt;
  std::optional<v1::PathWeighting> weighting = std::nullopt;

  // Written beside the terminal.
  std::vector<GraphExport> exports = {};
  std::string html_path = {};  // "": none
  int32_t html_nodes = 400;

  int32_t num_lines = 20;  // compare, aggregate
};

// Of `spar prune`.
struct PruneArguments {
  v1::PruneRequest request = {};  // all that the other fields do not say

  // One for all prompts, or one for each; targets by text or by id.
  std::vector<std::string> target_texts = {};
  std::vector<int32_t> target_ids = {};
  std::vector<int32_t> positions = {};

  bool crystallize = false;    // with CommandLine.options
  std::string save_path = {};  // of the whole answer; "": none
};

// Of `spar evaluate`.
struct EvaluateArguments {
  v1::EvaluateRequest request = {};  // all that the other fields do not say
  v1::EvaluationAttack attack = {};  // unless no_attack
  bool no_attack = false;
  std::vector<std::string> text_paths = {};  // "-": stdin
  std::string report_path = {};              // a folder; "": none
};

// A set that an earlier command has found.
struct SetArguments {
  std::string path = {};  // "": none; "-": stdin
  SetChoice choice = {};
};

struct CommandLine {
  Command command = Command::kModels;

  // Global.
  std::string server = "127.0.0.1:7430";
  std::string model = {};                                // "": the only one
  std::optional<double> timeout_seconds = std::nullopt;  // of one call
  OutputFormat output = OutputFormat::kText;
  ColorWhen color = ColorWhen::kAuto;

  // tokenize, predict, crystallize, ablate, attribute: one of the two, or none
  // where `set` has it.
  std::optional<std::string> prompt_text = std::nullopt;  // "-": stdin
  std::vector<int32_t> prompt_tokens = {};
  bool ignore_special_tokens = false;
  bool has_prompt() const { return prompt_text || !prompt_tokens.empty(); }

  // predict, ablate.
  int top_k = 0;
  bool every_position = false;

  // crystallize, ablate.
  std::optional<std::string> target_text = std::nullopt;
  std::optional<int32_t> target_id = std::nullopt;

  // ablate: all that the other fields do not say.
  v1::AblateRequest ablation = {};

  // crystallize, prune.
  v1::CrystallizeOptions options = {};
  std::string certificate_path = {};  // to write; "": none
  std::string train_config = {};      // of train; "-": stdin
  bool resume = false;                // likewise
  bool always_progress = false;  // also where stderr is no screen; evaluate
  PruneArguments prune = {};

  // crystallize, attribute.
  SetArguments set = {};

  GraphArguments graph = {};
  v1::AttributeRequest attribute = {};  // but model and prompt

  // decompositions.
  bool norms = false;

  // importances, prune, evaluate: texts, "-": stdin, a prompt a line; token
  // ids.
  std::vector<std::string> prompt_texts = {};
  std::vector<v1::Prompt> token_prompts = {};
  v1::ImportancesRequest importances = {};  // all that they do not say
  EvaluateArguments evaluate = {};

  // verify: the certificate to read, "-": stdin. wait: the health service.
  // decompositions, importances, evaluate: MODEL/NAME.
  std::string argument = {};
};

// Reads argv and SPAR_SERVER. Nothing when the program should end at once:
// after --help (written to stdout; kExitOk) or a mistake (explained on stderr;
// kExitUsage), and then `exit_code` says with what.
std::optional<CommandLine> ParseCommandLine(int argc,
                                            const char* const* argv,
                                            int& exit_code);

}  // namespace spar::client
