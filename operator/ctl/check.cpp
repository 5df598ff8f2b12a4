#include "operator/ctl/check.hpp"

#include <charconv>
#include <ostream>

#include "operator/ctl/table.hpp"
#include "operator/kubernetes/objects.hpp"
#include "operator/kubernetes/reviews.hpp"
#include "operator/webhook/base64.hpp"
#include "operator/webhook/ca_bundle.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;
using kubernetes::text_at;

constexpr const char* kName = "dbproxy-operator";
constexpr const char* kCaName = "dbproxy-operator-ca";
constexpr int kLeastMinor = 29;  // native sidecars are on from Kubernetes 1.29
constexpr int kDaysLeft = 14;

class ClusterCheck {
 public:
  ClusterCheck(const CheckOptions& options, kubernetes::Client& client, const Clock& clock, Findings& findings)
      : options_(options), client_(client), clock_(clock), findings_(findings) {}

  void run() {
    if (!version()) return;  // whoever cannot be reached answers nothing else
    resources();
    deployment();
    authority();
    configuration();
    webhook();
    rights();
  }

 private:
  kubernetes::Outcome<json::object> ask(const std::string& target) {
    kubernetes::Request request;
    request.target = target;
    request.timeout = std::chrono::seconds(10);
    return client_.send_json(request);
  }

  bool version() {
    const auto seen = ask("/version");
    if (seen.has_error()) {
      findings_.fail("API server", seen.error().text(), "give the right --kubeconfig, or look at the network");
      return false;
    }
    const std::string_view minor = text_at(*seen, {"minor"});
    int number = 0;
    std::from_chars(minor.data(), minor.data() + minor.size(), number);
    const std::string shown = "Kubernetes " + std::string(text_at(*seen, {"gitVersion"}));
    if (number < kLeastMinor) {
      findings_.fail("API server", shown,
                     "native sidecars need 1.29: update, or install with sidecar.native=false, which is for pods that "
                     "restart always");
    } else {
      findings_.ok("API server", shown);
    }
    return true;
  }

  void resources() {
    for (const char* name : {"dbproxies", "dbproxyendpoints"}) {
      const auto seen = ask("/apis/dbproxy.io/v1alpha1/" + std::string(name) + "?limit=1");
      if (seen.has_error()) {
        findings_.fail(name, seen.error().text(),
                       seen.error().not_found() ? "install the chart with crds.enabled=true, or apply crds/"
                                                : "you may have no right to list them: bind dbproxy-viewer");
      } else {
        findings_.ok(name, "served in dbproxy.io/v1alpha1");
      }
    }
  }

  void deployment() {
    const auto seen = kubernetes::get(client_, {{"apps", "v1", "deployments"}, options_.name_space, kName});
    if (seen.has_error()) {
      findings_.fail("operator", seen.error().text(), "give its namespace with -n, or install the chart");
      return;
    }
    const auto wanted = kubernetes::integer_at(*seen, {"spec", "replicas"}).value_or(1);
    const auto available = kubernetes::integer_at(*seen, {"status", "availableReplicas"}).value_or(0);
    const std::string shown = std::to_string(available) + " of " + std::to_string(wanted) + " replicas are available";
    if (available == 0) {
      findings_.fail("operator", shown, "kubectl -n " + options_.name_space + " describe deployment " + kName);
    } else if (available < wanted) {
      findings_.warn("operator", shown, "it works, and has nobody to take over");
    } else {
      findings_.ok("operator", shown);
    }
    const std::string installed(text_at(*seen, {"metadata", "labels", "app.kubernetes.io/version"}));
    if (installed.empty() || installed == options_.version) {
      findings_.ok("versions",
                   "dbproxyctl " + options_.version + ", installed " + (installed.empty() ? "?" : installed));
    } else {
      findings_.warn("versions", "dbproxyctl " + options_.version + ", installed " + installed,
                     "take the dbproxyctl of the installed version");
    }
  }

