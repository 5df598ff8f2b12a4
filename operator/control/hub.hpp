// Hub: what all streams share: the book of published snapshots, admission, certificates. Internal to operator_control.
//
// Lock order: the hub's lock may be held while a stream's is taken, never the other way round.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "operator/control/activity.hpp"
#include "operator/control/budgets.hpp"
#include "operator/control/server.hpp"
#include "operator/control/session.hpp"
#include "operator/control/token_bucket.hpp"

namespace dbproxy::operator_control {

class Stream;

class Hub {
 public:
  Hub(ServerOptions options, const TokenStore& tokens, metrics::Registry& registry, const Clock& clock);

  // Called by a stream whose Hello was taken: it is served from now on; an older one of the same identity ends.
  void enroll(const std::shared_ptr<Stream>& stream, const std::string& identity);
  void opened(const std::shared_ptr<Stream>& stream);  // no Hello yet
  void closed(const Stream* stream);

  bool admit();  // false: too many at once, come back later
  pki::Identity listener_identity(const std::string& identity);
  // Notes what a sidecar's listeners show already, PEM or empty, which another process may have issued. False: it is of
  // an authority that signs no more.
  bool learn(const std::string& identity, const std::string& certificate);
  // What signs from now on. The identity is shown by the server; here its end is.
  void set_certificates(const pki::Identity& identity, const pki::Authority& authority);

  void publish(const std::map<std::string, config::SnapshotPtr>& changed, const std::vector<std::string>& unknown);
  void lead(bool leading, std::function<std::string()> leader);
  // Where a sidecar should go instead ("": nobody knows); none: it is right here.
  std::optional<std::string> redirect() const;
  void recheck() { recheck_ = true; }
  // Ends streams without a Hello in time, with a token that is no longer good, and renews certificates; tells who is
  // used.
  void tick();
  std::vector<std::shared_ptr<Stream>> streams() const;
  void count(Session::Answer answer);
  void count_push();
  void count_refused();

  const ServerOptions options;
  const TokenStore& tokens;
  const Clock& clock;
  std::function<void(const TargetReport&)> target_report;
  std::function<void(const std::map<std::string, topology::Use>&)> on_use;
  Budgets budgets;
  Activity activity;

 private:
  struct Certificate {
    pki::Identity identity;       // empty: another process issued it
    std::uint64_t authority = 0;  // which one signed it; 0: none that signs now
    WallTime due{};               // to be renewed
    TimePoint seen{};             // that its sidecar was there
  };
  void forget_certificates(TimePoint now);
  bool is_due(const Certificate& certificate) const;
  void show_end(const char* which, const std::string& pem);
  bool is_due(const std::string& identity);  // its listener certificate; notes that it is there

  metrics::Registry& registry_;
  mutable std::mutex mutex_;
  std::mutex publish_mutex_;  // one publication at a time, so that streams see them in order
  bool complete_ = false;     // the first publication has been
  std::map<std::string, PublishedPtr> book_;
  std::map<const Stream*, std::shared_ptr<Stream>> streams_;
  std::map<std::string, std::weak_ptr<Stream>> by_identity_;
  // Streams ask for these two with their own lock held, so they are not the hub's.
  std::mutex certificates_mutex_, count_mutex_;
  std::map<std::string, Certificate> certificates_;  // by identity
  pki::Authority authority_;
  std::uint64_t authorities_ = 0;  // that there have been
  TokenBucket admissions_;
  TimePoint next_verify_;
  std::atomic<bool> recheck_{false};
  bool leading_ = true;
  std::function<std::string()> leader_;
  metrics::Cell& connected_;
  metrics::Cell& behind_;
  metrics::Cell& pushes_;
  metrics::Cell& acks_;
  metrics::Cell& nacks_;
  metrics::Cell& refused_;
};

}  // namespace dbproxy::operator_control
