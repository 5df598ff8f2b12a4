#include "operator/kubernetes_mode/operator.hpp"

#include <algorithm>
#include <arpa/inet.h>

#include "operator/kubernetes/backoff.hpp"
#include "operator/kubernetes/objects.hpp"
#include "operator/kubernetes_mode/account_token.hpp"
#include "operator/kubernetes_mode/ceiling_objects.hpp"
#include "operator/kubernetes_mode/rds_ca.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

constexpr const char* kName = "dbproxy-operator";  // of the Lease, of the Service, of the field manager
constexpr std::chrono::seconds kCount{1};
constexpr unsigned kCountPodsEvery = 5;
constexpr unsigned kServiceRangesEvery = 60;
constexpr unsigned kCertificatesEvery = 10;
constexpr std::chrono::minutes kSteadyLife{10};
constexpr std::size_t kMostRanges = 128;

bool is_address(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

// The Service's names first: by them a redirect is verified too.
pki::LeafRequest server_leaf(const Options& options) {
  const std::string service = std::string(kName) + "." + options.name_space;
  pki::LeafRequest request{.common_name = kName,
                           .dns_names = {kName, service, service + ".svc", service + ".svc.cluster.local", "localhost"},
                           .addresses = {"127.0.0.1", "::1"},
                           .life = options.leaf_life};
  std::vector<std::string> names = options.server_names;
  if (!options.address.empty()) names.push_back(options.address);
  for (const std::string& name : names) (is_address(name) ? request.addresses : request.dns_names).push_back(name);
  return request;
}

kubernetes::ReflectorOptions labelled_pods() {
  kubernetes::ReflectorOptions out;
  out.resource = {"", "v1", "pods"};
  out.label_selector = kInjectLabel;
  out.trim = trim_pod;
  return out;
}

kubernetes::ReviewOptions for_people() {
  kubernetes::ReviewOptions out;  // any audience of the API server's own
  out.per_second = 5;
  out.burst = 20;
  return out;
}

}  // namespace

Operator::Operator(Options options, topology::Prober prober, const Clock& clock)
    : options_(std::move(options)),
      prober_(std::move(prober)),
      clock_(clock),
      client_(options_.config),
      ceilings_client_(options_.config),
      webhook_client_(options_.config),
      review_client_(options_.config),
      people_(review_client_, for_people(), clock),
      certificates_(client_, {options_.name_space, server_leaf(options_), options_.authorities}, canceller_, clock) {
  if (const auto& accounts = options_.secrets.store.accounts) {
    accounts->provide([this](const std::string& account) { return account_token(client_, account); });
  }
}

Operator::~Operator() {
  stop();
}

std::string Operator::start() {
  operator_admin::AdminOptions admin_options;
  admin_options.http.listen = options_.http;
  admin_options.live_page = options_.live_page;
  admin_options.authorize = [this](std::string_view token) { return authorized(token, "get"); };
  admin_options.authorize_change = [this](std::string_view token) { return authorized(token, "update"); };
  auto& orders = admin_options.maintenance;  // there is a source once it leads
  orders.pause = [this](const std::string& proxy, std::chrono::seconds most, bool hand_over) {
    return source_->pause(proxy, most, hand_over);
  };
  orders.resume = [this](const std::string& proxy) { return source_->resume(proxy); };
  orders.reconnect = [this](const std::string& proxy) { return source_->reconnect(proxy); };
  orders.refusal = [this]() -> std::string {
    if (leads_) return {};
    return "this replica of the operator does not lead" +
           (serving_ ? ": ask the one at " + elector_->leader_address() : std::string());
  };
  events_ = std::make_unique<kubernetes::EventRecorder>(client_, "dbproxy.io/operator", options_.identity, clock_);
  pods_ = std::make_unique<kubernetes::Reflector>(client_, labelled_pods(),
                                                  [this](const kubernetes::Change& change) { pod_changed(change); });
  topology::Prober prober = [this](const topology::ProbeRequest& request) {
    topology::ProbeResult result = serving_ ? server_->ask(prober_, request) : prober_(request);
    if (result.reason == config::HealthReason::kEndpointRefused) ++endpoints_refused_;
    return result;
  };
  source_ = std::make_unique<KubernetesSource>(
      client_, std::move(prober),
      [this](const source::Snapshots& changed, const std::vector<std::string>& unknown) {
        server_->publish(changed, unknown);
      },
      [this] {
        if (!serving_) return;
        server_->recheck();
        status_->nudge();
      },
      options_.endpoint_policy, options_.secrets, options_.debug_for, registry_, clock_);
  read_rds_ca();
  tokens_ = std::make_unique<PodTokens>(
      review_client_, *pods_, [this](const std::string& proxy) { return selector_of(proxy); },
      [this](const PodFacts& pod, const std::string& reason) { pod_refused(pod, reason); }, clock_);
  admin_ = std::make_unique<operator_admin::Admin>(
      admin_options, [this] { return view(); }, registry_);
  if (std::string error = admin_->start(); !error.empty()) return error;
  if (options_.webhook) {
    webhook_ = std::make_unique<webhook::Service>(*options_.webhook, webhook_client_, registry_, clock_);
    if (std::string error = webhook_->start(); !error.empty()) return error;
  }
  thread_ = std::thread([this] { boot(); });
  return {};
}

