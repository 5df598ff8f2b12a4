// Listener: accepts connections on one address and hands each fd over.
//
// Out of file descriptors it pauses for 100 ms instead of spinning, and says so once. One thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proxy/net/loop.hpp"

namespace dbproxy::net {

class Listener final : public Pollable {
 public:
  // `fd` is a listening socket (see listen_on), owned from now on. `accepted` gets a non-blocking fd and owns it.
  Listener(Loop& loop, int fd, bool unix_socket, std::string unix_path,
           std::function<void(int fd, bool unix_socket)> accepted);
  ~Listener() override;

  void on_event(std::uint32_t events) override;

 private:
  void accept_all();

  Loop& loop_;
  int fd_;
  bool unix_socket_;
  std::string unix_path_;  // removed at the end; empty for TCP
  std::function<void(int, bool)> accepted_;
  Timer retry_;
  bool complained_ = false;
};

}  // namespace dbproxy::net
