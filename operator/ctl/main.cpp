// dbproxyctl: flags → one command → exit code.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>

#include "operator/ctl/check.hpp"
#include "operator/ctl/commands.hpp"
#include "operator/ctl/document.hpp"
#include "operator/ctl/export.hpp"
#include "operator/ctl/iam_policy.hpp"
#include "operator/ctl/import.hpp"
#include "operator/ctl/inject.hpp"
#include "operator/ctl/outdated.hpp"
#include "operator/ctl/plan_connections.hpp"
#include "operator/ctl/plan_ips.hpp"
#include "operator/ctl/preflight.hpp"
#include "operator/ctl/top.hpp"
#include "proxy/aws/client_tokens.hpp"
#include "proxy/aws/credential_chain.hpp"
#include "proxy/aws/database_token.hpp"
#include "proxy/metrics/build_info.hpp"

namespace {

using namespace dbproxy;

constexpr const char* kFooter =
    "\nExamples:\n"
    "  dbproxyctl get                          every DBProxy, and what is wrong with its manifests\n"
    "  dbproxyctl describe orders              all about one\n"
    "  dbproxyctl top                          the same, live\n"
    "  dbproxyctl pools --sidecar :9930        inside of one sidecar\n"
    "  dbproxyctl targets -o json | jq .items  for scripts\n"
    "\nWithout --operator, --sidecar or --socket: DBPROXYCTL_SERVER, else the operator at 127.0.0.1:9932,\n"
    "else a sidecar at 127.0.0.1:9930.\n"
    "\nExit codes: 0 done, 1 not found or refused, 2 wrong usage, 3 server not reachable.\n";

struct Flags {
  ctl::Options options;
  ctl::Where where;
  std::string token_file;
  ctl::InjectOptions inject;
  bool ordinary = false;
  ctl::PreflightOptions preflight;
  int preflight_seconds = 5;
  ctl::AddressPlan addresses;
  ctl::Load load;
  std::string kubeconfig;
  ctl::IamPolicyOptions policy;
  ctl::ImportOptions import;
  ctl::TopOptions top;
  ctl::ExportOptions exported;
  std::string token_host, token_user, token_region, token_proxy;
  std::uint16_t token_port = 0;
};

void add_command(CLI::App& app, Flags& flags, const std::string& name, const std::string& help, bool name_required) {
  CLI::App* command = app.add_subcommand(name, help);
  command->footer("\nOptions for every command are in dbproxyctl --help.\n");
  command->fallthrough();  // --operator and the others are understood after the command, too
  CLI::Option* which =
      command->add_option("NAME", flags.options.name, "DBProxy: name or namespace/name")->type_name("");
  if (name_required) which->required();
  if (name == "top") {
    command->add_flag("--once", flags.top.once, "Print what there is now, and end");
    command->add_option("--interval", flags.top.interval_seconds, "Between two looks")
        ->type_name("SECONDS")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
  }
  if (name == "pause") {
    command->add_option("--seconds", flags.options.pause_seconds, "It ends by itself after that")
        ->type_name("N")
        ->check(CLI::Range(1, 3600))
        ->capture_default_str();
  }
  command->callback([&flags, name] { flags.options.command = name; });
}

// Commands that ask no operator and no sidecar.
struct Tools {
  CLI::App* inject;
  CLI::App* ips;
  CLI::App* connections;
  CLI::App* check;
  CLI::App* outdated;
  CLI::App* preflight;
  CLI::App* iam_policy;
  CLI::App* token;
  CLI::App* import;
  CLI::App* exporting;
};

Tools add_tools(CLI::App& app, Flags& flags) {
  Tools out{};
  const auto add = [](CLI::App& parent, const char* name, const char* help) {
    CLI::App* command = parent.add_subcommand(name, help);
    command->fallthrough();
    command->footer("");
    return command;
  };
  out.inject = add(app, "inject", "Print manifests of workloads with the sidecar in them");
  out.inject
      ->add_option("-f,--filename", flags.inject.files,
                   "Manifests of workloads, perhaps with their DBProxies; -: input")
      ->type_name("FILE")
      ->allow_extra_args(false)
      ->required();
  app.add_option("--manifests", flags.inject.manifests, "inject, preflight, export: directory with the DBProxies")
      ->type_name("DIR");
  out.inject->add_option("--image", flags.inject.settings.image, "The sidecar's image")->capture_default_str();
  out.inject
      ->add_option("--control", flags.inject.settings.operator_address,
                   "Where sidecars reach the operator's control stream")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  out.inject->add_flag("--ordinary-container", flags.ordinary, "For clusters without native sidecars");

  CLI::App* plan = add(app, "plan", "Reckon what a database or a VPC has to have");
  plan->require_subcommand(1);
  out.ips = add(*plan, "ips", "Addresses that RDS Proxy would take; a sidecar takes none");
  out.ips->add_option("--writer", flags.addresses.writer, "Class of the writer, as db.r5.8xlarge")
      ->type_name("CLASS")
      ->required();
  out.ips->add_option("--reader", flags.addresses.readers, "Class of a reader, repeatable")
      ->type_name("CLASS")
      ->allow_extra_args(false);
  out.ips->add_option("--endpoints", flags.addresses.endpoints, "Endpoints beside the default one")
      ->capture_default_str();
  out.connections = add(*plan, "connections", "What a number of pods and their load do with a limit");
  out.connections->add_option("--pods", flags.load.pods, "Pods")->required();
  out.connections->add_option("--max-connections", flags.load.max_connections, "Of the database")->required();
  out.connections->add_option("--percent", flags.load.percent, "maxConnectionsPercent")->capture_default_str();
  out.connections->add_option("--reserved", flags.load.reserved, "Connections that the database keeps for superusers")
      ->capture_default_str();
  out.connections->add_option("--clients", flags.load.clients_per_pod, "Client connections of each pod");
  out.connections->add_option("--tps", flags.load.transactions_per_second, "Transactions a second of each pod");
  out.connections->add_option("--transaction-ms", flags.load.transaction_milliseconds, "How long one takes")
      ->capture_default_str();
  out.connections->add_option("--pinned", flags.load.pinned_per_pod, "Pinned clients of each pod");

  out.import = add(app, "import", "Print the manifests for what another proxy was configured to do");
  out.import->require_subcommand(1);
  for (const auto& [name, help] : {std::pair{"rds-proxy",
                                             "JSON of aws rds describe-db-proxies, …-target-groups, "
                                             "…-targets, …-endpoints, or a list for --auth"},
                                   std::pair{"pgbouncer", "A pgbouncer.ini"}}) {
    CLI::App* from = add(*out.import, name, help);
    from->add_option("FILE", flags.import.files, "-: input")->type_name("")->required();
    from->callback([&flags, name = std::string(name)] { flags.import.from = name; });
  }

  out.exporting = add(app, "export", "Print DBProxies as another proxy's tools would");
  out.exporting->require_subcommand(1);
  CLI::App* to = add(*out.exporting, "rds-proxy", "JSON as aws rds describe-db-proxies and its like print it");
  to->add_option("NAME", flags.exported.name, "DBProxy: name or namespace/name; without: all")->type_name("");
  to->add_option("--shape", flags.exported.shape, "Of one of these commands alone, as describe-db-proxy-targets")
      ->type_name("COMMAND")
      ->check([](const std::string& text) {
        return ctl::is_shape(text) ? std::string()
                                   : "it is describe-db-proxies, describe-db-proxy-target-groups, "
                                     "describe-db-proxy-targets or describe-db-proxy-endpoints";
      });

  out.check = add(app, "check", "Ask whether an installation is well; with --operator only whether that one is");
  out.outdated = add(app, "outdated", "List pods whose sidecar is not the one that new pods get, and what to do");
  app.add_option("--kubeconfig", flags.kubeconfig, "check, outdated, preflight, export: how the API server is reached")
      ->type_name("FILE")
      ->envname("KUBECONFIG");
  out.iam_policy = add(app, "iam-policy", "Print the policy and the trust policy that a DBProxy needs in AWS, as JSON");
  out.iam_policy->add_option("NAME", flags.policy.name, "DBProxy: name or namespace/name")->type_name("")->required();
  out.iam_policy
      ->add_option("--oidc-provider", flags.policy.oidc_provider, "Trust by IRSA; without: by EKS Pod Identity")
      ->type_name("HOST/ID");
  out.iam_policy->add_option("--account", flags.policy.account, "Of the role; without: that of the secrets")
      ->type_name("ACCOUNT");
  out.iam_policy->add_option("--service-account", flags.policy.service_account, "Of the operator")
      ->type_name("NAMESPACE/NAME")
      ->capture_default_str();
  out.token = add(app, "token", "Print a token for a database user, as aws rds generate-db-auth-token does");
  out.token->add_option("--hostname", flags.token_host, "The database's endpoint, or a proxy's iamHost")
      ->type_name("HOST");
  out.token->add_option("--proxy", flags.token_proxy, "For a DBProxy with iamPrincipals, in the place of --hostname")
      ->type_name("NAMESPACE/NAME");
  out.token->add_option("--port", flags.token_port, "Its port")->type_name("PORT")->required();
  out.token->add_option("--username", flags.token_user, "The database user")->type_name("USER")->required();
  out.token->add_option("--region", flags.token_region, "Without: of the host, or AWS_REGION")->type_name("REGION");
  out.preflight = add(app, "preflight", "From here, try each database of a DBProxy, or of all in --manifests");
  out.preflight->add_option("NAME", flags.preflight.name, "DBProxy: name or namespace/name")->type_name("");
  out.preflight->add_option("--timeout", flags.preflight_seconds, "For each step")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 300))
      ->capture_default_str();
  return out;
}

