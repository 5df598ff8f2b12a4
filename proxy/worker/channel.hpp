// Channel: a stream with the bytes that could not be sent yet, and with what may lie between it and them. What both
// kinds of connection are built on. One thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "proxy/net/stream.hpp"
#include "proxy/session/output.hpp"
#include "proxy/worker/byte_queue.hpp"

namespace dbproxy::worker {

// What bytes go through on their way to and from the stream, such as MySQL's compression.
class Filter {
 public:
  virtual ~Filter() = default;
  // Appends what is sent for `plain`. False: it cannot go on.
  virtual bool encode(std::string_view plain, std::string& out) = 0;
  // Takes what is whole off the front of `received` and appends what it stands for; about `enough` bytes at most.
  // False: malformed.
  virtual bool decode(std::string_view received, std::size_t& consumed, std::string& out, std::size_t enough) = 0;
};

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

  // From the next byte on, in both directions.
  void filter(std::unique_ptr<Filter> filter) { filter_ = std::move(filter); }
  bool filtered() const { return filter_ != nullptr; }
  // As the stream's own, through the filter.
  net::Io read(char* to, std::size_t room) { return filter_ ? read_filtered(to, room) : stream_.read(to, room); }
  bool readable() const { return stream_.readable() || !decoded_.empty() || more_to_decode_; }

  std::uint64_t sent_bytes = 0;
  std::uint64_t received_bytes = 0;

 private:
  net::Io read_filtered(char* to, std::size_t room);

  net::Stream stream_;
  ByteQueue unsent_;
  std::unique_ptr<Filter> filter_;
  ByteQueue received_, decoded_;  // before and behind the filter
  bool more_to_decode_ = false;   // `received_` may hold something whole
};

}  // namespace dbproxy::worker
