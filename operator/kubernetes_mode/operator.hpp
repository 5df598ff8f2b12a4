// Operator: the control plane over the Kubernetes API.
//
// Every replica mirrors, probes and answers its pages; the one that holds the Lease serves the control stream and
// writes status and Events, the others send sidecars to it. `start` returns at once: what needs the API server is done
// by a thread that tries until it can, and /readyz says when. Owns the threads of its parts.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "operator/admin/admin.hpp"
#include "operator/control/server.hpp"
#include "operator/kubernetes/leader_elector.hpp"
#include "operator/kubernetes_mode/certificates.hpp"
#include "operator/kubernetes_mode/kubernetes_source.hpp"
#include "operator/kubernetes_mode/pod_tokens.hpp"
#include "operator/kubernetes_mode/status_writer.hpp"
#include "operator/webhook/service.hpp"
#include "proxy/metrics/registry.hpp"

namespace dbproxy::kubernetes_mode {

struct Options {
  kubernetes::Config config;
  std::string name_space;  // of the Lease and of the CA's Secret
  std::string identity;    // of this replica: its pod's name
  std::string address;     // IP address or name by which sidecars reach this replica; the port is that of `listen`
  std::string listen = "0.0.0.0:9931";
  http::Address http{"0.0.0.0", operator_admin::kDefaultPort};
  std::vector<std::string> server_names;  // further names in the server's certificate
  std::string software_version;
  bool live_page = false;  // whoever can connect gets the page, and with a token what it shows
  source::ArnSecretsOptions secrets;
  std::string rds_ca;  // a file or a directory, reread every ten seconds; see rds_ca.hpp. Empty: none
  // Which addresses targets may have. The cluster's ranges of Services are added to what is refused.
  config::EndpointPolicy endpoint_policy{true, {}, {}};
  std::chrono::seconds debug_for{24 * 3600};   // how long debugLogging lasts
  std::chrono::seconds unused_after{10 * 60};  // a sidecar without clients is told of; zero: it is not
  AuthorityPolicy authorities;
  std::chrono::seconds leaf_life = std::chrono::hours(24 * 90);  // of the control stream's and of sidecars' listeners
  std::optional<webhook::ServiceOptions> webhook;                // none: pods get their sidecars otherwise
};

class Operator {
 public:
  Operator(Options options, topology::Prober prober, const Clock& clock);
  ~Operator();  // stops

  // "" or why not: an address in use.
  std::string start();
  void stop();

 private:
  void boot();  // in its thread
  std::string serve();
  void keep_certificates();  // likewise
  void read_rds_ca();        // likewise
  // "" or why they cannot be had; where the API server has no such resource, or does not show it, nothing is added.
  std::string learn_service_ranges();
  void leading(bool leads);
  std::string leader_elsewhere() const;
  void pod_changed(const kubernetes::Change& change);
  void pod_unused(const std::string& identity);
  // What became of a pod whose sidecar is silent.
  operator_control::Fate pod_fate(const std::string& identity) const;
  void budget_news(const operator_control::BudgetNews& news);
  void pod_refused(const PodFacts& pod, const std::string& reason);
  bool authorized(std::string_view token, const char* verb) const;
  operator_admin::OperatorView view() const;
  void publish_counts();  // into the registry
  void count_pods();      // likewise
  PodTokens::Selector selector_of(const std::string& proxy) const;

  const Options options_;
  const topology::Prober prober_;
  const Clock& clock_;
  metrics::Registry registry_;
  mutable kubernetes::Client client_;
  kubernetes::Client ceilings_client_;  // ceilings wait for nothing else
  kubernetes::Client webhook_client_;   // what a pod waits for, waits for nothing else
  kubernetes::Client review_client_;    // so that a busy log-in of sidecars waits for no one else
  kubernetes::Canceller canceller_;
  mutable kubernetes::TokenReviewer people_;
  struct Verdict {
    bool allowed = false;
    TimePoint until{};
  };
  mutable std::mutex verdicts_mutex_;
  mutable std::map<std::string, Verdict> verdicts_;  // of people: by verb, name and groups
  std::atomic<bool> serving_{false}, leads_{false};
  std::atomic<std::uint64_t> endpoints_refused_{0};  // at connects

  std::unique_ptr<kubernetes::EventRecorder> events_;
  std::unique_ptr<kubernetes::Reflector> pods_;
  std::unique_ptr<KubernetesSource> source_;
  std::unique_ptr<PodTokens> tokens_;
  std::unique_ptr<operator_control::Server> server_;
  std::unique_ptr<StatusWriter> status_;
  std::unique_ptr<kubernetes::LeaderElector> elector_;
  std::unique_ptr<webhook::Service> webhook_;
  std::unique_ptr<operator_admin::Admin> admin_;
  Certificates certificates_;  // of the thread
  std::string certificate_trouble_, rds_ca_trouble_;
  std::thread thread_;
};

}  // namespace dbproxy::kubernetes_mode
