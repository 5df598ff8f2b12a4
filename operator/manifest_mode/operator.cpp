#include "operator/manifest_mode/operator.hpp"

#include <arpa/inet.h>
#include <cstdlib>
#include <filesystem>
#include <sys/stat.h>

#include "operator/manifest_mode/view.hpp"
#include "operator/status/status.hpp"
#include "proxy/base/log.hpp"
#include "proxy/http/address.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::manifest_mode {
namespace {

bool is_address(const std::string& text) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(AF_INET, text.c_str(), buffer) == 1 || inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

// Loopback always, the address that it listens on unless that means all of them, and what was asked for.
pki::LeafRequest server_leaf(const Options& options) {
  pki::LeafRequest request{.common_name = "dbproxy-operator",
                           .dns_names = {"localhost"},
                           .addresses = {"127.0.0.1", "::1"},
                           .life = options.leaf_life};
  std::vector<std::string> names = options.server_names;
  if (const auto address = http::parse_address(options.listen)) names.push_back(address->host);
  for (const std::string& name : names) {
    if (name.empty() || name == "0.0.0.0" || name == "::") continue;
    (is_address(name) ? request.addresses : request.dns_names).push_back(name);
  }
  return request;
}

}  // namespace

std::string default_state_dir() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/dbproxy-operator";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return std::string(home) + "/.local/state/dbproxy-operator";
  return {};
}

std::string prepare_state_dir(const std::string& path) {
  if (path.empty()) return "there is no state directory: give one with --state-dir";
  const std::filesystem::path directory(path);
  std::error_code error;
  if (directory.has_parent_path()) std::filesystem::create_directories(directory.parent_path(), error);
  if (error) return "cannot make " + directory.parent_path().string() + ": " + error.message();
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return "cannot make " + path + ": " + std::error_code(errno, std::generic_category()).message();
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return path + " is not a directory";
  if ((status.st_mode & 0022) != 0) return path + " can be written by others: chmod 700 " + path;
  return {};
}

Operator::Operator(Options options, topology::Prober prober, const Clock& clock)
    : options_(std::move(options)), clock_(clock), tokens_(options_.state_dir), chronicle_(clock) {
  source::Options source_options = options_.source;
  source_options.metrics_prefix = "dbproxy_operator";
  source_options.versions_file = options_.state_dir + "/versions";
  source_ = std::make_unique<source::ManifestSource>(
      source_options,
      [this, ask = std::move(prober)](const topology::ProbeRequest& request) {
        return server_ ? server_->ask(ask, request) : ask(request);
      },
      [this](const source::Snapshots& changed) {
        chronicle_.note(changed);
        server_->publish(changed);
      },
      registry_, clock_);
}

Operator::~Operator() {
  stop();
}

std::vector<manifest::Diagnostic> Operator::load() {
  return source_->load();
}

std::string Operator::start() {
  if (std::string error = prepare_state_dir(options_.state_dir); !error.empty()) return error;
  const Result<pki::ServerFiles> files = pki::load_or_create(options_.state_dir, server_leaf(options_), clock_);
  if (files.has_error()) {
    return "cannot use the certificates in " + options_.state_dir + ": " + files.error().message();
  }
  for (const std::string& identity : options_.sidecars) {
    const Result<std::string> token = tokens_.ensure(identity);
    if (token.has_error()) return "cannot make a token for " + identity + ": " + token.error().message();
    log::info("operator", "sidecar may connect", {{"identity", identity}, {"token_file", token.value()}});
  }

  operator_control::ServerOptions server_options;
  server_options.listen = options_.listen;
  server_options.identity = files.value().server;
  server_options.authority = files.value().authority;
  server_options.listener_life = options_.leaf_life;
  server_options.software_version = options_.software_version;
  server_options.ceilings = std::make_shared<operator_control::CeilingFiles>(options_.state_dir, clock_);
  // Without its token it cannot come back.
  server_options.fate = [this](const std::string& identity) {
    return tokens_.exists(identity) ? operator_control::Fate::kThere : operator_control::Fate::kGone;
  };
  server_ = std::make_unique<operator_control::Server>(server_options, tokens_, registry_, clock_);
  // What a sidecar sees by using a target may be news: ask the target at once.
  server_->on_target_report([this](const operator_control::TargetReport& report) {
    log::debug("operator", "target report",
               {{"identity", report.identity},
                {"proxy", report.proxy},
                {"target", report.target},
                {"health", config::to_string(report.health)},
                {"reason", config::to_string(report.reason)}});
    source_->poke(report.proxy, report.reason == config::HealthReason::kAuthFailure);
  });
  server_->on_use([this](const std::map<std::string, topology::Use>& used) {
    if (ready_) source_->use(used);
  });
  if (std::string error = server_->start(); !error.empty()) return error;

  operator_admin::AdminOptions admin_options;
  admin_options.http.listen = options_.http;
  admin_options.maintenance = http::maintenance_of(*source_);
  admin_ = std::make_unique<operator_admin::Admin>(
      admin_options, [this] { return view(); }, registry_);
  if (std::string error = admin_->start(); !error.empty()) return error;
  source_->start();
  renewal_ = std::make_unique<Renewal>(
      options_.state_dir, server_leaf(options_), files.value(),
      [this](const pki::ServerFiles& renewed) {
        server_->set_certificates(renewed.server, renewed.authority);
        server_->recheck();  // those of sidecars are as old
      },
      clock_);
  renewal_->start();
  ready_ = true;
  log::info("operator", "serving",
            {{"version", options_.software_version},
             {"control_port", server_->port()},
             {"http_port", admin_->port()},
             {"manifests", options_.source.directory.string()},
             {"ca_file", options_.state_dir + "/ca.pem"}});
  return {};
}

void Operator::stop() {
  ready_ = false;
  if (renewal_) renewal_->stop();
  if (server_) server_->stop();  // first: its reports reach for the source
  source_->stop();
  if (admin_) admin_->stop();
}

int Operator::control_port() const {
  return server_->port();
}
int Operator::http_port() const {
  return admin_->port();
}

operator_admin::OperatorView Operator::view() {
  operator_admin::OperatorView view =
      make_view(source_->snapshots(), server_->sidecars(), source_->diagnostics(), clock_.wall());
  add_activity(server_->latencies(), server_->pins(), view);
  add_budgets(view, server_->budgets());
  std::map<std::string, std::string> troubles;
  for (const operator_admin::ProxyRow& row : view.proxies) {
    for (const operator_admin::ConditionRow& each : row.conditions) {
      if (each.reason == operator_status::kIamAuthImpossible) troubles[row.name_space + "/" + row.name] = each.message;
    }
  }
  chronicle_.note_troubles(troubles);
  view.events = chronicle_.rows();
  view.ready = ready_;
  return view;
}

}  // namespace dbproxy::manifest_mode
