// dbproxy, the sidecar: flags → configuration source → data plane → signal → drain.
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <openssl/crypto.h>
#include <optional>
#include <string>
#include <sys/random.h>
#include <thread>

#include "proxy/admin/admin.hpp"
#include "proxy/admin/credentials_endpoint.hpp"
#include "proxy/aws/own_keys.hpp"
#include "proxy/base/log.hpp"
#include "proxy/base/log_flags.hpp"
#include "proxy/base/process.hpp"
#include "proxy/control/activity.hpp"
#include "proxy/control/client.hpp"
#include "proxy/metrics/build_info.hpp"
#include "proxy/pki/pki.hpp"
#include "proxy/source/database_prober.hpp"
#include "proxy/source/manifest_source.hpp"
#include "proxy/source/stand_in.hpp"
#include "proxy/worker/mysql/engine.hpp"
#include "proxy/worker/postgres/engine.hpp"

namespace {

using namespace dbproxy;

constexpr int kFailed = 1;                               // could not run
constexpr int kBadInput = 2;                             // flags or manifests
constexpr std::chrono::milliseconds kPartingTime{1000};  // for databases to end what we have ended, and to tell it

struct Flags {
  std::string operator_address, operator_ca, token_file, identity, service_account, state_dir;
  std::vector<std::string> proxies;
  std::vector<std::uint16_t> ports;
  std::string manifests;
  std::string bind = "127.0.0.1";
  std::string admin = "127.0.0.1:9930";
  std::string admin_socket;
  std::string socket_dir;
  std::uint16_t aws_credentials_port = 0;
  std::string aws_credentials_token_file;
  int drain_timeout_seconds = 25;
  int secret_poll_seconds = 60;
  log::Flags log;
};

void describe(CLI::App& app, Flags& flags) {
  app.set_version_flag("--version", std::string(metrics::build_version()));
  auto from_operator = app.add_option("--operator", flags.operator_address, "Take the configuration from this operator")
                           ->type_name("HOST:PORT");
  app.add_option("--operator-ca", flags.operator_ca, "CA that the operator's certificate is verified against")
      ->type_name("FILE")
      ->needs(from_operator);
  app.add_option("--token-file", flags.token_file,
                 "Token that shows the operator who this is; read again on each connect")
      ->type_name("FILE")
      ->needs(from_operator);
  app.add_option("--identity", flags.identity, "Name that the token was made for")->type_name("NAME");
  app.add_option("--service-account", flags.service_account,
                 "The pod's service account: said of each log-in in the log")
      ->type_name("NAME")
      ->envname("DBPROXY_SERVICE_ACCOUNT");
  app.add_option("--proxy", flags.proxies, "DBProxy to serve, repeatable; without: all that the token is good for")
      ->type_name("NAMESPACE/NAME")
      ->allow_extra_args(false);
  app.add_option("--state-dir", flags.state_dir, "Keeps the last good configuration here, encrypted with the token")
      ->type_name("DIR")
      ->needs(from_operator);
  app.add_option("--manifests", flags.manifests,
                 "Take the configuration from the manifests in this directory; it is watched")
      ->type_name("DIR")
      ->excludes(from_operator);
  app.add_option("--secret-poll-seconds", flags.secret_poll_seconds,
                 "With --manifests: how often a secret of AWS Secrets Manager is read again")
      ->type_name("N")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  app.add_option("--bind", flags.bind, "Address on which applications connect")
      ->type_name("ADDRESS")
      ->capture_default_str();
  app.add_option("--admin", flags.admin, "Where /metrics, probes and dbproxyctl are answered")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  app.add_option("--admin-socket", flags.admin_socket, "Also answers there, drain and pages included; mode 0600")
      ->type_name("PATH");
  app.add_option("--port", flags.ports, "Listen here before there is a configuration, so that clients wait; repeatable")
      ->type_name("PORT")
      ->check(CLI::Range(1, 65535))
      ->allow_extra_args(false)
      ->needs(from_operator);
  app.add_option("--socket-dir", flags.socket_dir, "Also listen on Unix sockets in this directory (.s.PGSQL.PORT)")
      ->type_name("DIR");
  auto lends = app.add_option("--aws-credentials-port", flags.aws_credentials_port,
                              "Give temporary keys of AWS to applications, at http://127.0.0.1:PORT/credentials")
                   ->type_name("PORT")
                   ->check(CLI::Range(1, 65535));
  app.add_option("--aws-credentials-token-file", flags.aws_credentials_token_file,
                 "Where the token is written that they have to show")
      ->type_name("FILE")
      ->needs(lends);
  app.add_option("--drain-timeout", flags.drain_timeout_seconds, "After SIGTERM, how long clients are served on")
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  log::add_flags(app, flags.log);
  app.footer("Exit codes: 0 stopped by a signal, 1 could not run, 2 flags or manifests with errors (all are printed).");
}

int fail(const std::string& message, int code) {
  std::fprintf(stderr, "dbproxy: %s\n", message.c_str());
  return code;
}

// One of the two ways to get configuration, running.
struct Configuration {
  std::unique_ptr<control::Client> client;
  std::unique_ptr<source::StandIn> stand_in;  // beside the client
  std::unique_ptr<source::ManifestSource> manifests;
};

// Tells this process from those before it, to the operator.
std::uint64_t draw_incarnation() {
  std::uint64_t number = 0;
  while (number == 0) {
    if (::getrandom(&number, sizeof number, 0) != sizeof number) number = 0;
  }
  return number;
}

control::ClientOptions client_options(const Flags& flags, std::uint64_t incarnation) {
  control::ClientOptions options;
  options.operator_address = flags.operator_address;
  options.ca_file = flags.operator_ca;
  options.token_file = flags.token_file;
  options.identity = flags.identity;
  options.proxies = flags.proxies;
  options.state_dir = flags.state_dir;
  options.software_version = metrics::build_version();
  options.incarnation = incarnation;
  return options;
}

// Which of them have clients, so that the databases of the others need not be asked.
void tell_use(worker::Service& service, source::ManifestSource& manifests) {
  std::map<std::string, topology::Use> used;
  for (const worker::ProxyRow& row : service.proxies()) {
    used[row.proxy] = row.clients > 0 ? topology::Use::kClients : topology::Use::kSidecars;
  }
  manifests.use(used);
}

int wait_for_signal(const sigset_t& signals, worker::Service& service, source::ManifestSource* manifests) {
  constexpr timespec kSecond{1, 0};
  int signal = 0;
  if (manifests == nullptr) return sigwait(&signals, &signal), signal;
  while ((signal = sigtimedwait(&signals, nullptr, &kSecond)) <= 0) {
    if (manifests->wants_use()) tell_use(service, *manifests);
  }
  return signal;
}

int run(const Flags& flags) {
  const auto admin_address = http::parse_address(flags.admin);
  if (!admin_address) return fail("--admin: \"" + flags.admin + "\" is not ADDRESS:PORT", kBadInput);
  log::configure(flags.log.format, flags.log.levels);
  process::protect_memory();
  process::raise_file_limit();
  process::save_memory();
  const sigset_t signals = process::block_signals();

  const SystemClock clock;
  metrics::Registry registry;
  worker::ServiceOptions service_options;
  service_options.bind_address = flags.bind;
  service_options.socket_dir = flags.socket_dir;
  service_options.server_label = flags.identity;
  service_options.service_account = flags.service_account;
  service_options.own_user_only = flags.operator_address.empty();
  const std::uint64_t incarnation = draw_incarnation();
  if (!flags.operator_address.empty()) service_options.budget = {incarnation, flags.state_dir};
  if (!flags.identity.empty()) service_options.default_application_name = "dbproxy/" + flags.identity;
  // For tests only: how old what is known of a database's catalogue may be, which is a minute.
  if (const char* age = std::getenv("DBPROXY_TEST_CATALOG_AGE_MS"); age != nullptr && std::atoi(age) > 0) {
    service_options.catalog_age = std::chrono::milliseconds(std::atoi(age));
  }
  service_options.own_keys = std::make_shared<aws::OwnKeys>(aws::system_environment(), clock);
  worker::Engines engines;
  engines.push_back(worker::postgres::make_engine());
  engines.push_back(worker::mysql::make_engine());
  worker::Service service(std::move(engines), service_options, registry, clock);

  if (const std::string error = service.listen_early(flags.ports); !error.empty()) {
    return fail("--port: " + error, kFailed);
  }
  const auto own = pki::self_signed_listener_identity(clock);
  if (own.has_error()) return fail("cannot make a certificate: " + own.error().message(), kFailed);
  const worker::ListenerTls own_tls{own->certificate_pem, own->key_pem};

  if (!flags.state_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(flags.state_dir, error);
    if (error) return fail("--state-dir: cannot make " + flags.state_dir + ": " + error.message(), kFailed);
    std::filesystem::permissions(flags.state_dir, std::filesystem::perms::owner_all, error);
  }

  Configuration configuration;
  admin::AdminOptions admin_options;
  admin_options.http.listen = *admin_address;
  admin_options.http.unix_path = flags.admin_socket;
  admin_options.identity = flags.identity;
  admin_options.drain_timeout = std::chrono::seconds(flags.drain_timeout_seconds);
  auto pages = admin::source_of(service);
  if (!flags.operator_address.empty()) {
    pages.connected = [&] { return configuration.client && configuration.client->connected(); };
  }
  pages.maintenance.pause = [&](const std::string& proxy, std::chrono::seconds at_most, bool hand_over) {
    return configuration.manifests && configuration.manifests->pause(proxy, at_most, hand_over);
  };
  pages.maintenance.resume = [&](const std::string& proxy) {
    return configuration.manifests && configuration.manifests->resume(proxy);
  };
  pages.maintenance.reconnect = [&](const std::string& proxy) {
    return configuration.manifests && configuration.manifests->reconnect(proxy);
  };
  pages.maintenance.refusal = [&]() -> std::string {
    if (flags.operator_address.empty()) return {};
    return "this sidecar does what its operator says: ask that, with --operator HOST:PORT";
  };
  admin::Admin admin(admin_options, std::move(pages), registry);

  bool begun = false;  // apply is called by one thread at a time
  auto apply = [&](config::SnapshotPtr snapshot, worker::ListenerTls tls) {
    if (tls.certificate_pem.empty()) tls = own_tls;
    auto error = service.apply(snapshot, std::move(tls));
    if (error.empty()) admin.put(std::move(snapshot));
    if (!std::exchange(begun, true)) process::give_back_memory();
    return error;
  };
  auto remove = [&](const std::string& proxy) {
    service.remove(proxy);
    admin.remove(proxy);
  };

  if (!flags.manifests.empty()) {
    source::Options options;
    options.directory = flags.manifests;
    options.secrets.store.poll = std::chrono::seconds(flags.secret_poll_seconds);
    auto changed = [&](const source::Snapshots& snapshots) {
      for (const auto& [name, snapshot] : snapshots) {
        if (!snapshot) {
          remove(name);
        } else if (auto error = apply(snapshot, {}); !error.empty()) {
          log::error("config", "refused, what was in force stays", {{"proxy", name}, {"error", error}});
        }
      }
    };
    configuration.manifests =
        std::make_unique<source::ManifestSource>(options, source::database_prober(clock), changed, registry, clock);
    const auto diagnostics = configuration.manifests->load();
    for (const auto& each : diagnostics) std::fprintf(stderr, "%s\n", manifest::to_text(each).c_str());
    if (manifest::has_errors(diagnostics)) return kBadInput;
    service.on_observation([&](const worker::TargetObservation& seen) {
      configuration.manifests->poke(seen.proxy, seen.reason == config::HealthReason::kAuthFailure);
    });
  } else {
    configuration.stand_in = std::make_unique<source::StandIn>(source::database_prober(clock), registry, clock);
    auto& stand_in = *configuration.stand_in;
    control::ClientCallbacks callbacks;
    callbacks.apply = [&](config::SnapshotPtr snapshot, const worker::ListenerTls& tls) {
      return stand_in.put(std::move(snapshot),
                          [&, tls](config::SnapshotPtr each) { return apply(std::move(each), tls); });
    };
    callbacks.remove = [&](const std::string& proxy) {
      stand_in.remove(proxy);
      remove(proxy);
    };
    callbacks.connected = [&](bool there) {
      stand_in.operator_is(there);
      if (!there) service.operator_is_away();
    };
    callbacks.overridden = [&](const std::string& proxy) { return stand_in.overrides(proxy); };
    callbacks.status = [&] { return service.proxies(); };
    callbacks.activity = [&] { return control::activity_of(registry, service.pins(), clock.wall()); };
    callbacks.open = [&](const std::string& proxy, const budget::Open& open) { service.take(proxy, open); };
    callbacks.allow = [&](const std::string& proxy, const budget::Allowance& allowance) {
      service.take(proxy, allowance);
    };
    callbacks.count_alone = [&] { service.count_alone(); };
    configuration.client =
        std::make_unique<control::Client>(client_options(flags, incarnation), callbacks, registry, clock);
    service.on_observation([&](const worker::TargetObservation& seen) {
      configuration.client->observe(seen);
      if (seen.health != config::TargetHealth::kAvailable) stand_in.trouble(seen.proxy);
    });
    service.on_budget_report(
        [&](const std::string& proxy, const budget::Report& report) { configuration.client->report(proxy, report); });
  }
  std::optional<admin::CredentialsEndpoint> credentials;
  if (flags.aws_credentials_port != 0) {
    credentials.emplace(admin::CredentialsOptions{flags.aws_credentials_port, flags.aws_credentials_token_file},
                        service_options.own_keys, registry);
    if (const std::string error = credentials->start(); !error.empty())
      return fail("--aws-credentials-port: " + error, kFailed);
  }
  if (const std::string error = admin.start(); !error.empty()) return fail(error, kFailed);
  if (configuration.manifests) configuration.manifests->start();
  if (configuration.client) configuration.client->start();

  const int signal = wait_for_signal(signals, service, configuration.manifests.get());
  log::info("dbproxy", "stopping", {{"signal", signal == SIGTERM ? "SIGTERM" : "SIGINT"}});
  // Serving goes on until the last client has left; a second signal, or the time-out, ends it.
  service.drain(std::chrono::seconds(flags.drain_timeout_seconds));
  const auto deadline = clock.now() + std::chrono::seconds(flags.drain_timeout_seconds + 2);
  while (!service.drained() && clock.now() < deadline) {
    const timespec pause{0, 20'000'000};
    if (sigtimedwait(&signals, nullptr, &pause) > 0) break;
  }
  service.on_observation({});
  if (configuration.client) {
    service.leave_budget(kPartingTime);
    configuration.client->part(kPartingTime);
    service.on_budget_report({});
  }
  if (configuration.client) configuration.client->stop();
  if (configuration.stand_in) configuration.stand_in->stop();
  if (configuration.manifests) configuration.manifests->stop();
  admin.stop();
  log::info("dbproxy", "stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  // Threads of gRPC may outlive main: what OpenSSL holds for them is not to be taken away under them.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
  Flags flags;
  CLI::App app{"The sidecar of dbproxy: pools and multiplexes an application's database connections."};
  describe(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadInput;
  }
  if (flags.manifests.empty() == flags.operator_address.empty()) {
    return fail("either --operator HOST:PORT or --manifests DIR is needed; see --help", kBadInput);
  }
  if ((flags.aws_credentials_port == 0) != flags.aws_credentials_token_file.empty()) {
    return fail("--aws-credentials-port needs --aws-credentials-token-file; see --help", kBadInput);
  }
  if (!flags.operator_address.empty() &&
      (flags.operator_ca.empty() || flags.token_file.empty() || flags.identity.empty())) {
    return fail("--operator needs --operator-ca, --token-file and --identity; see --help", kBadInput);
  }
  return run(flags);
}
