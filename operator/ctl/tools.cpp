#include "operator/ctl/tools.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>

#include "operator/ctl/aws_check.hpp"
#include "operator/ctl/check.hpp"
#include "operator/ctl/document.hpp"
#include "operator/ctl/export.hpp"
#include "operator/ctl/iam_policy.hpp"
#include "operator/ctl/import.hpp"
#include "operator/ctl/inject.hpp"
#include "operator/ctl/outdated.hpp"
#include "operator/ctl/plan_connections.hpp"
#include "operator/ctl/plan_ips.hpp"
#include "operator/ctl/preflight.hpp"
#include "proxy/aws/client_tokens.hpp"
#include "proxy/aws/credential_chain.hpp"
#include "proxy/aws/database_token.hpp"
#include "proxy/base/log.hpp"
#include "proxy/metrics/build_info.hpp"

namespace dbproxy::ctl {
namespace {

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

// Of the API server, or of --manifests. None: `error` says why, and what is wrong with manifests is printed.
std::optional<manifest::DBProxyResource> named_proxy(const Flags& flags, const std::string& name, std::string& error) {
  manifest::Manifests manifests;
  const std::size_t slash = name.find('/');
  const std::string short_name = name.substr(slash == std::string::npos ? 0 : slash + 1);
  std::string name_space = slash == std::string::npos ? flags.options.name_space : name.substr(0, slash);
  if (flags.inject.manifests.empty()) {
    const auto client = api_server(flags);
    if (!client) return error = "the API server is needed, or --manifests DIR", std::nullopt;
    if (name_space.empty()) name_space = "default";
    manifests = manifest::load_sources({{name, ctl::fetch(*client, name_space, short_name, {}, error)}});
  } else {
    manifests = manifest::load_directory(flags.inject.manifests);
  }
  const auto found = std::find_if(manifests.proxies.begin(), manifests.proxies.end(), [&](const auto& each) {
    return each.metadata.name == short_name && (name_space.empty() || each.metadata.name_space == name_space);
  });
  if (found != manifests.proxies.end()) {
    error.clear();  // a Secret that cannot be had is of no concern here
    return *found;
  }
  if (error.empty()) error = "there is no DBProxy " + name + " there";
  for (const auto& each : manifests.diagnostics) std::cerr << manifest::to_text(each) << "\n";
  return std::nullopt;
}

int check_aws(const Flags& flags) {
  std::string error;
  const auto found = named_proxy(flags, flags.check_aws, error);
  if (!found) {
    std::cerr << "error: " << error << "\n";
    return ctl::kRefused;
  }
  ctl::Findings findings(std::cout);
  const SystemClock clock;
  ctl::check_aws(*found, aws::system_environment(), clock, findings);
  return findings.good() ? ctl::kOk : ctl::kRefused;
}

int check(const Flags& flags, const ctl::Transport& transport) {
  if (!flags.check_aws.empty()) return check_aws(flags);
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
  if (flags.preflight.print && !flags.preflight.manifests.empty()) {
    return usage("--print shows what the API server has: without --manifests");
  }
  if (flags.preflight.manifests.empty()) {
    if (flags.preflight.name.empty()) return usage("preflight needs the NAME of a DBProxy, or --manifests DIR");
    client = api_server(flags);
    if (!client) return ctl::kUsage;
  }
  return ctl::preflight(flags.preflight, client.get(), std::cin, std::cout, std::cerr);
}

int iam_policy(const Flags& flags) {
  std::string error;
  const auto found = named_proxy(flags, flags.policy.name, error);
  if (found) {
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

}  // namespace

int usage(const std::string& sentence) {
  std::cerr << "error: " << sentence << "\n";
  return kUsage;
}

int run_tool(Flags& flags, const Transport& transport) {
  std::string error;
  if (flags.tool == "plan ips") {
    const std::string text = plan_ips(flags.addresses, error);
    return print_plan(text, error);
  }
  if (flags.tool == "plan connections") {
    const std::string text = plan_connections(flags.load, error);
    return print_plan(text, error);
  }
  if (flags.tool == "inject") {
    flags.inject.settings.native = !flags.ordinary;
    if (!flags.options.name_space.empty()) flags.inject.name_space = flags.options.name_space;
    return inject(flags.inject, std::cin, std::cout, std::cerr);
  }
  if (flags.tool == "check") return check(flags, transport);
  if (flags.tool == "outdated") {
    const auto client = api_server(flags);
    return client ? outdated(*client, flags.options.name_space, std::cout, std::cerr) : kUsage;
  }
  if (flags.tool == "iam-policy") return iam_policy(flags);
  if (flags.tool == "token") return token(flags);
  if (flags.tool == "export") return export_rds_proxy(flags);
  if (flags.tool == "import") {
    if (!flags.options.name_space.empty()) flags.import.name_space = flags.options.name_space;
    return import(flags.import, std::cin, std::cout, std::cerr);
  }
  return preflight(flags);
}

}  // namespace dbproxy::ctl
