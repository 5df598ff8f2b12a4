#include "proxy/worker/early_ports.hpp"

#include <array>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/socket.hpp"

namespace dbproxy::worker {
namespace {

constexpr Duration kHold = std::chrono::seconds(120);  // the default of connectionBorrowTimeoutSeconds

}  // namespace

EarlyPorts::~EarlyPorts() {
  close_all();
}

void EarlyPorts::close_all() {
  for (const auto& [shown, fd] : sockets_) {
    ::close(fd);
    if (shown.starts_with('/')) ::unlink(shown.c_str());
  }
  sockets_.clear();
}

std::string EarlyPorts::open(const std::string& bind_address, const std::string& socket_dir,
                             const std::vector<std::uint16_t>& ports, TimePoint now) {
  opened_ = now;
  std::string error;
  const auto listen = [&](const std::optional<net::Address>& address, const std::string& shown) {
    const int fd = address ? net::listen_on(*address, shown, error) : -1;
    if (fd >= 0) sockets_.emplace(shown, fd);
    return fd >= 0;
  };
  for (const std::uint16_t port : ports) {
    const std::string number = std::to_string(port);
    bool good = listen(net::numeric_address(bind_address, port), bind_address + ":" + number);
    if (good && bind_address == "127.0.0.1") {
      listen(net::numeric_address("::1", port), "[::1]:" + number);  // a machine without it does without
      error.clear();
    }
    if (good && !socket_dir.empty()) {
      const std::string path = socket_dir + "/.s.PGSQL." + number;
      good = listen(net::unix_address(path), path);
    }
    if (good) continue;
    close_all();
    return error.empty() ? "--bind or --socket-dir is no address to listen on" : error;
  }
  return {};
}

int EarlyPorts::take(const std::string& shown) {
  const auto it = sockets_.find(shown);
  if (it == sockets_.end()) return -1;
  const int fd = it->second;
  sockets_.erase(it);
  return fd;
}

void EarlyPorts::refuse_late(TimePoint now, std::string_view refusal) {
  if (sockets_.empty() || now - opened_ < kHold) return;
  for (const auto& [shown, listening] : sockets_) {
    int fd = -1;
    while ((fd = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      // What is unread when a socket is closed makes a reset out of the answer.
      std::array<char, 4096> ignored;
      while (::recv(fd, ignored.data(), ignored.size(), 0) > 0) {
      }
      [[maybe_unused]] const auto sent = ::send(fd, refusal.data(), refusal.size(), MSG_NOSIGNAL);
      ::shutdown(fd, SHUT_WR);
      ::close(fd);
    }
  }
}

}  // namespace dbproxy::worker
