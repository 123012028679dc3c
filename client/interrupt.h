// L5. Ctrl-C as a stop token.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace spar::client {

// Owns SIGINT and SIGTERM of the process: a thread waits for them, so nothing
// runs in a signal handler. Make one, before any other thread starts.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // From here on the first signal requests the token's stop. The second one,
  // and any before this call, ends the process at once with 128 + signal.
  std::stop_token Arm();

 private:
  void Wait();

  std::atomic<bool> armed_{false};
  std::atomic<bool> done_{false};
  std::stop_source source_;

  std::thread thread_;
};

}  // namespace spar::client
