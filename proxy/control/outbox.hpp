// Outbox: what waits to be written to the operator. Replies go first and in order; of reports only the newest per
// subject is kept, and what the operator knows already on this stream is not said again. Not thread-safe.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "dbproxy/v1/control.pb.h"

#include "proxy/budget/messages.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::control {

class Outbox {
 public:
  void reply(v1::ConfigReply reply);
  void status(const worker::ProxyRow& row);
  void activity(v1::ActivityReport report);
  void observation(const worker::TargetObservation& observation);
  void budget(const std::string& proxy, const budget::Report& report);

  // `budgets`: whether reports of the connection budget, which go before the others, may go now; `others`: likewise.
  std::optional<v1::SidecarMessage> take(bool budgets = true, bool others = true);
  bool empty() const { return replies_.empty() && reports_.empty() && budgets_.empty(); }
  bool has_reply() const { return !replies_.empty(); }
  bool has_budget() const { return !budgets_.empty(); }

  // A new stream: replies of the one before mean nothing, reports have to be made again.
  void new_stream();

 private:
  using Key = std::tuple<int, std::string, std::string, std::string>;  // kind, proxy, target, user
  void report(Key key, v1::SidecarMessage message);

  std::deque<v1::SidecarMessage> replies_;
  std::map<std::string, v1::SidecarMessage> budgets_;  // to be sent, by proxy
  std::map<Key, v1::SidecarMessage> reports_;          // to be sent
  std::map<Key, std::string> said_;                    // serialised, as the operator last heard it
  std::map<Key, v1::SidecarMessage> current_;          // target reports that hold now
};

}  // namespace dbproxy::control
