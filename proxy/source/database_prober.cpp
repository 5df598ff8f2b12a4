#include "proxy/source/database_prober.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/backend/mysql_probe.hpp"
#include "proxy/backend/probe.hpp"

namespace dbproxy::source {
namespace {

// A name may lead elsewhere by now, and a password may be refused that was taken before: only a new log-in tells.
constexpr auto kRenewed = std::chrono::seconds(10);
// Longer than the interval between two questions to a member that answers; what is older belongs to nobody.
constexpr auto kKept = std::chrono::seconds(5);

topology::ProbeResult to_result(backend::ProbeOutcome outcome) {
  topology::ProbeResult result;
  result.ok = outcome.ok;
  result.reason = outcome.reason;
  result.detail = std::move(outcome.detail);
  result.in_recovery = outcome.in_recovery;
  result.max_connections = outcome.max_connections;
  result.reserved = outcome.reserved;
  result.lag_seconds = outcome.lag_seconds;
  result.system_identifier = std::move(outcome.system_identifier);
  result.timeline = outcome.timeline;
  for (auto& news : outcome.members) {
    result.members.push_back({std::move(news.id), news.writer, news.age_seconds, news.lag_seconds});
  }
  return result;
}

// Sessions that stay open between questions, each used by one thread at a time.
class Sessions {
 public:
  topology::ProbeResult ask(const topology::ProbeRequest& request) {
    auto entry = take({request.host, request.port, request.tls, request.user, request.password, "postgres",
                       request.topology_query, request.policy});
    auto result = to_result(entry->session.ask(request.timeout));
    if (result.ok) give_back(std::move(entry));
    return result;
  }

 private:
  using SteadyClock = std::chrono::steady_clock;
  struct Entry {
    Entry(const backend::ProbeAddress& to, backend::ScramKeyCache& keys) : address(to), session(to, keys) {}
    backend::ProbeAddress address;
    backend::ProbeSession session;
    const SteadyClock::time_point born = SteadyClock::now();
    SteadyClock::time_point used{};
  };
  using EntryPtr = std::unique_ptr<Entry>;

  static std::string key(const backend::ProbeAddress& address) {
    return address.host + ' ' + std::to_string(address.port) + ' ' + address.user;
  }

  EntryPtr take(const backend::ProbeAddress& address) {
    std::vector<EntryPtr> old;  // closed without the lock
    const std::lock_guard lock(mutex_);
    sweep(old);
    const auto [begin, end] = idle_.equal_range(key(address));
    const auto found = std::find_if(begin, end, [&](const auto& e) { return e.second->address == address; });
    if (found == end) return std::make_unique<Entry>(address, keys_);
    auto entry = std::move(found->second);
    idle_.erase(found);
    return entry;
  }

  void sweep(std::vector<EntryPtr>& old) {
    const auto now = SteadyClock::now();
    if (now - swept_ < kKept / 5) return;
    swept_ = now;
    for (auto it = idle_.begin(); it != idle_.end();) {
      if (now - it->second->used < kKept) {
        ++it;
        continue;
      }
      old.push_back(std::move(it->second));
      it = idle_.erase(it);
    }
  }

  void give_back(EntryPtr entry) {
    entry->used = SteadyClock::now();
    if (entry->used - entry->born > kRenewed) return;
    const std::lock_guard lock(mutex_);
    idle_.emplace(key(entry->address), std::move(entry));
  }

  std::mutex mutex_;
  std::unordered_multimap<std::string, EntryPtr> idle_;
  SteadyClock::time_point swept_{};
  backend::ScramKeyCache keys_;
};

// A connection each time: MySQL's log-in is cheap.
topology::ProbeResult ask_mysql(const topology::ProbeRequest& request) {
  auto asked = backend::mysql::probe(request.host, request.port, request.tls, request.user, request.password,
                                     request.timeout, request.policy);
  auto result = to_result(std::move(asked.base));
  result.server_version = std::move(asked.greeting.server_version);
  return result;
}

}  // namespace

topology::Prober database_prober() {
  auto sessions = std::make_shared<Sessions>();
  return [sessions](const topology::ProbeRequest& request) {
    return request.engine == config::EngineFamily::kMysql ? ask_mysql(request) : sessions->ask(request);
  };
}

}  // namespace dbproxy::source
