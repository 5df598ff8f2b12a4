// Loop: one thread's event loop on epoll, with deadlines and work posted from other threads.
//
// File descriptors are registered once, edge-triggered for reading and writing together, so that no epoll_ctl is
// spent per query (docs/decisions/0001). All methods but post() and stop() belong to the loop's own thread. An object
// that events may still name is given to retire(), which destroys it when the current round of events is over.
#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <boost/intrusive/set.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "proxy/base/clock.hpp"

namespace dbproxy::net {

// What epoll wakes. `events` are epoll's own bits.
class Pollable {
 public:
  virtual ~Pollable() = default;
  virtual void on_event(std::uint32_t events) = 0;
};

// A deadline that calls its function once. Disarmed when destroyed. Not movable.
class Timer : public boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  explicit Timer(std::function<void()> fire) : fire_(std::move(fire)) {}
  bool armed() const { return is_linked(); }
  void disarm() {
    if (is_linked()) unlink();
  }

 private:
  friend class Loop;
  friend bool operator<(const Timer& a, const Timer& b) { return a.deadline_ < b.deadline_; }
  TimePoint deadline_{};
  std::function<void()> fire_;
};

// Something to run again at the end of this round: for streams that hold decrypted bytes that epoll cannot see.
class Deferred : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~Deferred() = default;
  virtual void on_deferred() = 0;
};

class Loop {
 public:
  explicit Loop(const Clock& clock);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void run();
  void stop();                            // any thread
  void post(std::function<void()> work);  // any thread; runs on the loop's thread in order of posting

  TimePoint now() const { return now_; }  // as of the start of this round
  const Clock& clock() const { return clock_; }

  void watch(int fd, Pollable& pollable);
  void unwatch(int fd);
  void arm(Timer& timer, Duration after);
  void defer(Deferred& deferred);
  void retire(std::unique_ptr<Pollable> object) { retired_.push_back(std::move(object)); }

 private:
  int wait_milliseconds() const;
  void run_posted();
  void fire_timers();
  void run_deferred();

  const Clock& clock_;
  int epoll_fd_;
  int wake_fd_;
  TimePoint now_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  boost::intrusive::multiset<Timer, boost::intrusive::constant_time_size<false>> timers_;
  boost::intrusive::list<Deferred, boost::intrusive::constant_time_size<false>> deferred_;
  std::vector<std::unique_ptr<Pollable>> retired_;
};

}  // namespace dbproxy::net
