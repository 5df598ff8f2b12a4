// Silence: tells a peer that has vanished from one that is there but does not read, or has only just been sent to.
//
// Unlike TCP_USER_TIMEOUT it spares a peer whose window is closed (tcp(7), tcp_info): nothing is unacknowledged then.
// The age of the last acknowledgement alone says nothing, for a connection may have rested before it was sent to: what
// counts is how long something has been unacknowledged from one look to the next.
#pragma once

#include <chrono>
#include <optional>

#include "proxy/base/clock.hpp"

namespace dbproxy::net {

class Silence {
 public:
  // What the kernel knows of a connection now.
  struct Look {
    bool unacknowledged = false;             // something that was sent has not been acknowledged by the peer's kernel
    std::chrono::milliseconds since_ack{0};  // since any acknowledgement came
  };
  // Nothing for sockets other than TCP's.
  static std::optional<Look> look(int fd);

  // Called every third of `limit` or more often; true when the peer has been silent for between two thirds of `limit`
  // and `limit`, or for longer. One thread.
  bool exceeds(std::chrono::milliseconds limit, TimePoint now, const Look& look);

 private:
  std::optional<TimePoint> since_;  // the first look since the last acknowledgement that saw something unacknowledged
};

}  // namespace dbproxy::net