void Operator::boot() {
  kubernetes::Backoff backoff;
  for (;;) {
    const auto certificates = certificates_.keep(false);
    std::string error = certificates.has_error() ? certificates.error().text() : learn_service_ranges();
    if (error.empty()) error = serve();
    if (canceller_.cancelled()) return;
    if (error.empty()) break;
    log::error("operator", "cannot serve yet", {{"error", error}});
    if (canceller_.sleep(backoff.next(std::chrono::steady_clock::now(), 0.5))) return;
  }
  for (unsigned i = 0; !canceller_.sleep(kCount); ++i) {
    publish_counts();
    if (i % kCountPodsEvery == 0) count_pods();
    if (i % kCertificatesEvery == kCertificatesEvery - 1) read_rds_ca();
    // Of short lives something is due at any time.
    const bool often = std::min(options_.leaf_life, options_.authorities.overlap) < kSteadyLife;
    if (often || i % kCertificatesEvery == kCertificatesEvery - 1) keep_certificates();
    if (i % kServiceRangesEvery != 0 || i == 0) continue;
    const std::string error = learn_service_ranges();
    if (!error.empty()) log::warn("operator", "the ranges of Services are not known now", {{"error", error}});
  }
}

// What was read last stays where it cannot be read now.
void Operator::read_rds_ca() {
  if (options_.rds_ca.empty()) return;
  RdsCa ca = load_rds_ca(options_.rds_ca, clock_.wall());
  if (!ca.error.empty() && ca.error != rds_ca_trouble_) {
    log::warn("operator", "the CAs of databases cannot be read: those that were stay", {{"error", ca.error}});
  }
  rds_ca_trouble_ = ca.error;
  if (!ca.error.empty()) return;
  const auto ends = std::chrono::duration_cast<std::chrono::seconds>(ca.expires.time_since_epoch()).count();
  registry_
      .gauge("dbproxy_operator_certificate_expires_seconds",
             "When a certificate of the control stream ends, in seconds since the epoch", {{"certificate", "rds"}})
      .set(static_cast<std::uint64_t>(ends));
  source_->set_installation_ca(std::move(ca.pem));
}

void Operator::keep_certificates() {
  const kubernetes::Outcome<bool> kept = certificates_.keep(leads_);
  if (kept.has_error() && kept.error().cancelled()) return;
  // Of two replicas that move on at once one is told to look again.
  const bool trouble = kept.has_error() && !kept.error().conflict();
  const std::string text = trouble ? kept.error().text() : "";
  if (trouble && text != certificate_trouble_) {
    log::warn("operator", "the Secret of the CA is not as it should be", {{"error", text}});
  }
  certificate_trouble_ = text;
  if (kept.has_error() || !*kept) return;
  server_->set_certificates(certificates_.leaf(), certificates_.authority());
  server_->recheck();  // those of sidecars are as old
  status_->set_bundle(certificates_.bundle());
  log::info("operator", "certificates renewed");
}

