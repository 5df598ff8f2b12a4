#include "proxy/net/offload.hpp"

namespace dbproxy::net {

Offload::Offload(Loop& loop, int threads) : loop_(loop) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this](std::stop_token stop) { serve(std::move(stop)); });
}

Offload::~Offload() {
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
}

void Offload::run(Work work) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void Offload::serve(std::stop_token stop) {
  while (true) {
    Work work;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [this] { return !queue_.empty(); })) return;
      if (stop.stop_requested()) return;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    loop_.post(work());
  }
}

}  // namespace dbproxy::net
