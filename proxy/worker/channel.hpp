// Channel: a stream with the bytes that could not be sent yet. What both kinds of connection are built on.
#pragma once

#include <string>

#include "proxy/net/stream.hpp"
#include "proxy/session/output.hpp"

namespace dbproxy::worker {

class Channel {
 public:
  explicit Channel(int fd) : stream_(fd) {}
  Channel() = default;

  net::Stream& stream() { return stream_; }
  const net::Stream& stream() const { return stream_; }
  bool has_unsent() const { return !unsent_.empty(); }
  std::size_t unsent() const { return unsent_.size(); }

  // Sends what it can and keeps the rest (copied: the views in `output` need not live longer). False: the connection
  // is broken. Clears `output`.
  bool send(session::Output& output);
  bool send(std::string_view bytes);
  // After an event: sends what was kept. False: broken.
  bool flush();

  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;

 private:
  net::Stream stream_;
  std::string unsent_;
};

}  // namespace dbproxy::worker
