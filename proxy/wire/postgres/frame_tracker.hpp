// FrameTracker: where messages end in a stream that is passed on without being read, however it is cut.
//
// Constant memory; looks at headers alone. One direction of one connection after log-in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/wire/postgres/frame.hpp"

namespace dbproxy::wire::postgres {

class FrameTracker {
 public:
  // Takes note of `bytes` up to the end of the first message that ends in them, or of all where none does. Returns how
  // many that are; 0 only for no bytes or once the stream is broken().
  std::size_t step(std::string_view bytes) {
    std::size_t used = 0;
    while (head_size_ < kHeaderSize) {
      if (used == bytes.size() || broken_) return used;
      head_[head_size_++] = bytes[used++];
      if (head_size_ < kHeaderSize) continue;
      const Frame frame = scan_frame({head_.data(), head_.size()});
      broken_ = frame.scan == Scan::kBad;
      if (broken_) return 0;
      left_ = frame.size - kHeaderSize;
    }
    const std::size_t taken = bytes.size() - used < left_ ? bytes.size() - used : left_;
    left_ -= taken;
    if (left_ == 0) {
      last_ = head_[0];
      head_size_ = 0;
    }
    return used + taken;
  }

  // Nothing of a message has come whose end has not.
  bool between() const { return head_size_ == 0; }
  // The type of the message that has ended last; 0 before the first.
  char last() const { return last_; }
  // A length that no message has: where the next one begins, nobody can tell.
  bool broken() const { return broken_; }

 private:
  std::array<char, kHeaderSize> head_{};
  std::size_t head_size_ = 0;
  std::size_t left_ = 0;  // of the message's body
  char last_ = 0;
  bool broken_ = false;
};

}  // namespace dbproxy::wire::postgres