int usage(const std::string& sentence) {
  std::cerr << "error: " << sentence << "\n";
  return ctl::kUsage;
}

int print_plan(const std::string& text, const std::string& error) {
  if (error.empty()) std::cout << text;
  if (!error.empty()) std::cerr << "error: " << error << "\n";
  return error.empty() ? ctl::kOk : ctl::kRefused;
}

// By --kubeconfig, in a pod by its account, else by ~/.kube/config; null after an error was printed.
std::unique_ptr<kubernetes::Client> api_server(const Flags& flags) {
  const auto environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  const bool inside = flags.kubeconfig.empty() && !environment("KUBERNETES_SERVICE_HOST").empty();
  const std::string file = flags.kubeconfig.empty() ? environment("HOME") + "/.kube/config" : flags.kubeconfig;
  const auto loaded = inside ? kubernetes::in_cluster(environment) : kubernetes::load_kubeconfig(file);
  if (loaded.error.empty()) return std::make_unique<kubernetes::Client>(loaded.config);
  std::cerr << "error: " << loaded.error << "\n";
  return nullptr;
}

int check(const Flags& flags, const ctl::Transport& transport) {
  ctl::Findings findings(std::cout);
  if (!flags.where.operator_address.empty()) {
    const auto address = http::parse_address(flags.where.operator_address);
    if (!address) return usage("--operator: it is not HOST:PORT");
    ctl::check_operator({"the operator", *address, {}}, transport, findings);
    return findings.good() ? ctl::kOk : ctl::kRefused;
  }
  const auto client = api_server(flags);
  if (!client) return ctl::kUsage;
  const SystemClock clock;
  ctl::CheckOptions options;
  options.version = metrics::build_version();
  if (!flags.options.name_space.empty()) options.name_space = flags.options.name_space;
  ctl::check_cluster(options, *client, clock, findings);
  return findings.good() ? ctl::kOk : ctl::kRefused;
}

