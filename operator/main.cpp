// dbproxy-operator: flags → manifests → server → signal → stop.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <unistd.h>

#include "operator/manifest_mode/operator.hpp"
#include "proxy/base/log.hpp"
#include "proxy/base/log_flags.hpp"
#include "proxy/base/process.hpp"
#include "proxy/metrics/build_info.hpp"
#include "proxy/source/database_prober.hpp"

namespace {

using namespace dbproxy;

constexpr int kFailed = 1;       // could not run
constexpr int kBadInput = 2;     // flags or manifests
constexpr int kStopSeconds = 2;  // then it ends anyway

struct Flags {
  std::string manifests;
  std::string listen = "127.0.0.1:9931";
  std::string http = "127.0.0.1:9932";
  std::string state_dir = manifest_mode::default_state_dir();
  std::vector<std::string> sidecars, server_names;
  log::Flags log;
  std::string identity;              // of the token command
  std::vector<std::string> proxies;  // likewise
};

void describe(CLI::App& app, Flags& flags) {
  app.set_version_flag("--version", std::string(metrics::build_version()));
  app.add_option("--manifests", flags.manifests,
                 "Directory of DBProxy, DBProxyEndpoint, Secret and ConfigMap manifests (*.yaml); it is watched");
  app.add_option("--listen", flags.listen, "Where sidecars connect")->type_name("ADDR:PORT")->capture_default_str();
  app.add_option("--http", flags.http, "Where /metrics, /healthz, /readyz and dbproxyctl are answered")
      ->type_name("ADDR:PORT")
      ->capture_default_str();
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

int run(const Flags& flags) {
  const auto http = http::parse_address(flags.http);
  if (!http) return fail("--http: \"" + flags.http + "\" is not ADDR:PORT", kBadInput);
  if (!http::parse_address(flags.listen)) return fail("--listen: \"" + flags.listen + "\" is not ADDR:PORT", kBadInput);
  for (const std::string& identity : flags.sidecars) {
    if (operator_control::valid_identity(identity)) continue;
    return fail("--sidecar: \"" + identity + "\" is not NAME or NAMESPACE/NAME", kBadInput);
  }
  log::configure(flags.log.format, flags.log.level);
  process::protect_memory();
  const sigset_t signals = process::block_signals();

  manifest_mode::Options options;
  options.source.directory = flags.manifests;
  options.state_dir = flags.state_dir;
  options.listen = flags.listen;
  options.http = *http;
  options.sidecars = flags.sidecars;
  options.server_names = flags.server_names;
  options.software_version = metrics::build_version();
  const SystemClock clock;
  manifest_mode::Operator op(std::move(options), source::database_prober(), clock);

  const std::vector<manifest::Diagnostic> diagnostics = op.load();
  for (const manifest::Diagnostic& each : diagnostics) std::fprintf(stderr, "%s\n", manifest::to_text(each).c_str());
  if (manifest::has_errors(diagnostics)) return kBadInput;
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

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"The control plane of dbproxy: turns manifests into configuration and pushes it to every sidecar."};
  describe(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadInput;
  }
  if (app.got_subcommand("token")) return make_token(flags);
  if (flags.manifests.empty()) return fail("--manifests DIR is needed; see --help", kBadInput);
  return run(flags);
}
