// ByteQueue: bytes that come at one end and go at the other. Taking a little off the front of much costs what it takes:
// what is left is moved only once it is the smaller part. One thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dbproxy::worker {

class ByteQueue {
 public:
  bool empty() const { return data_.empty(); }
  std::size_t size() const { return data_.size() - taken_; }
  // Valid until the next call that changes it.
  std::string_view view() const { return std::string_view(data_).substr(taken_); }

  void append(std::string_view bytes) { data_ += bytes; }
  // For those that write at the end of a string: append only.
  std::string& end() { return data_; }
  // Takes `bytes` (size() at most) off the front.
  void take(std::size_t bytes) {
    taken_ += bytes;
    if (taken_ == data_.size()) {
      data_.clear();
      taken_ = 0;
    } else if (taken_ > data_.size() / 2) {
      data_.erase(0, taken_);
      taken_ = 0;
    }
  }
  // Gives the memory back when it is empty and has more than `kept` bytes of it.
  void release(std::size_t kept) {
    if (empty() && data_.capacity() > kept) std::string().swap(data_);
  }

 private:
  std::string data_;
  std::size_t taken_ = 0;  // off its front; less than its size, unless it is empty
};

}  // namespace dbproxy::worker