int preflight(Flags& flags) {
  flags.preflight.manifests = flags.inject.manifests;
  flags.preflight.name_space = flags.options.name_space;
  flags.preflight.timeout = std::chrono::seconds(flags.preflight_seconds);
  std::unique_ptr<kubernetes::Client> client;
  if (flags.preflight.manifests.empty()) {
    if (flags.preflight.name.empty()) return usage("preflight needs the NAME of a DBProxy, or --manifests DIR");
    client = api_server(flags);
    if (!client) return ctl::kUsage;
  }
  return ctl::preflight(flags.preflight, client.get(), std::cout, std::cerr);
}

int iam_policy(const Flags& flags) {
  manifest::Manifests manifests;
  const std::string& name = flags.policy.name;
  const std::size_t slash = name.find('/');
  const std::string short_name = name.substr(slash == std::string::npos ? 0 : slash + 1);
  std::string name_space = slash == std::string::npos ? flags.options.name_space : name.substr(0, slash);
  std::string error;
  if (flags.inject.manifests.empty()) {
    const auto client = api_server(flags);
    if (!client) return ctl::kUsage;
    if (name_space.empty()) name_space = "default";
    manifests = manifest::load_sources({{name, ctl::fetch(*client, name_space, short_name, error)}});
  } else {
    manifests = manifest::load_directory(flags.inject.manifests);
  }
  const auto found = std::find_if(manifests.proxies.begin(), manifests.proxies.end(), [&](const auto& each) {
    return each.metadata.name == short_name && (name_space.empty() || each.metadata.name_space == name_space);
  });
  if (found == manifests.proxies.end()) {
    if (error.empty()) error = "there is no DBProxy " + name + " there";
    for (const auto& each : manifests.diagnostics) std::cerr << manifest::to_text(each) << "\n";
  } else {
    error.clear();  // a Secret that cannot be had is of no concern here
    const auto policy = ctl::iam_policy(*found, flags.policy, error);
    if (error.empty()) std::cout << ctl::to_json(policy);
  }
  if (!error.empty()) std::cerr << "error: " << error << "\n";
  return error.empty() ? ctl::kOk : ctl::kRefused;
}

