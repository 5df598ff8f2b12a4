// Resolver: names to addresses, without stalling the event loop.
//
// Has threads of its own, so that a name server that does not answer delays nothing but what asks for its names; and
// whoever asks for a name that is being looked up gets that answer, so that many connections to one target take one
// thread. All methods belong to the loop's thread, and so do the answers. The loop must outlive this.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "proxy/net/offload.hpp"
#include "proxy/net/socket.hpp"

namespace dbproxy::net {

class Resolver {
 public:
  // Empty addresses: `error` says why. Never called from inside of look_up().
  using Answer = std::function<void(const std::vector<Address>& addresses, const std::string& error)>;
  using Lookup = std::function<std::vector<Address>(const std::string& host, std::uint16_t port, std::string& error)>;

  explicit Resolver(Loop& loop, Lookup lookup = resolve);
  void look_up(const std::string& host, std::uint16_t port, Answer answer);

 private:
  using Name = std::pair<std::string, std::uint16_t>;

  Lookup lookup_;
  std::map<Name, std::vector<Answer>> waiting_;
  Offload threads_;  // last: its threads end first
};

}  // namespace dbproxy::net
