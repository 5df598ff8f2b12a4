#include "proxy/net/listener.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/log.hpp"
#include "proxy/net/socket.hpp"

namespace dbproxy::net {

Listener::Listener(Loop& loop, int fd, bool unix_socket, std::string unix_path,
                   std::function<void(int fd, bool unix_socket)> accepted)
    : loop_(loop),
      fd_(fd),
      unix_socket_(unix_socket),
      unix_path_(std::move(unix_path)),
      accepted_(std::move(accepted)),
      retry_([this] { accept_all(); }) {
  loop_.watch(fd_, *this);
}

Listener::~Listener() {
  ::close(fd_);
  if (!unix_path_.empty()) ::unlink(unix_path_.c_str());
}

void Listener::on_event(std::uint32_t) {
  accept_all();
}

void Listener::accept_all() {
  while (true) {
    int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      complained_ = false;
      if (!unix_socket_) tune_client(fd);
      accepted_(fd, unix_socket_);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN) return;
    if (!complained_) log::error("net", "cannot accept, trying again", {{"error", std::strerror(errno)}});
    complained_ = true;
    loop_.arm(retry_, std::chrono::milliseconds(100));
    return;
  }
}

}  // namespace dbproxy::net
