#include "operator/ctl/preflight.hpp"

#include <fstream>
#include <iterator>
#include <ostream>
#include <set>

#include "operator/ctl/commands.hpp"
#include "operator/ctl/document.hpp"
#include "operator/ctl/table.hpp"
#include "operator/kubernetes/objects.hpp"
#include "operator/status/installation_ca.hpp"
#include "proxy/backend/blocking_connection.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/plan/plan.hpp"
#include "proxy/source/database_prober.hpp"

namespace dbproxy::ctl {
namespace {

bool is_named(const std::string& key, const std::string& name) {
  return key == name || key.substr(key.find('/') + 1) == name;
}

class Walk {
 public:
  Walk(const PreflightOptions& options, std::ostream& out) : options_(options), out_(out) {}

  bool cluster(const topology::Cluster& cluster) {
    for (const topology::Member& member : cluster.members) {
      out_ << cluster.proxy << " " << member.id << " at " << printable(member.host) << ":" << member.port << "\n";
      if (name(member) && connection(member)) log_ins(cluster, member);
    }
    return good_;
  }

 private:
  void ok(const char* step, const std::string& text) { out_ << "  ok    " << step << "  " << printable(text) << "\n"; }

  bool fail(const char* step, const std::string& text, const std::string& remedy) {
    out_ << "  FAIL  " << step << "  " << printable(text) << "\n        " << remedy << "\n";
    return good_ = false;
  }

  bool name(const topology::Member& member) {
    if (member.host.starts_with('/')) return true;
    std::string error;
    const auto addresses = net::resolve(member.host, member.port, error);
    if (addresses.empty()) {
      return fail(
          "DNS  ", error,
          "the name does not exist from here: correct dbCluster.endpoint, or look at the pod's dnsPolicy and at "
          "the VPC's private zones");
    }
    std::string shown;
    for (const auto& address : addresses) shown += (shown.empty() ? "" : ", ") + net::to_string(address);
    ok("DNS  ", shown);
    return true;
  }

  bool connection(const topology::Member& member) {
    backend::BlockingConnection connection(options_.timeout);
    const auto begin = std::chrono::steady_clock::now();
    if (connection.connect(member.host, member.port)) {
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      ok("TCP  ", "connected in " + duration(took.count()));
      return true;
    }
    const bool silent = std::chrono::steady_clock::now() - begin >= options_.timeout;
    return fail("TCP  ", connection.error(),
                silent
                    ? "nobody answers: the database's security group has to let this pod's or node's addresses in on "
                      "the port, the network ACLs (NACL) of both subnets have to let both directions through, and a "
                      "route has to lead there"
                    : "the host answers and nothing listens on the port: correct dbCluster.port, or start the "
                      "database");
  }

  void log_ins(const topology::Cluster& cluster, const topology::Member& member) {
    bool told = false;
    for (const topology::Credential& credential : cluster.credentials) {
      topology::ProbeRequest request;
      request.host = member.host;
      request.port = member.port;
      request.tls = cluster.tls;
      request.user = credential.user;
      request.password = credential.password;
      request.iam = credential.iam;
      request.aws = cluster.aws;
      request.engine = cluster.engine;
      request.timeout = options_.timeout;
      request.keep = false;
      const topology::ProbeResult seen = prober_(request);
      if (!seen.ok) {
        fail("LOGIN", credential.user + ": " + seen.detail, remedy(seen, credential.iam));
        continue;
      }
      ok("LOGIN", credential.user + ", " +
                      (config::to_string(cluster.tls.mode) == "disable" ? "in clear" : "under TLS") +
                      std::string(", tls.mode ") + std::string(config::to_string(cluster.tls.mode)));
      if (std::exchange(told, true)) continue;
      ok("ROLE ", seen.in_recovery ? "reader, " + duration(seen.lag_seconds) + " behind" : "writer");
      ok("LIMIT", "max_connections " + std::to_string(seen.max_connections) + ", of which " +
                      std::to_string(seen.reserved) + " are reserved");
    }
    if (cluster.credentials.empty()) {
      out_ << "  skip  LOGIN  no user's password is at hand: those of secretArn are read by the operator, which "
              "dbproxyctl check --aws tries\n";
    }
  }

  static std::string remedy(const topology::ProbeResult& seen, bool iam) {
    if (seen.reason != config::HealthReason::kAuthFailure)
      return "TLS or the server is in the way: tls.mode and tls.caRef have to fit what the server shows; where it says "
             "that it is full, max_connections is reached";
    return iam ? "the token is signed with the keys of AWS that are found here: they need rds-db:connect for the user "
                 "(dbproxyctl iam-policy prints it), and the user rds_iam or AWSAuthenticationPlugin"
               : "the database refuses the user: compare the Secret's username and password with the database, and "
                 "look at pg_hba.conf or rds_iam";
  }

