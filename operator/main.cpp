// dbproxy-operator: flags → manifests or the Kubernetes API → server → signal → stop.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <malloc.h>
#include <openssl/crypto.h>
#include <string>
#include <unistd.h>

#include "operator/kubernetes_mode/operator.hpp"
#include "operator/kubernetes_mode/rds_ca.hpp"
#include "operator/manifest_mode/operator.hpp"
#include "proxy/base/log.hpp"
#include "proxy/base/log_flags.hpp"
#include "proxy/base/process.hpp"
#include "proxy/metrics/build_info.hpp"
#include "proxy/net/address_policy.hpp"
#include "proxy/source/database_prober.hpp"

namespace {

using namespace dbproxy;

constexpr int kFailed = 1;       // could not run
constexpr int kBadInput = 2;     // flags or manifests
constexpr int kStopSeconds = 2;  // then it ends anyway

// OpenSSL and gRPC keep about eight buffers of 8 to 17 KB for each connection, and use the first page of most of them.
// As mappings of their own only those pages are memory: a fifth less for each sidecar. Not more of them than leaves the
// kernel's default of 65,530 mappings room; what comes after is from the heap.
constexpr int kOwnMapping = 8 * 1024 + 1;  // bytes
constexpr int kMostMappings = 48'000;

struct Flags {
  int secret_poll_seconds = 60;
  int debug_logging_seconds = 24 * 3600, unused_after_seconds = 600;
  std::int64_t ca_seconds = kubernetes_mode::AuthorityPolicy().life.count();
  std::int64_t ca_overlap_seconds = kubernetes_mode::AuthorityPolicy().overlap.count();
  std::int64_t certificate_seconds = kubernetes_mode::Options().leaf_life.count();
  std::vector<std::string> aws_grants;
  std::string rds_ca;
  std::string manifests;
  std::string kubeconfig, context, name_space, pod_name, pod_address;
  std::string webhook;
  webhook::Settings sidecar;
  bool ordinary_sidecar = false, live_page = false;
  std::string listen = "127.0.0.1:9931";
  std::string http = "127.0.0.1:9932";
  std::string state_dir = manifest_mode::default_state_dir();
  std::vector<std::string> sidecars, server_names;
  std::vector<std::string> allowed_endpoints, service_ranges;
  log::Flags log;
  std::string identity;              // of the token command
  std::vector<std::string> proxies;  // likewise
};

void describe(CLI::App& app, Flags& flags) {
  app.set_version_flag("--version", std::string(metrics::build_version()));
  app.add_option("--manifests", flags.manifests,
                 "Directory of DBProxy, DBProxyEndpoint, Secret and ConfigMap manifests (*.yaml); it is watched");
  app.add_option("--kubeconfig", flags.kubeconfig,
                 "Kubernetes API to work on; without this and --manifests that of the cluster this pod runs in")
      ->type_name("FILE");
  app.add_option("--context", flags.context, "Context of the kubeconfig, if not its current one")->type_name("NAME");
  app.add_option("--namespace", flags.name_space,
                 "Where the operator's own Lease and CA are kept; that of its service account unless told otherwise")
      ->type_name("NAME");
  app.add_option("--pod-name", flags.pod_name,
                 "This replica's name in the Lease; the host's name unless told otherwise")
      ->envname("POD_NAME")
      ->type_name("NAME");
  app.add_option("--pod-address", flags.pod_address, "Where other replicas send sidecars while this one leads")
      ->envname("POD_IP")
      ->type_name("ADDRESS");
  app.add_option("--listen", flags.listen, "Where sidecars connect")->type_name("ADDR:PORT")->capture_default_str();
  app.add_option("--webhook", flags.webhook, "Where the API server asks about pods as they are made; without: nowhere")
      ->type_name("ADDR:PORT");
  app.add_option("--sidecar-image", flags.sidecar.image, "Of the sidecars that pods get")
      ->type_name("IMAGE")
      ->capture_default_str();
  app.add_option("--sidecar-pull-policy", flags.sidecar.image_pull_policy, "Likewise; Kubernetes' default if not given")
      ->check(CLI::IsMember({"Always", "IfNotPresent", "Never"}))
      ->type_name("POLICY");
  app.add_flag("--sidecar-ordinary", flags.ordinary_sidecar,
               "Sidecars are ordinary containers, for clusters without native ones");
  app.add_option("--http", flags.http, "Where /metrics, /healthz, /readyz and dbproxyctl are answered")
      ->type_name("ADDR:PORT")
      ->capture_default_str();
  app.add_flag("--live-page", flags.live_page,
               "On Kubernetes: a page for people there, which asks for a token; with --manifests it is there anyway");
  app.add_option("--secret-poll-seconds", flags.secret_poll_seconds,
                 "How often a secret of AWS Secrets Manager is read again")
      ->type_name("N")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--debug-logging-seconds", flags.debug_logging_seconds,
                 "On Kubernetes: how long debugLogging lasts before it turns itself off")
      ->type_name("N")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--unused-after-seconds", flags.unused_after_seconds,
                 "On Kubernetes: a sidecar without a client for that long makes an Event of its pod; 0: none does")
      ->type_name("N")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  app.add_option("--ca-seconds", flags.ca_seconds,
                 "On Kubernetes: the life of the CAs that the operator makes; another one is made in its last third")
      ->type_name("N")
      ->check(CLI::Range(30, 2'000'000'000))
      ->capture_default_str();
  app.add_option("--ca-overlap-seconds", flags.ca_overlap_seconds,
                 "On Kubernetes: how long another CA is trusted before it signs, and the one before after that")
      ->type_name("N")
      ->check(CLI::Range(1, 31'536'000))
      ->capture_default_str();
  app.add_option("--certificate-seconds", flags.certificate_seconds,
                 "The life of certificates that it issues; they are renewed in their last third, while it runs")
      ->type_name("N")
      ->check(CLI::Range(10, 31'536'000))
      ->capture_default_str();
  app.add_option("--aws-grant", flags.aws_grants, "Secrets and roles that DBProxies of a namespace may use; repeatable")
      ->type_name("NAMESPACE=ARN");
  app.add_option("--rds-ca", flags.rds_ca,
                 "On Kubernetes: CAs of databases, in a file or in the *.pem files of a directory: for DBProxies that "
                 "name none, and wherever tokens of IAM are sent")
      ->type_name("PATH");
  app.add_option("--state-dir", flags.state_dir,
                 "For the CA that sidecars trust (ca.pem), certificates, and tokens/<identity>; made with mode 0700")
      ->type_name("DIR")
      ->capture_default_str();
  app.add_option("--sidecar", flags.sidecars,
                 "Identity of a sidecar (NAME or NAMESPACE/NAME): its token is made unless it exists; repeatable")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_option("--server-name", flags.server_names,
                 "Further name or address that sidecars reach this operator by, for its certificate; repeatable")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_option("--allowed-endpoint", flags.allowed_endpoints,
                 "On Kubernetes: DBProxies may point at this name and its subdomains, or at this range of addresses, "
                 "and at nothing that no such flag names; repeatable. A range opens what is refused otherwise")
      ->type_name("NAME|RANGE")
      ->allow_extra_args(false);
  app.add_option("--service-range", flags.service_ranges,
                 "On Kubernetes: the Services' range of addresses, at which no DBProxy may point; repeatable. Those "
                 "that the API server lists need not be named")
      ->type_name("RANGE")
      ->allow_extra_args(false);
  log::add_flags(app, flags.log);
  CLI::App* token = app.add_subcommand("token", "Make a sidecar's token and print its file; needs no running operator");
  token->fallthrough();
  token->add_option("--identity", flags.identity, "Whom it is for")->type_name("NAME")->required();
  token
      ->add_option("--proxy", flags.proxies, "A DBProxy that it is good for (NAMESPACE/NAME), repeatable; without: all")
      ->type_name("NAMESPACE/NAME")
      ->allow_extra_args(false);
  app.footer(
      "A sidecar connects with\n"
      "  dbproxy --operator HOST:PORT --operator-ca STATE-DIR/ca.pem --token-file STATE-DIR/tokens/NAME --identity "
      "NAME\n"
      "Exit codes: 0 stopped by a signal, 1 could not run, 2 flags or manifests with errors (all of them are "
      "printed).");
}

int fail(const std::string& message, int code) {
  std::fprintf(stderr, "dbproxy-operator: %s\n", message.c_str());
  return code;
}

int make_token(const Flags& flags) {
  if (const std::string error = manifest_mode::prepare_state_dir(flags.state_dir); !error.empty()) {
    return fail(error, kFailed);
  }
  if (!operator_control::valid_identity(flags.identity)) {
    return fail("--identity: \"" + flags.identity + "\" is not NAME or NAMESPACE/NAME", kBadInput);
  }
  const auto path = operator_control::FileTokenStore(flags.state_dir).ensure(flags.identity, flags.proxies);
  if (path.has_error()) return fail("cannot make the token: " + path.error().message(), kFailed);
  std::printf("%s\n", path.value().c_str());
  return 0;
}

// Waits for a signal, then stops what runs.
template <class Operator>
int run_until_signal(Operator& op, const sigset_t& signals) {
  if (const std::string error = op.start(); !error.empty()) return fail(error, kFailed);
  int signal = 0;
  sigwait(&signals, &signal);
  log::info("operator", "stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  // A probe in a black hole must not hold the end up; there is nothing that a late end would lose.
  std::signal(SIGALRM, [](int) { ::_exit(0); });
  ::alarm(kStopSeconds);
  op.stop();
  log::info("operator", "stopped");
  return 0;
}

int run_manifests(const Flags& flags, const http::Address& http, const sigset_t& signals) {
  manifest_mode::Options options;
  options.source.directory = flags.manifests;
  options.source.secrets.store.poll = std::chrono::seconds(flags.secret_poll_seconds);
  options.state_dir = flags.state_dir;
  options.listen = flags.listen;
  options.http = http;
  options.sidecars = flags.sidecars;
  options.server_names = flags.server_names;
  options.software_version = metrics::build_version();
  options.leaf_life = std::chrono::seconds(flags.certificate_seconds);
  const SystemClock clock;
  manifest_mode::Operator op(std::move(options), source::database_prober(clock), clock);
  const std::vector<manifest::Diagnostic> diagnostics = op.load();
  for (const manifest::Diagnostic& each : diagnostics) std::fprintf(stderr, "%s\n", manifest::to_text(each).c_str());
  if (manifest::has_errors(diagnostics)) return kBadInput;
  return run_until_signal(op, signals);
}

int run_kubernetes(const Flags& flags, const http::Address& http, const sigset_t& signals) {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  kubernetes::ConfigOrError config = flags.kubeconfig.empty()
                                         ? kubernetes::in_cluster(environment)
                                         : kubernetes::load_kubeconfig(flags.kubeconfig, flags.context);
  if (!config.error.empty()) return fail(config.error, kBadInput);
  kubernetes_mode::Options options;
  options.name_space = flags.name_space.empty() ? config.config.name_space : flags.name_space;
  options.config = std::move(config.config);
  if (options.name_space.empty()) return fail("--namespace is needed: the kubeconfig's context names none", kBadInput);
  options.identity = flags.pod_name;
  if (options.identity.empty()) {
    char name[256] = {};
    ::gethostname(name, sizeof name - 1);
    options.identity = name;
  }
  options.address = flags.pod_address;
  if (options.address.empty()) options.address = http::parse_address(flags.listen)->host;
  if (options.address.empty() || options.address == "0.0.0.0" || options.address == "::") {
    return fail("--pod-address (or POD_IP) is needed where --listen names no address of this machine", kBadInput);
  }
  options.secrets.store.poll = std::chrono::seconds(flags.secret_poll_seconds);
  options.debug_for = std::chrono::seconds(flags.debug_logging_seconds);
  options.unused_after = std::chrono::seconds(flags.unused_after_seconds);
  options.authorities = {std::chrono::seconds(flags.ca_seconds), std::chrono::seconds(flags.ca_overlap_seconds)};
  options.leaf_life = std::chrono::seconds(flags.certificate_seconds);
  std::vector<aws::Grant> grants;
  for (const std::string& text : flags.aws_grants) {
    grants.push_back(aws::parse_grant(text));
    if (grants.back().pattern.empty())
      return fail("--aws-grant: \"" + text + "\" is not NAMESPACE=ARN, with * in the ARN where any text may stand",
                  kBadInput);
  }
  options.secrets.grants = aws::Grants(std::move(grants));
  options.rds_ca = flags.rds_ca;
  if (!flags.rds_ca.empty()) {
    const kubernetes_mode::RdsCa ca = kubernetes_mode::load_rds_ca(flags.rds_ca, SystemClock().wall());
    if (!ca.error.empty()) return fail("--rds-ca: " + ca.error, kBadInput);
  }
  options.listen = flags.listen;
  options.http = http;
  options.live_page = flags.live_page;
  options.server_names = flags.server_names;
  options.software_version = metrics::build_version();
  options.endpoint_policy.allowed = flags.allowed_endpoints;
  options.endpoint_policy.refused_ranges = flags.service_ranges;
  // Of a cluster whose API server does not list its ranges, at least this one is known.
  if (const std::string own = environment("KUBERNETES_SERVICE_HOST"); net::AddressRange::parse(own)) {
    options.endpoint_policy.refused_ranges.push_back(own);
  }
  if (!flags.webhook.empty()) {
    const auto webhook = http::parse_address(flags.webhook);
    const auto control = http::parse_address(flags.listen);
    if (!webhook) return fail("--webhook: \"" + flags.webhook + "\" is not ADDR:PORT", kBadInput);
    webhook::ServiceOptions service;
    service.https.listen = *webhook;
    service.name_space = options.name_space;
    service.settings = flags.sidecar;
    service.settings.native = !flags.ordinary_sidecar;
    service.leaf_life = std::min(service.leaf_life, options.leaf_life);
    if (options.leaf_life < std::chrono::minutes(10)) service.check = std::chrono::seconds(1);
    service.settings.operator_address =
        service.service + "." + options.name_space + ".svc:" + std::to_string(control->port);
    options.webhook = std::move(service);
  }
  const SystemClock clock;
  const auto accounts = std::make_shared<aws::ServiceAccounts>();
  options.secrets.store.accounts = accounts;
  kubernetes_mode::Operator op(std::move(options), source::database_prober(clock, accounts), clock);
  return run_until_signal(op, signals);
}

int run(const Flags& flags) {
  const auto http = http::parse_address(flags.http);
  if (!http) return fail("--http: \"" + flags.http + "\" is not ADDR:PORT", kBadInput);
  if (!http::parse_address(flags.listen)) return fail("--listen: \"" + flags.listen + "\" is not ADDR:PORT", kBadInput);
  for (const std::string& identity : flags.sidecars) {
    if (operator_control::valid_identity(identity)) continue;
    return fail("--sidecar: \"" + identity + "\" is not NAME or NAMESPACE/NAME", kBadInput);
  }
  for (const std::string& each : flags.allowed_endpoints) {
    if (net::is_policy_entry(each)) continue;
    return fail("--allowed-endpoint: \"" + each + "\" is neither a name nor a range of addresses", kBadInput);
  }
  for (const std::string& each : flags.service_ranges) {
    if (net::AddressRange::parse(each)) continue;
    return fail("--service-range: \"" + each + "\" is not a range of addresses; write it as in 10.96.0.0/16",
                kBadInput);
  }
  if (!flags.manifests.empty() && !flags.kubeconfig.empty()) {
    return fail("--manifests and --kubeconfig exclude each other", kBadInput);
  }
  log::configure(flags.log.format, flags.log.levels);
  process::protect_memory();
  process::raise_file_limit();  // one for each sidecar, and runtimes give a soft limit of 1024
  ::mallopt(M_MMAP_THRESHOLD, kOwnMapping);
  ::mallopt(M_MMAP_MAX, kMostMappings);
  const sigset_t signals = process::block_signals();
  return flags.manifests.empty() ? run_kubernetes(flags, *http, signals) : run_manifests(flags, *http, signals);
}

}  // namespace

int main(int argc, char** argv) {
  // Threads of gRPC may outlive main: what OpenSSL holds for them is not to be taken away under them.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
  Flags flags;
  CLI::App app{
      "The control plane of dbproxy: turns manifests, or resources of Kubernetes, into configuration and pushes it to "
      "every "
      "sidecar."};
  describe(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadInput;
  }
  if (app.got_subcommand("token")) return make_token(flags);
  return run(flags);
}
