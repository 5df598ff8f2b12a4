// Session: what one sidecar should have, has been sent and has answered. Pure: no I/O, no threads, no clock.
//
// At most one update per DBProxy is unanswered at a time; what changes meanwhile is sent as one, the newest, when the
// answer has come. A configuration that was refused is not sent again until it changes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dbproxy/v1/control.pb.h"

#include "operator/control/rows.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/topology/observation.hpp"

namespace dbproxy::operator_control {

// A snapshot with its digest, made once and shared by all streams. Without a snapshot: the DBProxy exists, and what it
// is to be is not known now, so whatever a sidecar has of it stays.
struct Published {
  config::SnapshotPtr snapshot;
  std::string digest;
};
using PublishedPtr = std::shared_ptr<const Published>;

struct Push {
  std::string nonce;
  std::string proxy;
  PublishedPtr content;  // none: the DBProxy is gone
};

class Session {
 public:
  // `allowed`: DBProxies that the token is good for; empty: all. `withheld`: those that it may ask for and does not
  // get. `renew`: what it holds is sent again, for its listener certificate is of a CA that signs no more. Returns the
  // first one that is asked for and in neither, or "".
  std::string begin(const v1::Hello& hello, const std::vector<std::string>& allowed,
                    const std::vector<std::string>& withheld = {}, bool renew = false);

  bool wants(const std::string& proxy) const;
  // What the sidecar should have from now on; none: nothing. Ignored where it is not wanted.
  void publish(const std::string& proxy, PublishedPtr content);
  // All that is published, when everything that exists is known: whatever else the sidecar holds is gone.
  void publish_all(const std::map<std::string, PublishedPtr>& book);
  // Send what is in force once more: its listener certificate is due.
  void refresh();

  // The next update to send, once.
  std::optional<Push> next();

  enum class Answer { kAck, kNack, kStale };
  Answer reply(const v1::ConfigReply& reply);
  void status(const v1::StatusReport& report);

  // Whether something that is published is not in force there.
  bool behind() const;
  // DBProxies whose configuration it gets.
  std::set<std::string> served() const;
  // It is there, whether or not its configuration is known now.
  bool exists(const std::string& proxy) const;
  // Proxy, versions, state and figures; the stream adds the rest.
  std::vector<SidecarRow> rows() const;
  // Of each DBProxy the most that anybody makes of it.
  void add_use(std::map<std::string, topology::Use>& used) const;

 private:
  struct Entry {
    PublishedPtr desired;
    PublishedPtr sent;  // with `nonce`
    std::string nonce;  // of the update that is unanswered; empty: none is
    std::uint64_t version_sent = 0;
    std::uint64_t version_in_force = 0;
    std::string digest_in_force;
    bool renew = false;  // to be sent though it is in force
    std::string digest_refused;
    std::string error;
    v1::StatusReport figures;

    bool due() const;
  };

  bool everything_ = false;  // asked for all that it may have
  std::vector<std::string> asked_, allowed_;
  std::map<std::string, Entry> entries_;
  std::uint64_t nonces_ = 0;
};

}  // namespace dbproxy::operator_control
