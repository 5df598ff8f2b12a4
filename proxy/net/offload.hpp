// Offload: a few threads for what would stall the event loop.
//
// `work` runs on the offload thread, then what it returned runs on the loop's thread. The loop must outlive this.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "proxy/net/loop.hpp"

namespace dbproxy::net {

class Offload {
 public:
  using Done = std::function<void()>;
  using Work = std::function<Done()>;

  explicit Offload(Loop& loop, int threads = 2);
  ~Offload();  // work that has not begun is dropped
  void run(Work work);

 private:
  void serve(std::stop_token stop);

  Loop& loop_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Work> queue_;
  std::vector<std::jthread> threads_;
};

}  // namespace dbproxy::net