int export_rds_proxy(Flags& flags) {
  flags.exported.manifests = flags.inject.manifests;
  flags.exported.name_space = flags.options.name_space;
  std::unique_ptr<kubernetes::Client> client;
  if (flags.exported.manifests.empty()) {
    client = api_server(flags);
    if (!client) return ctl::kUsage;
  }
  return ctl::export_rds_proxy(flags.exported, client.get(), std::cout, std::cerr);
}

int token(const Flags& flags) {
  if (flags.token_host.empty() == flags.token_proxy.empty())
    return usage("token: one of --hostname and --proxy is needed");
  if (!flags.token_proxy.empty() && flags.token_proxy.find('/') == std::string::npos)
    return usage("--proxy: it is not NAMESPACE/NAME");
  const aws::Environment environment = aws::system_environment();
  std::string region = flags.token_region;
  if (region.empty()) region = aws::region_of_host(flags.token_host);
  if (region.empty()) region = aws::region_of(environment);
  if (region.empty()) return usage("--region is needed: neither the host nor AWS_REGION tells it");
  const auto credentials = aws::find_credentials(environment);
  if (!credentials.ok()) {
    std::cerr << "error: " << aws::to_text(credentials.failure) << "\n";
    return ctl::kRefused;
  }
  if (!flags.token_proxy.empty()) {
    const std::size_t slash = flags.token_proxy.find('/');
    const std::string host = aws::iam_host(flags.token_proxy.substr(0, slash), flags.token_proxy.substr(slash + 1));
    const auto made = aws::make_client_token(environment, {host, flags.token_port, flags.token_user, region, {}, {}},
                                             credentials.value, SystemClock().wall());
    if (made.ok()) std::cout << made.value.reveal() << "\n";
    if (!made.ok()) std::cerr << "error: " << aws::to_text(made.failure) << "\n";
    return made.ok() ? ctl::kOk : ctl::kRefused;
  }
  std::cout << aws::make_database_token(flags.token_host, flags.token_port, flags.token_user, region, credentials.value,
                                        SystemClock().wall())
                   .reveal()
            << "\n";
  return ctl::kOk;
}

int run_tool(const Tools& tools, Flags& flags, const ctl::Transport& transport) {
  std::string error;
  if (tools.ips->parsed()) {
    const std::string text = ctl::plan_ips(flags.addresses, error);
    return print_plan(text, error);
  }
  if (tools.connections->parsed()) {
    const std::string text = ctl::plan_connections(flags.load, error);
    return print_plan(text, error);
  }
  if (tools.inject->parsed()) {
    flags.inject.settings.native = !flags.ordinary;
    if (!flags.options.name_space.empty()) flags.inject.name_space = flags.options.name_space;
    return ctl::inject(flags.inject, std::cin, std::cout, std::cerr);
  }
  if (tools.check->parsed()) return check(flags, transport);
  if (tools.outdated->parsed()) {
    const auto client = api_server(flags);
    return client ? ctl::outdated(*client, flags.options.name_space, std::cout, std::cerr) : ctl::kUsage;
  }
  if (tools.iam_policy->parsed()) return iam_policy(flags);
  if (tools.token->parsed()) return token(flags);
  if (tools.exporting->parsed()) return export_rds_proxy(flags);
  if (tools.import->parsed()) {
    if (!flags.options.name_space.empty()) flags.import.name_space = flags.options.name_space;
    return ctl::import(flags.import, std::cin, std::cout, std::cerr);
  }
  return preflight(flags);
}

