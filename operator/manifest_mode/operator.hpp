// Operator: manifests from a directory, databases asked, snapshots pushed, pages served.
//
// Owns the threads of its parts. `load`, then `start`, then `stop`; errors come back as sentences.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "operator/admin/admin.hpp"
#include "operator/control/server.hpp"
#include "operator/control/token_store.hpp"
#include "operator/manifest_mode/chronicle.hpp"
#include "operator/manifest_mode/renewal.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/metrics/registry.hpp"
#include "proxy/source/manifest_source.hpp"

namespace dbproxy::manifest_mode {

struct Options {
  source::Options source;
  std::string state_dir;
  std::string listen = "127.0.0.1:9931";
  http::Address http{"127.0.0.1", operator_admin::kDefaultPort};
  std::vector<std::string> sidecars;      // identities that get a token
  std::vector<std::string> server_names;  // further names and addresses in the server's certificate
  std::string software_version;
  std::chrono::seconds leaf_life = std::chrono::hours(24 * 90);  // of the certificates that it issues
};

class Operator {
 public:
  Operator(Options options, topology::Prober prober, const Clock& clock);
  ~Operator();  // stops

  // The first reading of the manifests; with errors in it, do not start.
  std::vector<manifest::Diagnostic> load();
  // "" or why not: the state directory, an address in use.
  std::string start();
  void stop();

  int control_port() const;
  int http_port() const;

 private:
  operator_admin::OperatorView view();

  const Options options_;
  const Clock& clock_;
  metrics::Registry registry_;
  operator_control::FileTokenStore tokens_;
  Chronicle chronicle_;
  std::atomic<bool> ready_{false};
  std::unique_ptr<operator_control::Server> server_;
  std::unique_ptr<source::ManifestSource> source_;
  std::unique_ptr<operator_admin::Admin> admin_;
  std::unique_ptr<Renewal> renewal_;
};

// Makes the directory (0700) and those above it. Returns "" or why not.
std::string prepare_state_dir(const std::string& path);
// $XDG_STATE_HOME/dbproxy-operator, else ~/.local/state/dbproxy-operator; "" where neither is set.
std::string default_state_dir();

}  // namespace dbproxy::manifest_mode
