#include "client/command_line.h"

#include "client/ablate_options.h"
#include "client/crystallize_options.h"
#include "client/decomposition_options.h"
#include "client/evaluate_options.h"
#include "client/graph_options.h"
#include "client/option_words.h"
#include "client/prune_options.h"
#include "client/set_options.h"

namespace spar::client {
namespace {

constexpr char kDescription[] =
    "spar: asks a Spar server why a model produced a token.";

constexpr char kFooter[] =
    "Exit status:\n"
    "  0    done; for crystallize and prune --crystallize: CRYSTALLIZED\n"
    "  1    verify: the certificate does not hold\n"
    "  2    bad arguments, or a file that cannot be read\n"
    "  3    crystallize, or a row of prune --crystallize: PRIOR, DISTRIBUTED,\n"
    "       UNSTABLE or BUDGET_EXHAUSTED\n"
    "  4    the server refused the call or cannot be reached\n"
    "  5    the output, a certificate or another file could not be written\n"
    "  130  interrupted; the call is cancelled on the server\n"
    "\n"
    "Environment: SPAR_SERVER is the default of --server; NO_COLOR turns\n"
    "colour off.";

void AddGlobals(CLI::App& app, CommandLine& line) {
  app.add_option("--server", line.server, "Address of the server")
      ->envname("SPAR_SERVER")
      ->capture_default_str();
  app.add_option("--model", line.model,
                 "Name of the model; the server's only one by default");
  app.add_option("--timeout", line.timeout_seconds,
                 "Seconds that a call may take (30; verify 600; a search as "
                 "long as it needs)")
      ->check(CLI::Range(0.001, 1e7));
  AddWords<OutputFormat>(
      app, "--output",
      {{"text", OutputFormat::kText}, {"json", OutputFormat::kJson}},
      "text (default), or json: one line of protobuf JSON per message",
      [&line](OutputFormat output) { line.output = output; });
  AddWords<ColorWhen>(app, "--color",
                      {{"auto", ColorWhen::kAuto},
                       {"always", ColorWhen::kAlways},
                       {"never", ColorWhen::kNever}},
                      "auto (default), always or never",
                      [&line](ColorWhen when) { line.color = when; });
}

void AddPrompt(CLI::App& app, CommandLine& line, bool may_be_tokens) {
  auto* const prompt =
      app.add_option("prompt", line.prompt_text,
                     "Text of the prompt, or - for standard input");
  if (may_be_tokens) {
    app.add_option("--tokens", line.prompt_tokens,
                   "Token ids instead of text: 1,2,3")
        ->delimiter(',')
        ->excludes(prompt);
  } else {
    prompt->required();
  }
  app.add_flag("--ignore-special-tokens", line.ignore_special_tokens,
               "Read special tokens in the text as plain text");
}

void AddTarget(CLI::App& app, CommandLine& line, const std::string& help) {
  auto* const target =
      app.add_option("--target", line.target_text,
                     help + ", as text; the model's prediction by default");
  app.add_option("--target-id", line.target_id, "The same by id")
      ->excludes(target);
}

void AddCandidates(CLI::App& app, CommandLine& line) {
  app.add_option("--top-k", line.top_k, "How many candidates (5)");
  app.add_flag("--every-position", line.every_position,
               "After every position, not only the last");
}

void AddCommands(CLI::App& app, CommandLine& line) {
  const auto add = [&](Command command, const std::string& name,
                       const std::string& help) {
    CLI::App* const sub = app.add_subcommand(name, help);
    sub->fallthrough();
    sub->callback([&line, command] { line.command = command; });
    return sub;
  };
  add(Command::kModels, "models", "List the resident models");
  AddPrompt(*add(Command::kTokenize, "tokenize", "Show the tokens of a text"),
            line, false);
  CLI::App* const predict =
      add(Command::kPredict, "predict", "Show what the model says next");
  AddPrompt(*predict, line, true);
  AddCandidates(*predict, line);
  CLI::App* const crystallize =
      add(Command::kCrystallize, "crystallize",
          "Find the few units and positions that still say the token");
  AddPrompt(*crystallize, line, true);
  AddTarget(*crystallize, line, "The token to explain");
  AddSearchOptions(*crystallize, line.options);
  AddSetOptions(*crystallize, "--units-from", "Begin from the units of a set",
                line);
  crystallize->add_option("--certificate", line.certificate_path,
                          "File to write the certificate to");
  crystallize->add_flag("--progress", line.always_progress,
                        "Show every event also where stderr is no terminal");
  AddPruneOptions(*add(Command::kPrune, "prune",
                       "Optimise which nodes prompts need, at several prices"),
                  line);
  CLI::App* const ablate = add(Command::kAblate, "ablate",
                               "Run the model with parts of it off or scaled");
  AddPrompt(*ablate, line, true);
  AddTarget(*ablate, line, "The token whose margin is told");
  AddCandidates(*ablate, line);
  AddAblateOptions(*ablate, line.ablation);
  add(Command::kVerify, "verify", "Have the server re-check a certificate")
      ->add_option("certificate", line.argument,
                   "File of the certificate, or - for standard input")
      ->required();
  CLI::App* const attribute =
      add(Command::kAttribute, "attribute",
          "Show how the parts of the model moved each other directly");
  AddPrompt(*attribute, line, true);
  AddAttributeRequest(*attribute, line);
  AddSetOptions(*attribute, "--nodes-from", "Take the nodes of a set", line);
  AddGraphOutput(*attribute, line);
  const auto add_graph = [&](Command command, const std::string& name,
                             const std::string& help, int least, int most) {
    CLI::App* const sub = add(command, name, help);
    sub->add_option("files", line.graph.files,
                    "Saved graphs: --export pb=FILE or json=FILE")
        ->required()
        ->expected(least, most);
    return sub;
  };
  CLI::App* const graph = add_graph(Command::kGraph, "graph",
                                    "Show or convert a saved graph", 1, 1);
  AddGraphQuestion(*graph, line);
  AddGraphOutput(*graph, line);
  AddLineCount(*add_graph(Command::kCompare, "compare",
                          "Show how two saved graphs differ", 2, 2),
               line);
  AddLineCount(*add_graph(Command::kAggregate, "aggregate",
                          "Add up saved graphs by component", 1, 100'000),
               line);
  AddDecompositionOptions(*add(Command::kDecompositions, "decompositions",
                               "List the decompositions of models"),
                          line);
  AddImportanceOptions(*add(Command::kImportances, "importances",
                            "Show which subcomponents prompts need"),
                       line);
  AddEvaluateOptions(*add(Command::kEvaluate, "evaluate",
                          "Judge a decomposition on prompts or texts"),
                     line);
  CLI::App* const train = add(Command::kTrain, "train",
                              "Train a decomposition of a model on the server");
  train
      ->add_option(
          "--config", line.train_config,
          "File of the configuration without pretrained_model_path, or "
          "- for standard input; its paths are of the server's "
          "training folder")
      ->required();
  train->add_flag("--resume", line.resume,
                  "Go on from the latest checkpoint, where there is one");
  add(Command::kWait, "wait", "Wait until the server is ready to serve")
      ->add_option("service", line.argument,
                   "A name of its health service; the whole server by default");
}

}  // namespace

std::optional<CommandLine> ParseCommandLine(int argc,
                                            const char* const* argv,
                                            int& exit_code) {
  CommandLine line;
  CLI::App app(kDescription, "spar");
  app.footer(kFooter);
  app.require_subcommand(1);
  AddGlobals(app, line);
  AddCommands(app, line);
  try {
    app.parse(argc, argv);
    const bool wants_prompt = line.command == Command::kPredict ||
                              line.command == Command::kCrystallize ||
                              line.command == Command::kAblate ||
                              line.command == Command::kAttribute;
    // A saved set has its own prompt.
    if (wants_prompt && !line.has_prompt() && line.set.path.empty()) {
      throw CLI::RequiredError("prompt or --tokens");
    }
    const bool wants_prompts = line.command == Command::kImportances ||
                               line.command == Command::kPrune ||
                               line.command == Command::kEvaluate;
    if (wants_prompts && line.prompt_texts.empty() &&
        line.token_prompts.empty() && line.evaluate.text_paths.empty()) {
      throw CLI::RequiredError("prompts or --tokens");
    }
    return line;
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
    return std::nullopt;
  }
}

}  // namespace spar::client