  const PreflightOptions& options_;
  std::ostream& out_;
  const SystemClock clock_;
  const topology::Prober prober_ = source::database_prober(clock_);
  bool good_ = true;
};

}  // namespace

std::string fetch(kubernetes::Client& client, const std::string& name_space, const std::string& name,
                  const std::string& installation_ca, std::string& error) {
  const auto get = [&](const char* group, const char* version, const char* plural, const std::string& object) {
    auto found = kubernetes::get(client, {{group, version, plural}, name_space, object});
    if (found.has_error() && error.empty()) {
      error = std::string(plural) + " " + name_space + "/" + object + ": " + found.error().text();
    }
    return found.has_error() ? std::string() : to_yaml(boost::json::value(*found));
  };
  const auto proxy = kubernetes::get(client, {{"dbproxy.io", "v1alpha1", "dbproxies"}, name_space, name});
  if (proxy.has_error()) {
    error = "dbproxies " + name_space + "/" + name + ": " + proxy.error().text();
    return {};
  }
  boost::json::value object(*proxy);
  bool refers = false;
  if (boost::json::value* spec = object.as_object().if_contains("spec"); spec != nullptr && spec->is_object()) {
    const auto use = operator_status::refer_to_installation_ca(spec->get_object(), true);
    refers = use.refers;
  }
  std::set<std::pair<bool, std::string>> wanted;  // whether it is a Secret, and its name
  for (const auto& entry : array_at(object, "/spec/auth")) wanted.emplace(true, text_at(entry, "/secretRef/name"));
  const std::string tls = "/spec/targetGroups/0/dbCluster/tls";
  wanted.emplace(true, text_at(object, tls + "/clientCertificateRef/name"));
  for (const std::string& ca : {tls + "/caRef", std::string("/spec/clientCert/caRef")}) {
    wanted.emplace(text_at(object, ca + "/kind") == "Secret", text_at(object, ca + "/name"));
  }
  std::string out = to_yaml(object);
  if (refers && installation_ca.empty()) {
    error =
        "DBProxy " + name_space + "/" + name +
        " is verified by the CA of the installation, which the operator has: give it with --rds-ca FILE; kubectl -n "
        "NAMESPACE-OF-THE-OPERATOR get configmap dbproxy-operator-rds-ca -o jsonpath='{.data.ca\\.pem}' prints it";
  } else if (refers) {
    out += "---\n" + operator_status::installation_ca_text(name_space, installation_ca) + "\n";
  }
  for (const auto& [secret, reference] : wanted) {
    if (reference.empty() || reference == operator_status::kInstallationCa) continue;
    out += "---\n" + get("", "v1", secret ? "secrets" : "configmaps", reference);
  }
  return out;
}

namespace {

// Of the API server: the text, or an error.
std::string fetch_named(const PreflightOptions& options, kubernetes::Client& client, std::string& error) {
  const std::size_t slash = options.name.find('/');
  std::string name_space = slash == std::string::npos ? options.name_space : options.name.substr(0, slash);
  if (name_space.empty()) name_space = "default";
  std::string ca;
  if (!options.rds_ca.empty()) {
    std::ifstream file(options.rds_ca);
    ca.assign(std::istreambuf_iterator<char>(file), {});
    if (ca.empty()) return error = "--rds-ca: " + options.rds_ca + " cannot be read", std::string();
  }
  return fetch(client, name_space, options.name.substr(slash + 1), ca, error);
}

}  // namespace

int preflight(const PreflightOptions& options, kubernetes::Client* client, std::istream& in, std::ostream& out,
              std::ostream& err) {
  const bool of_cluster = options.manifests.empty() || options.manifests == "-";
  manifest::Manifests manifests;
  if (options.manifests.empty()) {
    std::string error;
    const std::string text = fetch_named(options, *client, error);
    if (!error.empty()) {
      err << "error: " << printable(error) << "\n";
      return kRefused;
    }
    if (options.print) {
      out << text;
      return kOk;
    }
    manifests = manifest::load_sources({{options.name, text}});
  } else if (of_cluster) {
    manifests = manifest::load_sources({{"the input", std::string(std::istreambuf_iterator<char>(in), {})}});
  } else {
    manifests = manifest::load_directory(options.manifests);
  }
  for (const auto& each : manifests.diagnostics) err << manifest::to_text(each) << "\n";
  if (!manifests.ok()) return kUsage;
  bool found = false;
  bool good = true;
  for (const plan::DesiredProxy& proxy : plan::make_desired(manifests).proxies) {
    topology::Cluster cluster = plan::cluster(proxy);
    const std::size_t slash = cluster.proxy.find('/');
    const std::string space = cluster.proxy.substr(0, slash);
    const auto& named = manifests.find_proxy(space, cluster.proxy.substr(slash + 1))->cluster.tls.ca_ref;
    if (of_cluster && named && named->name != operator_status::kInstallationCa)
      cluster.tls.ca_owner = config::CaOwner::kNamespace;  // as the operator and sidecars have it
    if (!options.name.empty() && !is_named(cluster.proxy, options.name)) continue;
    if (!options.name_space.empty() && space != options.name_space) continue;
    found = true;
    good = Walk(options, out).cluster(cluster) && good;
  }
  if (!found) {
    err << "error: there is no such DBProxy there\n";
    return kRefused;
  }
  return good ? kOk : kRefused;
}

}  // namespace dbproxy::ctl