bool read_token(const std::string& file, std::string& token) {
  std::ifstream in(file);
  return static_cast<bool>(std::getline(in, token)) && !token.empty();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"dbproxyctl shows what DBProxies do: asks an operator or a sidecar.", "dbproxyctl"};
  Flags flags;
  const std::map<std::string, ctl::Output> outputs{{"table", ctl::Output::kTable},
                                                   {"wide", ctl::Output::kWide},
                                                   {"json", ctl::Output::kJson},
                                                   {"yaml", ctl::Output::kYaml}};
  std::string output = "table";
  bool no_headers = false;
  app.require_subcommand(1);
  app.add_option("--operator", flags.where.operator_address, "Ask the operator there")->type_name("HOST:PORT");
  app.add_option("--sidecar", flags.where.sidecar_address, "Ask the sidecar there")->type_name("HOST:PORT");
  app.add_option("--socket", flags.where.socket, "Ask the sidecar on its Unix socket")->type_name("PATH");
  app.add_option("-n,--namespace", flags.options.name_space, "Only DBProxies of this namespace")
      ->type_name("NAMESPACE");
  app.add_option("-o,--output", output, "How to print it")
      ->check(CLI::IsMember({"table", "wide", "json", "yaml"}))
      ->type_name("FORMAT");
  app.add_flag("--no-headers", no_headers, "Leave out the line with the names of the columns");
  app.add_option("--token-file", flags.token_file, "File with a bearer token, where the server wants one")
      ->type_name("FILE")
      ->envname("DBPROXYCTL_TOKEN_FILE");
  add_command(app, flags, "get", "List DBProxies", false);
  add_command(app, flags, "describe", "Show all about one DBProxy", true);
  add_command(app, flags, "targets", "List databases: role, health, connections", false);
  add_command(app, flags, "sidecars", "List sidecars: version in force, clients, rejections", false);
  add_command(app, flags, "pools", "List the pools of a sidecar", false);
  add_command(app, flags, "top", "Watch it live: health, connections, waiting, latency, pins, events", false);
  add_command(app, flags, "pause", "Let new transactions wait while running ones end", true);
  add_command(app, flags, "resume", "End a pause", true);
  add_command(app, flags, "reconnect", "Replace server connections between transactions", true);
  add_command(app, flags, "pins", "List the pinned sessions of a sidecar, and why they are", false);
  const Tools tools = add_tools(app, flags);
  CLI::App* version = app.add_subcommand("version", "Print the version of dbproxyctl");
  app.footer(kFooter);  // after the commands, which would inherit it

  std::signal(SIGPIPE, SIG_IGN);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    // CLI11 misses the command before it looks at what stands in its place.
    const std::vector<std::string> words = app.remaining();
    if (words.empty() || words.front().starts_with('-')) return app.exit(error), ctl::kUsage;
    return usage("there is no command '" + words.front() + "'; dbproxyctl --help lists them");
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? ctl::kOk : ctl::kUsage;
  }
  if (version->parsed()) {
    std::cout << "dbproxyctl " << metrics::build_version() << " (" << metrics::build_revision() << ", "
              << metrics::build_compiler() << ")\n";
    return ctl::kOk;
  }
  const auto transport = [](const ctl::Server& server, const http::ClientRequest& what) {
    return http::request(server.address, what, server.unix_path);
  };
  if (tools.inject->parsed() || tools.ips->parsed() || tools.connections->parsed() || tools.check->parsed() ||
      tools.outdated->parsed() || tools.preflight->parsed() || tools.iam_policy->parsed() || tools.token->parsed() ||
      tools.import->parsed() || tools.exporting->parsed()) {
    return run_tool(tools, flags, transport);
  }
  const auto& where = flags.where;
  if (!where.operator_address.empty() + !where.sidecar_address.empty() + !where.socket.empty() > 1) {
    return usage("give only one of --operator, --sidecar and --socket");
  }
  flags.options.headers = !no_headers;
  flags.options.output = outputs.at(output);
  if (const char* environment = std::getenv("DBPROXYCTL_SERVER")) flags.where.environment = environment;
  const std::string wrong = ctl::choose_servers(flags.where, flags.options.command, flags.options.servers);
  if (!wrong.empty()) return usage(wrong);
  if (!flags.token_file.empty() && !read_token(flags.token_file, flags.options.bearer_token)) {
    return usage("--token-file: there is no token in " + flags.token_file);
  }
  if (flags.options.command == "top") {
    return ctl::top(flags.options, flags.top, transport, std::cout, std::cerr);
  }
  return ctl::run(flags.options, transport, std::cout, std::cerr);
}
