// WorkQueue: keys that want to be looked at, each at most once at a time and at most once in the queue.
//
// The semantics are those of client-go's rate-limited queue: a key that is added while it is being worked on comes
// again afterwards; one that failed comes again after a wait of its own, which doubles from `base` to `cap` until
// `forget`. Thread-safe; for any number of workers.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>

namespace dbproxy::kubernetes {

class WorkQueue {
 public:
  using SteadyClock = std::chrono::steady_clock;
  explicit WorkQueue(std::chrono::milliseconds base = std::chrono::milliseconds(100),
                     std::chrono::milliseconds cap = std::chrono::milliseconds(60'000))
      : base_(base), cap_(cap) {}

  void add(const std::string& key);
  void add_after(const std::string& key, std::chrono::milliseconds wait);
  // After its own back-off.
  void add_failed(const std::string& key);
  void forget(const std::string& key);

  // Waits for a key; none once it is closed. `done` has to follow.
  std::optional<std::string> take();
  void done(const std::string& key);
  void close();

  std::size_t size() const;  // ready ones
  bool idle() const;         // nothing ready, and nothing in work

 private:
  void ready(const std::string& key);  // with the lock
  void due(SteadyClock::time_point now);

  const std::chrono::milliseconds base_, cap_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool closed_ = false;
  std::deque<std::string> queue_;
  std::set<std::string> queued_, working_, again_;
  std::map<std::string, SteadyClock::time_point> later_;
  std::map<std::string, int> failures_;
};

}  // namespace dbproxy::kubernetes
