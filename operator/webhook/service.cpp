#include "operator/webhook/service.hpp"

#include "operator/kubernetes/objects.hpp"
#include "operator/webhook/base64.hpp"
#include "operator/webhook/ca_bundle.hpp"
#include "operator/webhook/live.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::webhook {
namespace {

constexpr std::chrono::seconds kLookUp{5};  // the API server waits for ten at most
constexpr const char* kReviews = "dbproxy_operator_webhook_reviews_total";
constexpr const char* kReviewsHelp = "Pods that were reviewed as they were made, by what came of it";
constexpr const char* kExpires = "dbproxy_operator_webhook_certificate_expires_seconds";
constexpr const char* kExpiresHelp = "When the webhook's certificate ends, in seconds since the epoch";

pki::LeafRequest leaf_request(const ServiceOptions& options) {
  const std::string name = options.service + "." + options.name_space;
  return {.common_name = "dbproxy webhook",
          .dns_names = {name + ".svc", name, name + ".svc.cluster.local", "localhost"},
          .addresses = {"127.0.0.1", "::1"},
          .life = options.leaf_life};
}

}  // namespace

Service::Service(ServiceOptions options, kubernetes::Client& client, metrics::Registry& registry, const Clock& clock)
    : options_(std::move(options)),
      client_(client),
      clock_(clock),
      find_proxy_(live_proxies(client, kLookUp)),
      patched_(registry.counter(kReviews, kReviewsHelp, {{"result", "patched"}})),
      unchanged_(registry.counter(kReviews, kReviewsHelp, {{"result", "unchanged"}})),
      refused_(registry.counter(kReviews, kReviewsHelp, {{"result", "refused"}})),
      malformed_(registry.counter(kReviews, kReviewsHelp, {{"result", "malformed"}})),
      expires_(registry.gauge(kExpires, kExpiresHelp)),
      server_(options_.https, [this](const http::Request& request) { return answer(request); }) {}

Service::~Service() {
  stop();
}

std::string Service::start() {
  if (std::string error = server_.start(); !error.empty()) return error;
  thread_ = std::thread([this] { maintain(); });
  return {};
}

void Service::stop() {
  canceller_.cancel();
  if (thread_.joinable()) thread_.join();
  server_.stop();
}

http::Response Service::answer(const http::Request& request) {
  http::Response response;
  if (request.path == "/healthz") {
    response.body = "ok\n";
    return response;
  }
  if (request.method != "POST" || request.path != "/inject") {
    response.status = 404;
    response.body = "AdmissionReviews are posted to /inject\n";
    return response;
  }
  Review reviewed = review(request.body, options_.settings, find_proxy_);
  response.status = reviewed.status;
  if (reviewed.status == 200) response.content_type = "application/json";
  response.body = std::move(reviewed.body);

  using Kind = Decision::Kind;
  const Kind kind = reviewed.decision.kind;
  {
    const std::lock_guard lock(counting_);
    metrics::Cell& cell = reviewed.status != 200  ? malformed_
                          : kind == Kind::kPatch  ? patched_
                          : kind == Kind::kRefuse ? refused_
                                                  : unchanged_;
    cell.add();
  }
  if (kind == Kind::kRefuse && reviewed.status == 200) {
    log::warn("webhook", "pod refused",
              {{"namespace", reviewed.name_space}, {"pod", reviewed.pod}, {"reason", reviewed.decision.reason}});
  } else if (kind == Kind::kPatch) {
    log::info("webhook", "sidecar injected",
              {{"namespace", reviewed.name_space}, {"pod", reviewed.pod}, {"dry_run", reviewed.dry_run}});
  }
  return response;
}

void Service::maintain() {
  std::string last;
  while (!canceller_.cancelled()) {
    const std::string missing = renew();
    if (!missing.empty() && missing != last) log::warn("webhook", "not ready yet", {{"reason", missing}});
    if (missing.empty() && !ready_) log::info("webhook", "serving", {{"port", server_.port()}});
    // A certificate that was good goes on being good while the API server is away.
    if (missing.empty()) ready_ = true;
    last = missing;
    if (canceller_.sleep(missing.empty() ? std::chrono::milliseconds(options_.check) : options_.retry)) return;
  }
}

std::string Service::renew() {
  const auto secret = kubernetes::get(client_, {{"", "v1", "secrets"}, options_.name_space, options_.ca_secret});
  if (secret.has_error()) return "the Secret " + options_.ca_secret + ": " + secret.error().text();
  const auto certificate = decode_base64(kubernetes::text_at(*secret, {"data", kCaCertificate}));
  auto key = decode_base64(kubernetes::text_at(*secret, {"data", kCaKey}));
  if (!certificate || !key) return "the Secret " + options_.ca_secret + " has no tls.crt and tls.key";
  pki::Authority authority{*certificate, Secret(std::move(*key))};

  const pki::LeafRequest request = leaf_request(options_);
  const auto due =
      leaf_.certificate_pem.empty() ? Result<bool>(true) : pki::needs_renewal(leaf_.certificate_pem, clock_);
  if (due.has_error() || due.value() || !pki::is_issued_by(leaf_, authority, request)) {
    auto issued = pki::issue(authority, request, clock_);
    if (issued.has_error()) return "no certificate from the CA: " + issued.error().message();
    if (std::string error = server_.set_identity(issued.value()); !error.empty()) return error;
    leaf_ = std::move(issued.value());
    if (const auto end = pki::expires_at(leaf_.certificate_pem); end.has_value()) {
      expires_.set(static_cast<std::uint64_t>(std::chrono::system_clock::to_time_t(end.value())));
    }
    log::info("webhook", "certificate issued", {{"seconds", options_.leaf_life.count()}});
  }
  return publish(ca_bundle(*secret));
}

std::string Service::publish(const std::string& ca_pem) {
  const kubernetes::ObjectRef ref{
      {"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"}, "", options_.configuration};
  const auto found = kubernetes::get(client_, ref);
  if (found.has_error()) return "the MutatingWebhookConfiguration: " + found.error().text();
  const json::array* webhooks = kubernetes::array_at(*found, {"webhooks"});
  const std::string bundle = encode_base64(ca_pem);
  json::array patch;
  for (std::size_t i = 0; webhooks != nullptr && i < webhooks->size(); ++i) {
    const json::object* hook = (*webhooks)[i].if_object();
    if (hook == nullptr || kubernetes::text_at(*hook, {"clientConfig", "caBundle"}) == bundle) continue;
    const std::string path = "/webhooks/" + std::to_string(i);
    // Whoever changed the list meanwhile wins: the next round looks again.
    patch.push_back(json::object{
        {"op", "test"}, {"path", std::string_view(path + "/name")}, {"value", kubernetes::text_at(*hook, {"name"})}});
    patch.emplace_back(add_operation(path + "/clientConfig/caBundle", json::string(bundle)));
  }
  if (patch.empty()) return {};
  kubernetes::Request request;
  request.method = "PATCH";
  request.target = kubernetes::path_of(ref.resource, "", ref.name) + "?fieldManager=dbproxy-operator";
  request.content_type = "application/json-patch+json";
  request.body = json::serialize(patch);
  const auto written = client_.send(request);
  if (written.has_error()) return "caBundle: " + written.error().text();
  log::info("webhook", "caBundle written", {{"configuration", options_.configuration}});
  return {};
}

}  // namespace dbproxy::webhook
