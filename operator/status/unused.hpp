// Which sidecars nobody uses: their applications still dial the database themselves. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"

namespace dbproxy::operator_status {

class UnusedSidecars {
 public:
  // `after`: without a client; zero: nobody is told.
  explicit UnusedSidecars(Duration after) : after_(after) {}

  // `in_use`: every connected sidecar, and whether it has a client or a server connection now. Returns those that have
  // had none for that long, each once until it is used again or leaves.
  std::vector<std::string> look(const std::map<std::string, bool>& in_use, TimePoint now);

 private:
  struct Seen {
    TimePoint since{};  // without one
    bool told = false;
  };
  const Duration after_;
  std::map<std::string, Seen> seen_;
};

}  // namespace dbproxy::operator_status
