// dbproxyctl: flags → one command → exit code.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>

#include "operator/ctl/commands.hpp"
#include "operator/ctl/export.hpp"
#include "operator/ctl/flags.hpp"
#include "operator/ctl/tools.hpp"
#include "operator/ctl/top.hpp"
#include "proxy/base/log.hpp"
#include "proxy/metrics/build_info.hpp"

namespace {

using namespace dbproxy;
using ctl::Flags;

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
    command->add_flag("--hand-over", flags.options.hand_over,
                      "It ends as soon as another writer is there, or this one again after it was away");
  }
  command->callback([&flags, name] { flags.options.command = name; });
}

void add_log_level(CLI::App& app, Flags& flags) {
  CLI::App* command = app.add_subcommand("log-level", "Tell what an operator or a sidecar logs, or change it");
  command->fallthrough();
  command->add_option("LEVEL", flags.options.log_level, "As pool=debug, info or warn,control=info: until it restarts")
      ->type_name("")
      ->check([](const std::string& text) {
        log::Levels levels;
        return log::parse_levels(text, levels);
      });
  command->callback([&flags] { flags.options.command = "log-level"; });
}

// Commands that ask no operator and no sidecar.
void add_tools(CLI::App& app, Flags& flags) {
  const auto add = [&flags](CLI::App& parent, const char* name, const char* help) {
    CLI::App* command = parent.add_subcommand(name, help);
    command->fallthrough();
    command->footer("");
    // The command of a command is called first.
    command->callback([&flags, tool = (parent.get_name() == "plan" ? "plan " : "") + std::string(name)] {
      if (flags.tool.empty()) flags.tool = tool;
    });
    return command;
  };
  CLI::App* const inject = add(app, "inject", "Print manifests of workloads with the sidecar in them");
  inject
      ->add_option("-f,--filename", flags.inject.files,
                   "Manifests of workloads, perhaps with their DBProxies; -: input")
      ->type_name("FILE")
      ->allow_extra_args(false)
      ->required();
  app.add_option("--manifests", flags.inject.manifests,
                 "inject, preflight, export: directory with the DBProxies; preflight takes - for the input")
      ->type_name("DIR");
  inject->add_option("--image", flags.inject.settings.image, "The sidecar's image")->capture_default_str();
  inject
      ->add_option("--control", flags.inject.settings.operator_address,
                   "Where sidecars reach the operator's control stream")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  inject->add_flag("--ordinary-container", flags.ordinary, "For clusters without native sidecars");

  CLI::App* plan = add(app, "plan", "Reckon what a database or a VPC has to have");
  plan->require_subcommand(1);
  CLI::App* const ips = add(*plan, "ips", "Addresses that RDS Proxy would take; a sidecar takes none");
  ips->add_option("--writer", flags.addresses.writer, "Class of the writer, as db.r5.8xlarge")
      ->type_name("CLASS")
      ->required();
  ips->add_option("--reader", flags.addresses.readers, "Class of a reader, repeatable")
      ->type_name("CLASS")
      ->allow_extra_args(false);
  ips->add_option("--endpoints", flags.addresses.endpoints, "Endpoints beside the default one")->capture_default_str();
  CLI::App* const connections = add(*plan, "connections", "What a number of pods and their load do with a limit");
  connections->add_option("--pods", flags.load.pods, "Pods")->required();
  connections->add_option("--max-connections", flags.load.max_connections, "Of the database")->required();
  connections->add_option("--percent", flags.load.percent, "maxConnectionsPercent")->capture_default_str();
  connections->add_option("--reserved", flags.load.reserved, "Connections that the database keeps for superusers")
      ->capture_default_str();
  connections->add_option("--clients", flags.load.clients_per_pod, "Client connections of each pod");
  connections->add_option("--tps", flags.load.transactions_per_second, "Transactions a second of each pod");
  connections->add_option("--transaction-ms", flags.load.transaction_milliseconds, "How long one takes")
      ->capture_default_str();
  connections->add_option("--pinned", flags.load.pinned_per_pod, "Pinned clients of each pod");

  CLI::App* const import = add(app, "import", "Print the manifests for what another proxy was configured to do");
  import->require_subcommand(1);
  for (const auto& [name, help] : {std::pair{"rds-proxy",
                                             "JSON of aws rds describe-db-proxies, …-target-groups, "
                                             "…-targets, …-endpoints, or a list for --auth"},
                                   std::pair{"pgbouncer", "A pgbouncer.ini"}}) {
    CLI::App* from = add(*import, name, help);
    from->add_option("FILE", flags.import.files, "-: input")->type_name("")->required();
    from->callback([&flags, name = std::string(name)] {
      flags.tool = "import";
      flags.import.from = name;
    });
  }

  CLI::App* const exporting = add(app, "export", "Print DBProxies as another proxy's tools would");
  exporting->require_subcommand(1);
  CLI::App* to = add(*exporting, "rds-proxy", "JSON as aws rds describe-db-proxies and its like print it");
  to->add_option("NAME", flags.exported.name, "DBProxy: name or namespace/name; without: all")->type_name("");
  to->add_option("--shape", flags.exported.shape, "Of one of these commands alone, as describe-db-proxy-targets")
      ->type_name("COMMAND")
      ->check([](const std::string& text) {
        return ctl::is_shape(text) ? std::string()
                                   : "it is describe-db-proxies, describe-db-proxy-target-groups, "
                                     "describe-db-proxy-targets or describe-db-proxy-endpoints";
      });
  to->callback([&flags] { flags.tool = "export"; });

  CLI::App* const check =
      add(app, "check", "Ask whether an installation is well; with --operator only whether that one is");
  check->add_option("--aws", flags.check_aws, "Instead: try what this DBProxy needs of AWS, with the keys found here")
      ->type_name("NAMESPACE/NAME");
  add(app, "outdated", "List pods whose sidecar is not the one that new pods get, and what to do");
  app.add_option("--kubeconfig", flags.kubeconfig, "check, outdated, preflight, export: how the API server is reached")
      ->type_name("FILE")
      ->envname("KUBECONFIG");
  CLI::App* const iam_policy =
      add(app, "iam-policy", "Print the policy and the trust policy that a DBProxy needs in AWS, as JSON");
  iam_policy->add_option("NAME", flags.policy.name, "DBProxy: name or namespace/name")->type_name("")->required();
  iam_policy->add_option("--oidc-provider", flags.policy.oidc_provider, "Trust by IRSA; without: by EKS Pod Identity")
      ->type_name("HOST/ID");
  iam_policy->add_option("--account", flags.policy.account, "Of the role; without: that of the secrets")
      ->type_name("ACCOUNT");
  iam_policy->add_option("--service-account", flags.policy.service_account, "Of the operator")
      ->type_name("NAMESPACE/NAME")
      ->capture_default_str();
  CLI::App* const token =
      add(app, "token", "Print a token for a database user, as aws rds generate-db-auth-token does");
  token->add_option("--hostname", flags.token_host, "The database's endpoint, or a proxy's iamHost")->type_name("HOST");
  token->add_option("--proxy", flags.token_proxy, "For a DBProxy with iamPrincipals, in the place of --hostname")
      ->type_name("NAMESPACE/NAME");
  token->add_option("--port", flags.token_port, "Its port")->type_name("PORT")->required();
  token->add_option("--username", flags.token_user, "The database user")->type_name("USER")->required();
  token->add_option("--region", flags.token_region, "Without: of the host, or AWS_REGION")->type_name("REGION");
  CLI::App* const preflight =
      add(app, "preflight", "From here, try each database of a DBProxy, or of all in --manifests");
  preflight->add_option("NAME", flags.preflight.name, "DBProxy: name or namespace/name")->type_name("");
  preflight
      ->add_option("--rds-ca", flags.preflight.rds_ca,
                   "CAs of the installation, for a DBProxy in the cluster without caRef")
      ->type_name("FILE");
  preflight->add_flag("--print", flags.preflight.print,
                      "Print the DBProxy and what it refers to, passwords too, for --manifests - elsewhere");
  preflight->add_option("--timeout", flags.preflight_seconds, "For each step")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 300))
      ->capture_default_str();
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
  add_command(app, flags, "pins", "List pinned sessions, and why they are: each of a sidecar, kinds of an operator",
              false);
  add_log_level(app, flags);
  add_tools(app, flags);
  CLI::App* version = app.add_subcommand("version", "Print the version of dbproxyctl");
  app.footer(kFooter);  // after the commands, which would inherit it

  std::signal(SIGPIPE, SIG_IGN);
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    // CLI11 misses the command before it looks at what stands in its place.
    const std::vector<std::string> words = app.remaining();
    if (words.empty() || words.front().starts_with('-')) return app.exit(error), ctl::kUsage;
    return ctl::usage("there is no command '" + words.front() + "'; dbproxyctl --help lists them");
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
  if (!flags.tool.empty()) return ctl::run_tool(flags, transport);
  const auto& where = flags.where;
  if (!where.operator_address.empty() + !where.sidecar_address.empty() + !where.socket.empty() > 1) {
    return ctl::usage("give only one of --operator, --sidecar and --socket");
  }
  flags.options.headers = !no_headers;
  flags.options.output = outputs.at(output);
  if (const char* environment = std::getenv("DBPROXYCTL_SERVER")) flags.where.environment = environment;
  const std::string wrong = ctl::choose_servers(flags.where, flags.options.command, flags.options.servers);
  if (!wrong.empty()) return ctl::usage(wrong);
  if (!flags.token_file.empty() && !read_token(flags.token_file, flags.options.bearer_token)) {
    return ctl::usage("--token-file: there is no token in " + flags.token_file);
  }
  if (flags.options.command == "top") {
    return ctl::top(flags.options, flags.top, transport, std::cout, std::cerr);
  }
  return ctl::run(flags.options, transport, std::cout, std::cerr);
}
