#include "proxy/worker/channel.hpp"

namespace dbproxy::worker {

bool Channel::send(session::Output& output) {
  if (output.empty()) return true;
  std::size_t sent = 0;
  if (unsent_.empty()) {
    const auto& parts = output.vectors();
    // The kernel takes at most 1024 parts; what is over goes by way of unsent_.
    auto io = stream_.write(std::span(parts.data(), std::min<std::size_t>(parts.size(), 1024)));
    if (io.status == net::IoStatus::kError || io.status == net::IoStatus::kClosed) {
      output.clear();
      return false;
    }
    sent = io.bytes;
    sent_bytes += sent;
  }
  if (sent < output.size()) output.append_to(unsent_, sent);
  output.clear();
  return unsent_.empty() || flush();
}

bool Channel::send(std::string_view bytes) {
  unsent_ += bytes;
  return flush();
}

bool Channel::flush() {
  while (!unsent_.empty()) {
    auto io = stream_.write(std::string_view(unsent_));
    if (io.status == net::IoStatus::kBlocked) return true;
    if (io.status != net::IoStatus::kOk) return false;
    sent_bytes += io.bytes;
    unsent_.erase(0, io.bytes);
  }
  if (unsent_.capacity() > 4096) std::string().swap(unsent_);
  return true;
}

}  // namespace dbproxy::worker
