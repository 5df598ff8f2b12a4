// Renewal: the operator's certificates in its state directory, looked at while it runs, and issued again when due.
//
// Owns one thread from `start` to `stop`. An authority that somebody exchanged is not followed: whoever is connected
// knows the one before only. That is told once, and the next start takes it.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "proxy/base/clock.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::manifest_mode {

class Renewal {
 public:
  using Renewed = std::function<void(const pki::ServerFiles&)>;  // on the thread

  Renewal(std::string directory, pki::LeafRequest request, pki::ServerFiles in_use, Renewed renewed,
          const Clock& clock);
  ~Renewal();  // stops
  void start();
  void stop();

  // One look, as the thread has it; true when there is another certificate. Tests call it without a thread.
  bool look();

 private:
  void run();

  const std::string directory_;
  const pki::LeafRequest request_;
  const Renewed renewed_;
  const Clock& clock_;
  pki::ServerFiles in_use_;
  std::string trouble_;  // as it was told
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace dbproxy::manifest_mode
