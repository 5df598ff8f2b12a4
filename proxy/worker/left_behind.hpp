// LeftBehind: connections of processes before this one, until their servers are seen to have none of them any more.
//
// A process that is killed leaves no connection of its own: the kernel closes them, and a server that is at rest ends
// the session then. One that runs a statement does so only when it has something to say. So each server is asked, over
// a connection like the monitor's, which of the sessions that were listed it still has; those that it runs on are
// cancelled, again and again. As long as one is there it counts as open here, so that its slot is not used twice.
//
// Asking is done on another thread; all else on the worker's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/backend/probe.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/worker/connection_record.hpp"

namespace dbproxy::worker {

template <class P>
class ProxyRuntime;

// What is asked of one server. `sessions` of the question are those that are sought.
struct SessionsLook {
  std::string host;
  std::uint16_t port = 0;
  config::ServerTls tls;
  std::string user;
  Secret password;
  bool token = false;  // of AWS, in the password's place
  config::EndpointPolicy policy;
  backend::SessionQuestion question;
};

template <class P>
class LeftBehind {
 public:
  LeftBehind(ProxyRuntime<P>& proxy, std::shared_ptr<ConnectionRecord> record);

  bool any() const { return !left_.empty(); }
  // Connections to this target that are not known to be gone.
  std::uint32_t open(const std::string& target) const;
  void add_to(std::map<std::string, std::uint32_t>& open) const;
  // Their numbers, by target.
  void add_ids(std::map<std::string, std::vector<std::uint32_t>>& ids) const;
  // Asks where it is time to. Call when there is something new, and a few times a second.
  void look();

 private:
  using Group = std::pair<std::string, std::string>;  // target and user
  struct Asking {
    bool under_way = false;
    TimePoint next{};
    int times = 0;
  };
  void ask(const Group& group, const config::Target& target, const config::User& user);
  void answered(const Group& group, const std::vector<std::uint32_t>& asked, const backend::ProbeOutcome& outcome);
  void cancel(const ConnectionRecord::Left& left);
  template <class Gone>
  void remove(Gone gone);

  ProxyRuntime<P>& proxy_;
  const std::shared_ptr<ConnectionRecord> record_;
  std::vector<ConnectionRecord::Left> left_;
  std::map<Group, Asking> asking_;
  const TimePoint begun_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace dbproxy::worker
