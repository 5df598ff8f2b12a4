#include "operator/ctl/export.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <map>
#include <ostream>

#include "operator/ctl/commands.hpp"
#include "operator/ctl/document.hpp"
#include "operator/ctl/views.hpp"
#include "operator/kubernetes/resource.hpp"
#include "operator/migrate/migrate.hpp"
#include "proxy/manifest/loader.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;

struct Shape {
  const char* command;
  const char* list;
  json::array migrate::ExportResult::*rows;
};
constexpr std::array<Shape, 4> kShapes{{
    {"describe-db-proxies", "DBProxies", &migrate::ExportResult::proxies},
    {"describe-db-proxy-target-groups", "TargetGroups", &migrate::ExportResult::groups},
    {"describe-db-proxy-targets", "Targets", &migrate::ExportResult::targets},
    {"describe-db-proxy-endpoints", "DBProxyEndpoints", &migrate::ExportResult::endpoints},
}};

// What the API server has of both resources; with it what the operator saw, by namespace/name.
manifest::Manifests from_cluster(kubernetes::Client& client, const std::string& name_space,
                                 std::map<std::string, json::value>& statuses, std::string& error) {
  std::string text;
  for (const char* plural : {"dbproxies", "dbproxyendpoints"}) {
    kubernetes::Request request;
    request.target = kubernetes::path_of({"dbproxy.io", "v1alpha1", plural}, name_space);
    const auto found = client.send_json(request);
    if (found.has_error()) {
      error = std::string(plural) + ": " + found.error().text();
      return {};
    }
    const json::value page(*found);
    for (json::value item : array_at(page, "/items")) {
      if (!item.is_object()) continue;
      json::object& object = item.get_object();
      object["apiVersion"] = "dbproxy.io/v1alpha1";  // an item of a list does not say what it is
      object["kind"] = std::string(plural) == "dbproxies" ? "DBProxy" : "DBProxyEndpoint";
      if (const json::value* status = object.if_contains("status")) {
        statuses[text_at(item, "/metadata/namespace") + "/" + text_at(item, "/metadata/name")] = *status;
      }
      text += (text.empty() ? "" : "---\n") + to_yaml(item);
    }
  }
  return manifest::load_sources({{"the cluster", text}});
}

migrate::ExportedProxy exported(const manifest::DBProxyResource& proxy, const manifest::Manifests& manifests,
                                const json::value* status) {
  migrate::ExportedProxy out;
  out.proxy = proxy;
  for (const auto& each : manifests.endpoints) {
    if (each.metadata.name_space == proxy.metadata.name_space && each.db_proxy_name == proxy.metadata.name) {
      out.endpoints.push_back(each);
    }
  }
  if (status == nullptr) return out;
  out.ready = false;
  for (const json::value& each : array_at(*status, "/conditions")) {
    if (text_at(each, "/type") == "Ready") out.ready = text_at(each, "/status") == "True";
  }
  for (const json::value& each : array_at(*status, "/targets")) {
    out.targets.push_back(
        {text_at(each, "/id"), text_at(each, "/role"), text_at(each, "/health"), text_at(each, "/reason")});
  }
  return out;
}

}  // namespace

bool is_shape(const std::string& shape) {
  return shape.empty() ||
         std::any_of(kShapes.begin(), kShapes.end(), [&](const Shape& each) { return shape == each.command; });
}

int export_rds_proxy(const ExportOptions& options, kubernetes::Client* client, std::ostream& out, std::ostream& err) {
  std::map<std::string, json::value> statuses;
  manifest::Manifests manifests;
  if (options.manifests.empty()) {
    const std::size_t slash = options.name.find('/');
    std::string error;
    manifests = from_cluster(*client, slash == std::string::npos ? options.name_space : options.name.substr(0, slash),
                             statuses, error);
    if (!error.empty()) {
      err << "error: " << printable(error) << "\n";
      return kRefused;
    }
  } else {
    manifests = manifest::load_directory(options.manifests);
  }
  std::vector<migrate::ExportedProxy> proxies;
  for (const auto& each : manifests.proxies) {
    const std::string key = each.metadata.key();
    if (!options.name.empty() && !is_named(key, options.name)) continue;
    if (!options.name_space.empty() && each.metadata.name_space != options.name_space) continue;
    const auto status = statuses.find(key);
    proxies.push_back(exported(each, manifests, status == statuses.end() ? nullptr : &status->second));
  }
  if (proxies.empty()) {
    // A Secret that is not there is of no concern otherwise: nothing of it is printed.
    for (const auto& each : manifests.diagnostics) err << manifest::to_text(each) << "\n";
    err << "error: there is no " << (options.name.empty() ? "DBProxy" : "DBProxy " + printable(options.name))
        << " there\n";
    return kRefused;
  }
  migrate::ExportResult result = migrate::to_rds_proxy(proxies);
  json::object document;
  for (const Shape& each : kShapes) {
    if (options.shape.empty() || options.shape == each.command) document[each.list] = std::move(result.*each.rows);
  }
  out << to_json(document);
  for (const std::string& each : result.lost) err << "lost: " << printable(each) << "\n";
  return kOk;
}

}  // namespace dbproxy::ctl
