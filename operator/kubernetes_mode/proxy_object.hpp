// ProxyObject: a DBProxy as the API server has it, turned into what the code that reads manifests from files takes, and
// what it refers to in its namespace. Pure; any thread.
#pragma once

#include <boost/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "proxy/config/snapshot.hpp"
#include "proxy/manifest/diagnostic.hpp"
#include "proxy/manifest/resources.hpp"

namespace dbproxy::kubernetes_mode {

struct Uses {
  std::set<std::string> secrets, config_maps;  // namespace/name
  bool operator==(const Uses&) const = default;
};

// What a DBProxy of that namespace refers to: passwords, certificates, CAs. The installation's own CA is none of it.
Uses uses_of(const boost::json::object& proxy, const std::string& name_space);

// The object as a manifest, without what the loader would have to ignore: status and the API server's own metadata.
std::string manifest_text(const boost::json::object& object, const char* kind);

// Hosts of targets that no target may have, by what is written; their addresses are looked at at every connect.
std::vector<manifest::Diagnostic> refused_hosts(const manifest::DBProxyResource& proxy,
                                                const config::EndpointPolicy& policy);

}  // namespace dbproxy::kubernetes_mode
