// dbproxyctl: flags → one command → exit code.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>

#include "operator/ctl/commands.hpp"
#include "proxy/metrics/build_info.hpp"

namespace {

using namespace dbproxy;

constexpr const char* kFooter =
    "\nExamples:\n"
    "  dbproxyctl get                          every DBProxy, and what is wrong with its manifests\n"
    "  dbproxyctl describe orders              all about one\n"
    "  dbproxyctl pools --sidecar :9930        inside of one sidecar\n"
    "  dbproxyctl targets -o json | jq .items  for scripts\n"
    "\nWithout --operator, --sidecar or --socket: DBPROXYCTL_SERVER, else the operator at 127.0.0.1:9932,\n"
    "else a sidecar at 127.0.0.1:9930.\n"
    "\nExit codes: 0 done, 1 not found or refused, 2 wrong usage, 3 server not reachable.\n";

struct Flags {
  ctl::Options options;
  ctl::Where where;
  std::string token_file;
};

void add_command(CLI::App& app, Flags& flags, const std::string& name, const std::string& help, bool name_required) {
  CLI::App* command = app.add_subcommand(name, help);
  command->footer("\nOptions for every command are in dbproxyctl --help.\n");
  command->fallthrough();  // --operator and the others are understood after the command, too
  CLI::Option* which =
      command->add_option("NAME", flags.options.name, "DBProxy: name or namespace/name")->type_name("");
  if (name_required) which->required();
  command->callback([&flags, name] { flags.options.command = name; });
}

bool read_token(const std::string& file, std::string& token) {
  std::ifstream in(file);
  return static_cast<bool>(std::getline(in, token)) && !token.empty();
}

int usage(const std::string& sentence) {
  std::cerr << "error: " << sentence << "\n";
  return ctl::kUsage;
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
  add_command(app, flags, "pins", "List the pinned sessions of a sidecar, and why they are", false);
  CLI::App* version = app.add_subcommand("version", "Print the version of dbproxyctl");
  app.footer(kFooter);  // after the commands, which would inherit it

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
  const auto transport = [](const ctl::Server& server, const http::ClientRequest& what) {
    return http::request(server.address, what, server.unix_path);
  };
  return ctl::run(flags.options, transport, std::cout, std::cerr);
}
