// L5. `spar`, the command line.
#include "client/command_line.h"
#include "client/commands.h"
#include "client/interrupt.h"
#include "client/session.h"

namespace {

using spar::client::Command;

int Run(spar::client::Session& session, spar::client::Interrupt& interrupt) {
  switch (session.line().command) {
    case Command::kModels:
      return RunModels(session);
    case Command::kTokenize:
      return RunTokenize(session);
    case Command::kPredict:
      return RunPredict(session);
    case Command::kCrystallize:
      return RunCrystallize(session, interrupt);
    case Command::kPrune:
      return RunPrune(session, interrupt);
    case Command::kAblate:
      return RunAblate(session, interrupt);
    case Command::kVerify:
      return RunVerify(session);
    case Command::kAttribute:
      return RunAttribute(session, interrupt);
    case Command::kGraph:
      return RunGraph(session);
    case Command::kCompare:
      return RunCompare(session);
    case Command::kAggregate:
      return RunAggregate(session);
    case Command::kDecompositions:
      return RunDecompositions(session);
    case Command::kImportances:
      return RunImportances(session, interrupt);
    case Command::kEvaluate:
      return RunEvaluate(session, interrupt);
    case Command::kTrain:
      return RunTrain(session, interrupt);
    case Command::kWait:
      return RunWait(session);
  }
  return spar::client::kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  int exit_code = spar::client::kExitOk;
  const auto line = spar::client::ParseCommandLine(argc, argv, exit_code);
  if (!line) return exit_code;
  spar::client::Interrupt interrupt;
  spar::client::Session session(*line);
  return Run(session, interrupt);
}
