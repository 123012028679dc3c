#include "client/command_line.h"

#include "client/ablate_options.h"
#include "client/decomposition_options.h"
#include "client/graph_options.h"
#include "client/option_words.h"
#include <google/protobuf/util/time_util.h>

namespace spar::client {
namespace {

constexpr char kDescription[] =
    "spar: asks a Spar server why a model produced a token.";

constexpr char kFooter[] =
    "Exit status:\n"
    "  0    done; for crystallize: CRYSTALLIZED\n"
    "  1    verify: the certificate does not hold\n"
    "  2    bad arguments, or a file that cannot be read\n"
    "  3    crystallize: PRIOR, DISTRIBUTED, UNSTABLE or BUDGET_EXHAUSTED\n"
    "  4    the server refused the call or cannot be reached\n"
    "  5    the output or the certificate could not be written\n"
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

void AddQuestion(CLI::App& app, CommandLine& line) {
  v1::CrystallizeOptions& options = line.options;
  AddTarget(app, line, "The token to explain");
  AddWords<v1::Mode>(
      app, "--mode",
      {{"grounded", v1::MODE_GROUNDED}, {"sufficient", v1::MODE_SUFFICIENT}},
      "grounded (default) or sufficient",
      [&options](v1::Mode mode) { options.set_mode(mode); });
  AddWords<v1::UnitScheme>(
      app, "--units",
      {{"head", v1::UNIT_SCHEME_HEAD},
       {"neuron", v1::UNIT_SCHEME_NEURON},
       {"head+neuron", v1::UNIT_SCHEME_HEAD_AND_NEURON},
       {"subcomponent", v1::UNIT_SCHEME_SUBCOMPONENT},
       {"subcomponent+delta", v1::UNIT_SCHEME_SUBCOMPONENT_AND_DELTA},
       {"node", v1::UNIT_SCHEME_NODE},
       {"node+delta", v1::UNIT_SCHEME_NODE_AND_DELTA}},
      "head, neuron or head+neuron (default); of a decomposition subcomponent "
      "or node (a subcomponent at a position), or these with +delta",
      [&options](v1::UnitScheme scheme) { options.set_unit_scheme(scheme); });
  app.add_option_function<std::string>(
      "--decomposition",
      [&options](const std::string& name) { options.set_decomposition(name); },
      "Whose subcomponents or nodes --units counts");
  AddWords<v1::Reference>(
      app, "--reference",
      {{"zero", v1::REFERENCE_ZERO}, {"mean", v1::REFERENCE_MEAN}},
      "Value of a unit outside S: zero (default) or mean",
      [&options](v1::Reference kind) { options.set_reference(kind); });
  AddWords<v1::PositionMode>(
      app, "--position-mode",
      {{"keep-ids", v1::POSITION_MODE_KEEP_IDS},
       {"reindex", v1::POSITION_MODE_REINDEX}},
      "Ids of the positions left: keep-ids (default) or reindex",
      [&options](v1::PositionMode mode) { options.set_position_mode(mode); });
}

void AddThresholds(CLI::App& app, v1::CrystallizeOptions& options) {
  const auto number = [&app](const std::string& name, const std::string& help,
                             const std::function<void(double)>& set) {
    app.add_option_function<double>(name, set, help);
  };
  number("--tau", "Margin to exceed, in logits (0.001)",
         [&options](double tau) { options.set_tau(tau); });
  number("--precision", "Grounded: precision T must reach (0.9)",
         [&options](double share) { options.set_precision_threshold(share); });
  number("--margin-share", "Grounded: share of the full margin to keep (0.5)",
         [&options](double share) { options.set_margin_share(share); });
  number("--contrast", "Grounded: contrast (S, T) must reach (0.8)",
         [&options](double share) { options.set_contrast_threshold(share); });
  number("--sparse-fraction", "Larger shares of units are DISTRIBUTED (0.1)",
         [&options](double share) { options.set_sparse_fraction(share); });
  app.add_flag_callback(
      "--pin-first", [&options] { options.set_pin_first(true); },
      "Keep the first position in T");
}

void AddAttack(CLI::App& app, v1::CrystallizeOptions& options) {
  app.add_option_function<int32_t>(
      "--attack-steps",
      [&options](int32_t n) { options.set_attack_step_count(n); },
      "Robust mode: S must hold against an attack of so many sign steps on the "
      "units outside it; 0: no attack (default)");
  app.add_option_function<double>(
      "--attack-step-size",
      [&options](double size) { options.set_attack_step_size(size); },
      "Robust mode: how far a step moves a mask (0.1)");
  app.add_option_function<int32_t>(
      "--attack-restarts",
      [&options](int32_t n) { options.set_attack_restart_count(n); },
      "Robust mode: starts of the attack (4)");
}

void AddBudgets(CLI::App& app, v1::CrystallizeOptions& options) {
  app.add_option_function<int64_t>(
      "--max-rows", [&options](int64_t n) { options.set_max_row_count(n); },
      "Rows the search may evaluate; 0: no bound (default)");
  app.add_option_function<double>(
         "--max-seconds",
         [&options](double seconds) {
           *options.mutable_max_duration() =
               google::protobuf::util::TimeUtil::NanosecondsToDuration(
                   static_cast<int64_t>(seconds * 1e9));
         },
         "Seconds the search may take; the best set so far is the answer")
      ->check(CLI::Range(-1e9, 1e9));
  app.add_option_function<int32_t>(
      "--target-units",
      [&options](int32_t n) { options.set_target_unit_count(n); },
      "Improve only until |S| is at most this; 0: as far as it goes (default)");
  app.add_option_function<int32_t>(
      "--improvement-rounds",
      [&options](int32_t n) { options.set_improvement_round_count(n); },
      "Add-and-prune rounds after the first certificate (4)");
  app.add_option_function<int64_t>(
      "--seed", [&options](int64_t seed) { options.set_seed(seed); },
      "Seed of every random draw (0)");
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
  AddQuestion(*crystallize, line);
  AddThresholds(*crystallize, line.options);
  AddAttack(*crystallize, line.options);
  AddBudgets(*crystallize, line.options);
  crystallize->add_option("--certificate", line.certificate_path,
                          "File to write the certificate to");
  crystallize->add_flag("--progress", line.always_progress,
                        "Show every event also where stderr is no terminal");
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
    if (wants_prompt && !line.prompt_text && line.prompt_tokens.empty()) {
      throw CLI::RequiredError("prompt or --tokens");
    }
    if (line.command == Command::kImportances && line.prompt_texts.empty() &&
        line.importances.prompts().empty()) {
      throw CLI::RequiredError("prompts or --tokens");
    }
    return line;
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? kExitOk : kExitUsage;
    return std::nullopt;
  }
}

}  // namespace spar::client
