#include "proxy/net/loop.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace dbproxy::net {

Loop::Loop(const Clock& clock)
    : clock_(clock),
      epoll_fd_(epoll_create1(EPOLL_CLOEXEC)),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      now_(clock.now()) {
  if (epoll_fd_ < 0 || wake_fd_ < 0) std::abort();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event);
}

Loop::~Loop() {
  retired_.clear();
  ::close(wake_fd_);
  ::close(epoll_fd_);
}

void Loop::run() {
  std::array<epoll_event, 256> events;
  while (!stopping_.load(std::memory_order_relaxed)) {
    int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), wait_milliseconds());
    now_ = clock_.now();
    if (count < 0 && errno != EINTR) std::abort();
    bool woken = false;
    for (int i = 0; i < count; ++i) {
      auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.ptr == nullptr) {
        woken = true;
      } else {
        static_cast<Pollable*>(event.data.ptr)->on_event(event.events);
      }
    }
    if (woken) run_posted();
    fire_timers();
    run_deferred();
    // Destructors may retire others.
    while (!retired_.empty()) {
      auto dying = std::move(retired_);
      retired_.clear();
      dying.clear();
    }
  }
  run_posted();
}

void Loop::stop() {
  post([this] { stopping_ = true; });
}

void Loop::post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(work));
  }
  std::uint64_t one = 1;
  // Only fails when the counter is full, and then the loop wakes anyway.
  [[maybe_unused]] auto written = ::write(wake_fd_, &one, sizeof one);
}

void Loop::watch(int fd, Pollable& pollable) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &pollable;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) std::abort();
}

void Loop::unwatch(int fd) {
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

void Loop::arm(Timer& timer, Duration after) {
  timer.disarm();
  timer.deadline_ = now_ + after;
  timers_.insert(timer);
}

void Loop::defer(Deferred& deferred) {
  if (!deferred.is_linked()) deferred_.push_back(deferred);
}

int Loop::wait_milliseconds() const {
  if (!deferred_.empty()) return 0;
  if (timers_.empty()) return -1;
  auto left = timers_.begin()->deadline_ - now_;
  if (left <= Duration::zero()) return 0;
  auto millis = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::min<std::int64_t>(millis, 60'000));
}

void Loop::run_posted() {
  std::uint64_t count = 0;
  [[maybe_unused]] auto got = ::read(wake_fd_, &count, sizeof count);
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    work.swap(posted_);
  }
  for (auto& item : work) item();
}

void Loop::fire_timers() {
  while (!timers_.empty() && timers_.begin()->deadline_ <= now_) {
    auto& timer = *timers_.begin();
    timer.disarm();
    timer.fire_();
  }
}

void Loop::run_deferred() {
  if (deferred_.empty()) return;
  // Only what is there now: what defers itself again waits for the next round, so that sockets get their turn.
  boost::intrusive::list<Deferred, boost::intrusive::constant_time_size<false>> round;
  round.swap(deferred_);
  while (!round.empty()) {
    auto& item = round.front();
    round.pop_front();
    item.on_deferred();
  }
}

}  // namespace dbproxy::net
