// EarlyPorts: sockets that listen before there is any configuration for them.
//
// Nobody accepts on them: the kernel completes connections and keeps them with what they have sent, until an endpoint
// with that port takes the socket over. So an application that starts first waits instead of failing. Who has waited
// for longer than a client would for a server connection is told so. Owned by the worker; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/clock.hpp"

namespace dbproxy::worker {

class EarlyPorts {
 public:
  EarlyPorts() = default;
  ~EarlyPorts();
  EarlyPorts(const EarlyPorts&) = delete;
  EarlyPorts& operator=(const EarlyPorts&) = delete;

  // On the address, with 127.0.0.1 on ::1 too where there is one, and in the directory unless it is empty. "" or why
  // not; then nothing is open.
  std::string open(const std::string& bind_address, const std::string& socket_dir,
                   const std::vector<std::uint16_t>& ports, TimePoint now);

  // The socket that listens there ("127.0.0.1:5432", a path), owned by the caller from now on; −1: there is none.
  int take(const std::string& shown);

  // Answers those who wait for longer than clients should with these bytes. To be called now and then.
  void refuse_late(TimePoint now, std::string_view refusal);

 private:
  void close_all();

  std::map<std::string, int> sockets_;  // as shown → fd
  TimePoint opened_{};
};

}  // namespace dbproxy::worker
