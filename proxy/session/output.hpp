// Output: bytes on their way to a socket, gathered without copying what can be sent from where it was read.
//
// A list of parts: views into a read buffer, which must stay put until the output is flushed or kept, and pieces
// written here. Memory is reused, so that steady work allocates nothing. One thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <sys/uio.h>
#include <vector>

namespace dbproxy::session {

class Output {
 public:
  // Adjacent views become one part.
  void ref(std::string_view bytes) {
    if (bytes.empty()) return;
    seal();
    if (!parts_.empty() && parts_.back().own == kNotOwn &&
        parts_.back().view.data() + parts_.back().view.size() == bytes.data()) {
      parts_.back().view = {parts_.back().view.data(), parts_.back().view.size() + bytes.size()};
    } else {
      parts_.push_back({bytes, kNotOwn});
    }
    size_ += bytes.size();
  }

  // Append to it; what is added becomes the next part.
  std::string& own() { return own_; }

  bool empty() const { return size() == 0; }
  std::size_t size() const { return size_ + (own_.size() - sealed_); }

  // As system calls want it. Views stay good until the next call of any other method.
  const std::vector<iovec>& vectors() {
    seal();
    vectors_.clear();
    for (const auto& part : parts_) {
      auto from = part.own == kNotOwn ? part.view.data() : own_.data() + part.own;
      vectors_.push_back({const_cast<char*>(from), part.view.size()});
    }
    return vectors_;
  }

  // All bytes from `skip` on, copied behind `to`.
  void append_to(std::string& to, std::size_t skip) {
    for (const auto& part : vectors()) {
      if (skip >= part.iov_len) {
        skip -= part.iov_len;
        continue;
      }
      to.append(static_cast<const char*>(part.iov_base) + skip, part.iov_len - skip);
      skip = 0;
    }
  }

  void clear() {
    parts_.clear();
    own_.clear();
    sealed_ = 0;
    size_ = 0;
  }

 private:
  static constexpr std::size_t kNotOwn = static_cast<std::size_t>(-1);
  struct Part {
    std::string_view view;  // of own parts only the length counts: own_ may move
    std::size_t own;
  };

  void seal() {
    if (own_.size() == sealed_) return;
    parts_.push_back({std::string_view(own_.data(), own_.size() - sealed_), sealed_});
    size_ += own_.size() - sealed_;
    sealed_ = own_.size();
  }

  std::vector<Part> parts_;
  std::vector<iovec> vectors_;
  std::string own_;
  std::size_t sealed_ = 0;
  std::size_t size_ = 0;
};

}  // namespace dbproxy::session
