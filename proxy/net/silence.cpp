#include "proxy/net/silence.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace dbproxy::net {

std::optional<Silence::Look> Silence::look(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  // Probes go to a closed window, and where the kernel could not even send: those that are answered count as 0.
  return Look{.unacknowledged = info.tcpi_unacked > 0 || info.tcpi_probes > 0,
              .since_ack = std::chrono::milliseconds(info.tcpi_last_ack_recv)};
}

bool Silence::exceeds(std::chrono::milliseconds limit, TimePoint now, const Look& look) {
  if (!look.unacknowledged) {
    since_.reset();
    return false;
  }
  if (!since_ || look.since_ack < now - *since_) since_ = now;
  return now - *since_ >= limit * 2 / 3;
}

}  // namespace dbproxy::net
