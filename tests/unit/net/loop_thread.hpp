// A loop that runs on a thread of its own for as long as this lives.
#pragma once

#include <future>
#include <thread>

#include "proxy/net/loop.hpp"

namespace dbproxy::net::testing {

struct LoopThread {
  SystemClock clock;
  Loop loop{clock};
  std::thread thread{[this] { loop.run(); }};

  ~LoopThread() { stop(); }
  void stop() {
    if (!thread.joinable()) return;
    loop.stop();
    thread.join();
  }
  // Runs on the loop's thread and waits.
  template <class Work>
  void run(Work work) {
    std::promise<void> done;
    loop.post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
};

}  // namespace dbproxy::net::testing