  void authority() {
    const auto secret = kubernetes::get(client_, {{"", "v1", "secrets"}, options_.name_space, kCaName});
    if (secret.has_error()) {
      if (secret.error().status(403)) {
        findings_.warn("CA", "you may not read the Secret " + std::string(kCaName), "ask someone who may");
      } else {
        findings_.fail("CA", secret.error().text(), "the operator makes it as it starts: see its log");
      }
      return;
    }
    const auto pem = webhook::decode_base64(text_at(*secret, {"data", webhook::kCaCertificate}));
    const auto ends = pem ? pki::expires_at(*pem) : Result<WallTime>(pki::Error::kBadCertificate);
    if (ends.has_error()) {
      findings_.fail("CA", "the Secret " + std::string(kCaName) + " holds no certificate",
                     "delete it and restart all replicas of the operator at once: they make another");
      return;
    }
    ca_ = webhook::ca_bundle(*secret);
    const auto days = std::chrono::duration_cast<std::chrono::hours>(ends.value() - clock_.wall()).count() / 24;
    if (days < kDaysLeft) {
      findings_.fail("CA", "ends in " + std::to_string(days) + " days",
                     "the operator replaces it long before, if it may update its Secret: see its log");
    } else {
      findings_.ok("CA", "good for " + std::to_string(days) + " days");
    }
  }

  void configuration() {
    const auto seen =
        kubernetes::get(client_, {{"admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"}, "", kName});
    if (seen.has_error()) {
      findings_.warn("webhook", seen.error().text(),
                     "without it pods get no sidecar by their label: install with webhook.enabled=true, or use "
                     "dbproxyctl inject");
      return;
    }
    const json::array* hooks = kubernetes::array_at(*seen, {"webhooks"});
    const json::object* hook = hooks == nullptr || hooks->empty() ? nullptr : hooks->front().if_object();
    const auto bundle =
        hook == nullptr ? std::nullopt : webhook::decode_base64(text_at(*hook, {"clientConfig", "caBundle"}));
    if (!bundle) {
      findings_.fail("webhook", "has no caBundle", "the operator writes it as it starts: see its log");
    } else if (!ca_.empty() && *bundle != ca_) {
      findings_.fail("webhook", "its caBundle is not the operator's CA", "the operator writes it within a minute");
    } else if (text_at(*hook, {"failurePolicy"}) != "Fail") {
      findings_.warn("webhook", "its failurePolicy is not Fail",
                     "pods made while the operator is away go to the database directly");
    } else {
      findings_.ok("webhook", "configured");
    }
    configured_ = bundle.has_value();
  }

  // A pod that asks for a DBProxy that is not there has to be refused, in our words.
  void webhook() {
    if (!configured_) return;
    const json::object pod = {
        {"apiVersion", "v1"},
        {"kind", "Pod"},
        {"metadata",
         {{"generateName", "dbproxyctl-check-"}, {"labels", {{"dbproxy.io/inject", "dbproxyctl-check-0"}}}}},
        {"spec",
         {{"containers", json::array{json::object{{"name", "check"},
                                                  {"image", "check"},
                                                  {"securityContext",
                                                   {{"allowPrivilegeEscalation", false},
                                                    {"runAsNonRoot", true},
                                                    {"capabilities", {{"drop", json::array{"ALL"}}}},
                                                    {"seccompProfile", {{"type", "RuntimeDefault"}}}}}}}}}}};
    kubernetes::Request request;
    request.method = "POST";
    request.target = "/api/v1/namespaces/" + options_.name_space + "/pods?dryRun=All";
    request.body = json::serialize(pod);
    request.timeout = std::chrono::seconds(35);
    const auto made = client_.send(request);
    if (made.has_value()) {
      findings_.fail("injection", "a labelled pod passed unseen",
                     "look at the webhook's objectSelector and namespaceSelector");
    } else if (made.error().message.find("dbproxy refuses the pod") != std::string::npos) {
      findings_.ok("injection", "the API server reaches the webhook");
    } else if (made.error().status(403) && made.error().message.find("webhook") == std::string::npos) {
      findings_.warn("injection", made.error().text(), "you may not make pods there: ask someone who may");
    } else {
      findings_.fail("injection", made.error().text(),
                     "the API server has to reach the operator's pods on port 9443: on managed clusters open it in the "
                     "nodes' security group for the control plane");
    }
  }

