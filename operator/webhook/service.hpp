// Service: the webhook as a whole. Its HTTPS server, its certificate, and its CA in the webhook's configuration.
//
// Every replica runs one. The leaf is its own and never stored; it is signed by the CA that all replicas share in a
// Secret, issued again before it ends or when another CA signs, and what is to be trusted is put into caBundle wherever
// it is missing there. Owns its threads.
#pragma once

#include <atomic>
#include <string>
#include <thread>

#include "operator/kubernetes/client.hpp"
#include "operator/webhook/admission.hpp"
#include "operator/webhook/https_server.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/metrics/registry.hpp"

namespace dbproxy::webhook {

struct ServiceOptions {
  HttpsOptions https;
  std::string name_space;                          // of the operator
  std::string service = "dbproxy-operator";        // that the API server calls
  std::string configuration = "dbproxy-operator";  // the MutatingWebhookConfiguration
  std::string ca_secret = "dbproxy-operator-ca";   // tls.crt and tls.key
  Settings settings;
  std::chrono::seconds leaf_life = std::chrono::hours(24 * 30);
  std::chrono::seconds check{10};        // of certificate and caBundle, once they are good
  std::chrono::milliseconds retry{500};  // before
};

class Service {
 public:
  // `client` and `registry` must outlive it.
  Service(ServiceOptions options, kubernetes::Client& client, metrics::Registry& registry, const Clock& clock);
  ~Service();  // stops

  // "" or why it cannot listen. Serves once the CA's Secret is there.
  std::string start();
  void stop();
  // Has a certificate that the API server is told to trust.
  bool ready() const { return ready_; }
  std::uint16_t port() const { return server_.port(); }

 private:
  http::Response answer(const http::Request& request);
  void maintain();      // in its thread
  std::string renew();  // "" or what is missing
  std::string publish(const std::string& ca_pem);

  const ServiceOptions options_;
  kubernetes::Client& client_;
  const Clock& clock_;
  const FindProxy find_proxy_;
  metrics::Cell& patched_;
  metrics::Cell& unchanged_;
  metrics::Cell& refused_;
  metrics::Cell& malformed_;
  metrics::Cell& expires_;
  std::mutex counting_;  // a cell has one writer at a time
  kubernetes::Canceller canceller_;
  pki::Identity leaf_;
  std::atomic<bool> ready_{false};
  HttpsServer server_;
  std::thread thread_;
};

}  // namespace dbproxy::webhook
