// Configs: what this sidecar has in force, update by update, and how it survives a restart.
//
// Takes a ConfigUpdate, checks it, hands it to the data plane and says what to answer; an update that is refused
// leaves the one before in force. Knows nothing of gRPC. Thread-safe; the callbacks run under its lock, one at a time,
// and must not call back into it.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "dbproxy/v1/control.pb.h"

#include "proxy/base/clock.hpp"
#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::control {

using ApplyCallback = std::function<std::string(config::SnapshotPtr, worker::ListenerTls)>;  // "" or why not
using RemoveCallback = std::function<void(const std::string& proxy)>;

struct ConfigsOptions {
  std::string identity;
  std::vector<std::string> proxies;  // those that are wanted; empty: whatever comes
  std::string state_dir;             // where the last good configuration is kept; empty: nowhere
  // state_dir goes with the machine's memory: the file is sealed with a key beside it, not with the token, which may
  // have been exchanged when a container that restarts wants to read it.
  bool state_in_memory = false;
};

// Whether what is written there is gone when the machine is: tmpfs and ramfs.
bool lives_in_memory(const std::string& directory);

class Configs {
 public:
  Configs(ConfigsOptions options, ApplyCallback apply, RemoveCallback remove, metrics::Registry& registry,
          const Clock& clock);

  // The answer carries the nonce, and an error in words when the update is refused. Secrets in `update` are wiped.
  v1::ConfigReply receive(v1::ConfigUpdate& update);

  // For Hello. What has a listener certificate that is due is left out, so that it comes again with a new one.
  std::vector<v1::HeldConfig> held() const;
  // PEM, likewise; empty: an operator has issued none that is still good.
  std::string listener_certificate() const;
  // Every DBProxy that is wanted is in force.
  bool complete() const;

  // The token that seals the file from now on; a new one writes the file anew.
  void set_token(const Secret& token);
  // Puts in force what the file holds of the DBProxies that are not in force yet. Returns how many; logs the rest.
  int restore(const Secret& token);

 private:
  struct Held {
    config::SnapshotPtr snapshot;
    worker::ListenerTls tls;
    std::string digest;
    bool own_certificate = false;  // made here, because none came
  };

  std::string put_in_force(const std::string& proxy, v1::Snapshot& message);
  void drop(const std::string& proxy);
  bool is_due(const Held& held) const;  // its listeners' certificate
  bool wanted(const std::string& proxy) const;
  Secret sealing_key(const Secret& token) const;
  void save() const;
  std::string path() const { return options_.state_dir + "/last-good"; }

  const ConfigsOptions options_;
  const ApplyCallback apply_;
  const RemoveCallback remove_;
  metrics::Registry& registry_;
  const Clock& clock_;
  metrics::Cell& acks_;
  metrics::Cell& nacks_;

  mutable std::mutex mutex_;
  std::map<std::string, Held> held_;  // by namespace/name
  worker::ListenerTls own_tls_;       // made when first needed
  Secret token_;
};

}  // namespace dbproxy::control
