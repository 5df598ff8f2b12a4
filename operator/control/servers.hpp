// Servers: what several DBProxies and others have of each database server, which may have more than one address.
//
// An address is a place; places whose servers call themselves the same are one server. Thread-safe; calls nobody.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/budget/server_share.hpp"
#include "operator/control/rows.hpp"

namespace dbproxy::operator_control {

class Servers {
 public:
  using Slots = budget::Slots;

  static std::string place_of(const std::string& host, std::uint16_t port);

  // `server`: as the one that answers there calls itself; empty: it does not. Returns the places of the one before,
  // this one among them, where that is news.
  std::vector<std::string> identify(const std::string& place, const std::string& server);
  // All places of the server at this one; this one is among them.
  std::set<std::string> places(const std::string& place) const;
  ServerNames names() const;

  // How many sessions there are that are no sidecar's. True: that is news.
  bool count(const std::string& place, Slots others);
  std::optional<Slots> others(const std::string& place) const;  // none: not counted yet

  // The most that a DBProxy may be charged there now. `limit`: by its percentage; `usable`: connections that the server
  // has reserved for nobody.
  Slots share(const std::string& place, const std::string& proxy, Slots limit, Slots usable) const;
  // After each look at it. Returns the other DBProxies there, where that is news to them.
  std::vector<std::string> claim(const std::string& place, const std::string& proxy,
                                 const operator_budget::Claim& claim);
  // Nothing is charged to anybody.
  void clear_claims();
  // It has no member there any more.
  void leave(const std::string& place, const std::string& proxy);
  // Whether all that DBProxies may have by their percentages, and others have, is more than there is.
  bool scarce(const std::string& place, Slots usable) const;

 private:
  struct Place {
    std::string server;
    std::map<std::string, operator_budget::Claim> claims;  // by DBProxy
  };
  const std::string& server_at(const std::string& place) const;
  void move(const std::string& place, const std::string& from, const std::string& to);
  std::map<std::string, operator_budget::Claim> claims_at(const std::string& server) const;

  mutable std::mutex mutex_;
  std::map<std::string, Place> places_;
  std::map<std::string, std::set<std::string>> at_;  // places by server: its own word, or the place
  std::map<std::string, Slots> others_;              // by server
};

}  // namespace dbproxy::operator_control