  void rights() {
    struct Right {
      const char* verb;
      const char* group;
      const char* resource;
      bool own_namespace;
    };
    static constexpr Right kRights[] = {{"watch", "dbproxy.io", "dbproxies", false},
                                        {"watch", "dbproxy.io", "dbproxyendpoints", false},
                                        {"patch", "dbproxy.io", "dbproxies/status", false},
                                        {"get", "", "secrets", false},
                                        {"watch", "", "pods", false},
                                        {"patch", "", "configmaps", false},
                                        {"create", "authentication.k8s.io", "tokenreviews", false},
                                        {"create", "events.k8s.io", "events", false},
                                        {"update", "coordination.k8s.io", "leases", true},
                                        {"create", "", "secrets", true}};
    std::string missing;
    for (const Right& right : kRights) {
      kubernetes::Access access;
      access.user = "system:serviceaccount:" + options_.name_space + ":" + kName;
      access.verb = right.verb;
      access.group = right.group;
      access.resource = right.resource;
      if (right.own_namespace) access.name_space = options_.name_space;
      const auto allowed = kubernetes::may(client_, access);
      if (allowed.has_error()) {
        findings_.warn("rights", allowed.error().text(), "you may not ask what others may: ask someone who may");
        return;
      }
      if (!*allowed) missing += (missing.empty() ? "" : ", ") + std::string(right.verb) + " " + right.resource;
    }
    if (missing.empty()) {
      findings_.ok("rights", "the operator's service account has what it needs");
    } else {
      findings_.fail("rights", "the operator may not " + missing, "install the chart's roles again: helm upgrade");
    }
  }

  const CheckOptions& options_;
  kubernetes::Client& client_;
  const Clock& clock_;
  Findings& findings_;
  std::string ca_;
  bool configured_ = false;
};

}  // namespace

void Findings::ok(const std::string& what, const std::string& found) {
  line("ok   ", what, found, {});
}
void Findings::warn(const std::string& what, const std::string& found, const std::string& remedy) {
  line("warn ", what, found, remedy);
}
void Findings::fail(const std::string& what, const std::string& found, const std::string& remedy) {
  ++failures_;
  line("FAIL ", what, found, remedy);
}
void Findings::line(const char* verdict, const std::string& what, const std::string& found, const std::string& remedy) {
  std::string name = what;
  name.resize(std::max<std::size_t>(name.size(), 16), ' ');
  out_ << verdict << " " << name << " " << printable(found);
  if (!remedy.empty()) out_ << "; " << remedy;
  out_ << "\n";
}

void check_operator(const Server& server, const Transport& transport, Findings& findings) {
  http::ClientRequest what;
  what.path = "/readyz";
  const std::string where = http::to_string(server.address);
  const http::ClientResponse answer = transport(server, what);
  if (!answer.error.empty()) {
    findings.fail("operator", where + ": " + answer.error,
                  "look whether it runs, and whether a NetworkPolicy stands between");
  } else if (answer.response.status != 200) {
    findings.fail("operator", where + " is not ready: " + answer.response.body.substr(0, 200), "see its log");
  } else {
    findings.ok("operator", where + " is ready");
  }
}

void check_cluster(const CheckOptions& options, kubernetes::Client& client, const Clock& clock, Findings& findings) {
  ClusterCheck(options, client, clock, findings).run();
}

}  // namespace dbproxy::ctl
