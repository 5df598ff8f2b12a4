#include "proxy/worker/channel.hpp"

#include <algorithm>

namespace dbproxy::worker {

bool Channel::send(session::Output& output) {
  if (output.empty()) return true;
  if (filter_) {
    std::string plain;
    output.append_to(plain, 0);
    output.clear();
    return send(std::string_view(plain));
  }
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
  if (sent < output.size()) output.append_to(unsent_.end(), sent);
  output.clear();
  return unsent_.empty() || flush();
}

bool Channel::send(std::string_view bytes) {
  if (!filter_)
    unsent_.append(bytes);
  else if (!filter_->encode(bytes, unsent_.end()))
    return false;
  return flush();
}

net::Io Channel::read_filtered(char* to, std::size_t room) {
  while (decoded_.empty()) {
    if (more_to_decode_) {
      std::size_t consumed = 0;
      if (!filter_->decode(received_.view(), consumed, decoded_.end(), room)) return {net::IoStatus::kError, 0};
      received_.take(consumed);
      more_to_decode_ = consumed > 0 && !received_.empty();
      received_.release(0);
      continue;
    }
    const auto io = stream_.read(to, room);
    if (io.status != net::IoStatus::kOk) return io;
    received_.append({to, io.bytes});
    more_to_decode_ = true;
  }
  const std::size_t bytes = std::min(room, decoded_.size());
  decoded_.view().copy(to, bytes);
  decoded_.take(bytes);
  decoded_.release(0);
  return {net::IoStatus::kOk, bytes};
}

bool Channel::flush() {
  while (!unsent_.empty()) {
    auto io = stream_.write(unsent_.view());
    if (io.status == net::IoStatus::kBlocked) return true;
    if (io.status != net::IoStatus::kOk) return false;
    sent_bytes += io.bytes;
    unsent_.take(io.bytes);
  }
  unsent_.release(4096);
  return true;
}

}  // namespace dbproxy::worker