std::string Operator::learn_service_ranges() {
  kubernetes::Request request;
  request.target = kubernetes::path_of({"networking.k8s.io", "v1", "servicecidrs"}, "");
  config::EndpointPolicy policy = options_.endpoint_policy;
  const auto found = client_.send_json(request, &canceller_);
  if (found.has_error()) {
    // Before Kubernetes 1.33, or without the right: what flags name is refused, and the API server's own address.
    if (!found.error().not_found() && !found.error().status(403)) return found.error().text();
    log::info("operator", "the ranges of Services are not listed by the API server", {{"error", found.error().text()}});
    source_->set_endpoint_policy(std::move(policy));
    return {};
  }
  const kubernetes::json::array* items = kubernetes::array_at(*found, {"items"});
  for (std::size_t i = 0; items != nullptr && i < items->size(); ++i) {
    const kubernetes::json::object* item = (*items)[i].if_object();
    const kubernetes::json::array* ranges = item == nullptr ? nullptr : kubernetes::array_at(*item, {"spec", "cidrs"});
    for (std::size_t j = 0; ranges != nullptr && j < ranges->size() && policy.refused_ranges.size() < kMostRanges;
         ++j) {
      if ((*ranges)[j].is_string()) policy.refused_ranges.emplace_back((*ranges)[j].get_string().c_str());
    }
  }
  std::sort(policy.refused_ranges.begin(), policy.refused_ranges.end());
  source_->set_endpoint_policy(std::move(policy));
  return {};
}

std::string Operator::serve() {
  operator_control::ServerOptions server_options;
  server_options.listen = options_.listen;
  server_options.identity = certificates_.leaf();
  server_options.authority = certificates_.authority();
  server_options.listener_life = options_.leaf_life;
  server_options.software_version = options_.software_version;
  server_options.ceilings = std::make_shared<CeilingObjects>(
      ceilings_client_,
      [this](const std::string& proxy) {
        const ProxyStatePtr state = source_->state(proxy);
        return state ? state->uid : std::string();
      },
      clock_);
  server_options.certain = [this] { return elector_->leading(); };
  server_options.fate = [this](const std::string& identity) { return pod_fate(identity); };
  server_options.budget_news = [this](const operator_control::BudgetNews& news) { budget_news(news); };
  server_ = std::make_unique<operator_control::Server>(server_options, *tokens_, registry_, clock_);
  server_->on_target_report([this](const operator_control::TargetReport& report) {
    source_->poke(report.proxy, report.reason == config::HealthReason::kAuthFailure);
  });
  server_->on_use([this](const std::map<std::string, topology::Use>& used) { source_->use(used); });
  server_->lead(false);
  if (std::string error = server_->start(); !error.empty()) return error;

  std::string address = options_.address;
  if (address.find(':') != std::string::npos) address = "[" + address + "]";
  kubernetes::ElectorOptions elector;
  elector.claim = {options_.name_space, kName, options_.identity, address + ":" + std::to_string(server_->port())};
  elector_ = std::make_unique<kubernetes::LeaderElector>(
      client_, elector, [this](bool leads) { leading(leads); }, clock_);
  server_->lead(false, [this] { return leader_elsewhere(); });
  status_ = std::make_unique<StatusWriter>(
      client_, *source_, *events_, [this] { return server_->sidecars(); }, [this] { return server_->budgets(); },
      [this] { return server_->servers(); },
      StatusOptions{certificates_.bundle(), options_.unused_after,
                    [this](const std::string& identity) { pod_unused(identity); }},
      clock_);
  serving_ = true;
  pods_->start();
  source_->start();
  elector_->start();
  log::info("operator", "serving",
            {{"version", options_.software_version},
             {"control_port", server_->port()},
             {"http_port", admin_->port()},
             {"api_server", options_.config.host + ":" + std::to_string(options_.config.port)},
             {"identity", options_.identity}});
  return {};
}

// Where the leader is; "" while it is nobody, or this replica, which is about to begin or has just ended.
std::string Operator::leader_elsewhere() const {
  return elector_->leader() == options_.identity ? std::string() : elector_->leader_address();
}

void Operator::leading(bool leads) {
  leads_ = leads;
  if (leads) {
    source_->expect_use();
    server_->lead(true);
  } else {
    server_->lead(false, [this] { return leader_elsewhere(); });
  }
  status_->lead(leads);
}

void Operator::stop() {
  canceller_.cancel();
  if (thread_.joinable()) thread_.join();
  if (elector_) elector_->stop();  // gives the lease back while the streams are still up; then they are sent on
  if (server_) server_->stop();
  if (status_) status_->stop();
  if (source_) source_->stop();
  if (pods_) pods_->stop();
  if (events_) events_->stop();
  if (webhook_) webhook_->stop();
  if (admin_) admin_->stop();
  tokens_.reset();
}

PodTokens::Selector Operator::selector_of(const std::string& proxy) const {
  const ProxyStatePtr state = source_->state(proxy);
  if (!state) return {};
  return {true, state->selector};
}

}  // namespace dbproxy::kubernetes_mode
