#include "proxy/worker/early_ports.hpp"

#include <array>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/socket.hpp"

namespace dbproxy::worker {
namespace {

constexpr Duration kHold = std::chrono::seconds(120);  // the default of connectionBorrowTimeoutSeconds

// ErrorResponse (PostgreSQL's protocol, section "Message Formats"): length, then fields of a letter and a string.
std::string refusal() {
  std::string body;
  const auto field = [&](char code, std::string_view text) { ((body += code) += text) += '\0'; };
  field('S', "FATAL");
  field('V', "FATAL");
  field('C', "57P03");
  field('M', "the proxy has no configuration yet");
  field('H', "The operator has not been reached since this pod started; see the log of the container dbproxy.");
  body += '\0';
  std::string out = "E";
  const auto length = static_cast<std::uint32_t>(body.size() + 4);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(length >> shift & 0xFF);
  return out + body;
}

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

void EarlyPorts::refuse_late(TimePoint now) {
  if (sockets_.empty() || now - opened_ < kHold) return;
  static const std::string kRefusal = refusal();
  for (const auto& [shown, listening] : sockets_) {
    int fd = -1;
    while ((fd = ::accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      // What is unread when a socket is closed makes a reset out of the answer.
      std::array<char, 4096> ignored;
      while (::recv(fd, ignored.data(), ignored.size(), 0) > 0) {
      }
      [[maybe_unused]] const auto sent = ::send(fd, kRefusal.data(), kRefusal.size(), MSG_NOSIGNAL);
      ::shutdown(fd, SHUT_WR);
      ::close(fd);
    }
  }
}

}  // namespace dbproxy::worker
