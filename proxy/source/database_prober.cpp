#include "proxy/source/database_prober.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/aws/database_tokens.hpp"
#include "proxy/backend/mysql_probe.hpp"
#include "proxy/backend/probe.hpp"

namespace dbproxy::source {
namespace {

constexpr auto kReply = std::chrono::milliseconds(1500);  // from a server that was there before
// A name may lead elsewhere by now, and a password may be refused that was taken before: only a new log-in tells.
constexpr auto kRenewed = std::chrono::seconds(10);
// Longer than the interval between two questions to a member that answers; what is older belongs to nobody.
constexpr auto kKept = std::chrono::seconds(5);
// The same token for as long: sessions are told apart by what they logged in with.
constexpr auto kTokenKept = std::chrono::seconds(60);

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
  result.strangers = outcome.strangers;
  result.others = outcome.others;
  result.server = std::move(outcome.server);
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
                       request.topology_query, request.policy, request.iam});
    auto result = to_result(entry->session.ask(request.timeout, kReply, {request.users, request.known}));
    if (result.ok && request.keep) give_back(std::move(entry));
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

// MySQL is asked over a connection each time: its log-in is cheap. What is kept is who answered lately.
class Answering {
 public:
  topology::ProbeResult ask(const topology::ProbeRequest& request) {
    const std::string key = request.host + ' ' + std::to_string(request.port);
    const auto timeout = has_answered(key) ? std::min(request.timeout, kReply) : request.timeout;
    auto asked =
        backend::mysql::probe(request.host, request.port, request.tls, request.user, request.password, timeout,
                              request.policy, request.iam, {request.users, request.known}, request.topology_query);
    auto result = to_result(std::move(asked.base));
    result.server_version = std::move(asked.greeting.server_version);
    result.server_capabilities = asked.greeting.capabilities;
    const std::lock_guard lock(mutex_);
    if (result.ok)
      answered_[key] = SteadyClock::now();
    else
      answered_.erase(key);
    return result;
  }

 private:
  using SteadyClock = std::chrono::steady_clock;

  bool has_answered(const std::string& key) {
    const std::lock_guard lock(mutex_);
    std::erase_if(answered_, [now = SteadyClock::now()](const auto& each) { return now - each.second > kKept; });
    return answered_.contains(key);
  }

  std::mutex mutex_;
  std::unordered_map<std::string, SteadyClock::time_point> answered_;
};

// Tokens for users who log in by one.
class Tokens {
 public:
  Tokens(const Clock& clock, std::shared_ptr<aws::ServiceAccounts> accounts)
      : made_by_(aws::system_environment(), clock, std::move(accounts)) {}

  aws::Outcome<Secret> get(const topology::ProbeRequest& request) {
    const auto why = config::clear_text_refusal(request.tls.mode, request.tls.ca_owner, config::ClearText::kToken);
    if (!why.empty()) return aws::Failure{aws::Failure::Kind::kRefused, "a token is sent " + std::string(why), ""};
    const auto subject = subject_of(request);
    const std::string key = subject.host + ' ' + std::to_string(subject.port) + ' ' + subject.user + ' ' +
                            subject.region + ' ' + subject.role_arn + ' ' + subject.sts_url + ' ' + subject.account;
    const auto now = std::chrono::steady_clock::now();
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(kept_, [&](const auto& each) { return now - each.second.second > kTokenKept; });
      if (const auto found = kept_.find(key); found != kept_.end()) return found->second.first;
    }
    auto made = made_by_.make(subject);
    if (!made.ok()) return made;
    const std::lock_guard lock(mutex_);
    kept_[key] = {made.value, now};
    return made;
  }

  // The credentials may be those of a role that is not what it was.
  void refused(const topology::ProbeRequest& request) {
    {
      const std::lock_guard lock(mutex_);
      kept_.clear();
    }
    made_by_.refused(subject_of(request));
  }

 private:
  static aws::TokenSubject subject_of(const topology::ProbeRequest& request) {
    return {request.host,         request.port,        request.user,   request.aws.region,
            request.aws.role_arn, request.aws.sts_url, request.account};
  }

  std::mutex mutex_;
  std::unordered_map<std::string, std::pair<Secret, std::chrono::steady_clock::time_point>> kept_;
  aws::DatabaseTokens made_by_;
};

}  // namespace

topology::Prober database_prober(const Clock& clock, std::shared_ptr<aws::ServiceAccounts> accounts) {
  auto sessions = std::make_shared<Sessions>();
  auto mysql = std::make_shared<Answering>();
  auto tokens = std::make_shared<Tokens>(clock, std::move(accounts));
  const auto ask = [sessions, mysql](const topology::ProbeRequest& request) {
    return request.engine == config::EngineFamily::kMysql ? mysql->ask(request) : sessions->ask(request);
  };
  return [ask, tokens](const topology::ProbeRequest& request) {
    if (!request.iam) return ask(request);
    auto token = tokens->get(request);
    if (!token.ok()) {
      topology::ProbeResult result;
      result.reason = config::HealthReason::kAuthFailure;
      result.detail = "no token can be made: " + aws::to_text(token.failure);
      return result;
    }
    topology::ProbeRequest with_token = request;
    with_token.password = std::move(token.value);
    auto result = ask(with_token);
    if (result.reason == config::HealthReason::kAuthFailure) tokens->refused(request);
    return result;
  };
}

}  // namespace dbproxy::source
