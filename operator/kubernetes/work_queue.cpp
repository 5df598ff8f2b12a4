#include "operator/kubernetes/work_queue.hpp"

#include <algorithm>

namespace dbproxy::kubernetes {

void WorkQueue::ready(const std::string& key) {
  if (working_.contains(key)) {
    again_.insert(key);
  } else if (queued_.insert(key).second) {
    queue_.push_back(key);
    wake_.notify_one();
  }
}

void WorkQueue::add(const std::string& key) {
  const std::lock_guard lock(mutex_);
  later_.erase(key);
  ready(key);
}

void WorkQueue::add_after(const std::string& key, std::chrono::milliseconds wait) {
  const std::lock_guard lock(mutex_);
  const auto when = SteadyClock::now() + wait;
  const auto [found, fresh] = later_.emplace(key, when);
  if (!fresh) found->second = std::min(found->second, when);
  wake_.notify_one();
}

void WorkQueue::add_failed(const std::string& key) {
  std::chrono::milliseconds wait = base_;
  {
    const std::lock_guard lock(mutex_);
    int& count = failures_[key];
    for (int i = 0; i < count && wait < cap_; ++i) wait *= 2;
    if (wait < cap_) ++count;
  }
  add_after(key, std::min(wait, cap_));
}

void WorkQueue::forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  failures_.erase(key);
}

void WorkQueue::due(SteadyClock::time_point now) {
  for (auto each = later_.begin(); each != later_.end();) {
    if (each->second <= now) {
      ready(each->first);
      each = later_.erase(each);
    } else {
      ++each;
    }
  }
}

std::optional<std::string> WorkQueue::take() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (closed_) return std::nullopt;
    due(SteadyClock::now());
    if (!queue_.empty()) break;
    if (later_.empty()) {
      wake_.wait(lock);
      continue;
    }
    const auto next = std::min_element(later_.begin(), later_.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    const auto until = next->second;
    wake_.wait_until(lock, until);
  }
  std::string key = std::move(queue_.front());
  queue_.pop_front();
  queued_.erase(key);
  working_.insert(key);
  return key;
}

void WorkQueue::done(const std::string& key) {
  const std::lock_guard lock(mutex_);
  working_.erase(key);
  if (again_.erase(key) > 0) ready(key);
}

void WorkQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  wake_.notify_all();
}

std::size_t WorkQueue::size() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

bool WorkQueue::idle() const {
  const std::lock_guard lock(mutex_);
  return queue_.empty() && working_.empty();
}

}  // namespace dbproxy::kubernetes
