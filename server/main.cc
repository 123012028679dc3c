// L6. spard: serves models, checks one certificate, or trains a decomposition.
#include <cstdio>
#include <string>
#include <variant>
#include <vector>

#include "server/config.h"
#include "server/serve.h"
#include "server/train.h"
#include "server/verify.h"

int main(int argc, char** argv) {
  const spar::Command command =
      spar::ParseCommandLine(std::vector<std::string>(argv + 1, argv + argc));
  if (const auto* show = std::get_if<spar::ShowText>(&command)) {
    std::fputs(show->text.c_str(), show->exit_code == 0 ? stdout : stderr);
    return show->exit_code;
  }
  if (const auto* verify = std::get_if<spar::VerifyCommand>(&command)) {
    return spar::Verify(*verify);
  }
  spar::BlockStopSignals();
  if (const auto* train = std::get_if<spar::TrainCommand>(&command)) {
    return spar::Train(*train);
  }
  return spar::Serve(std::get<spar::ServeCommand>(command));
}
