#include "client/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

namespace spar::client {
namespace {

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t signals = Signals();
  // Threads inherit the mask, so the waiting thread alone gets the signals.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  thread_ = std::thread([this] { Wait(); });
}

Interrupt::~Interrupt() {
  done_ = true;
  pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
}

std::stop_token Interrupt::Arm() {
  armed_ = true;
  return source_.get_token();
}

void Interrupt::Wait() {
  const sigset_t signals = Signals();
  for (;;) {
    int signal = 0;
    sigwait(&signals, &signal);
    if (done_) return;
    // request_stop is false when it has been requested before.
    if (!armed_ || !source_.request_stop()) _exit(128 + signal);
  }
}

}  // namespace spar::client
