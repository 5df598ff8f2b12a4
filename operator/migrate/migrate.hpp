// Moving in, and out: other proxies' configuration → manifests of DBProxies, with a remark for whatever has no equal,
// and manifests → the JSON that RDS's API has for its proxies.
//
// Pure: texts in, text out. The manifests validate as they are once the Secrets and ConfigMaps that they name exist;
// what nobody but the reader can know stands there as a placeholder, which a remark names.
#pragma once

#include <boost/json/array.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/manifest/resources.hpp"

namespace dbproxy::migrate {

struct Document {
  std::string name;  // of the file, for errors
  std::string text;
};

struct Options {
  std::string name_space = "default";
};

struct Result {
  std::string manifests;           // YAML; empty with an error
  std::vector<std::string> to_do;  // what has to be filled in or made, a sentence each
  std::string error;               // which document, what is wrong with it, and what is expected
};

// The JSON of `aws rds describe-db-proxies`, `describe-db-proxy-target-groups`, `describe-db-proxy-targets` and
// `describe-db-proxy-endpoints`, in any number of documents and any order, or the list that `create-db-proxy --auth`
// takes. Field names: AWS's API reference for RDS, DBProxy and the types it refers to.
Result from_rds_proxy(const std::vector<Document>& documents, const Options& options);

// And back: DBProxies as those four commands of `aws` would print them.
struct ExportedTarget {
  std::string id, role, health, reason;  // as status.targets has them
};
struct ExportedProxy {
  manifest::DBProxyResource proxy;
  std::vector<manifest::DBProxyEndpointResource> endpoints;
  std::vector<ExportedTarget> targets;  // as they were seen; may be none
  bool ready = true;
};
struct ExportResult {
  boost::json::array proxies, groups, targets, endpoints;
  std::vector<std::string> lost;  // what is set here and has no equal there, a sentence each
};
ExportResult to_rds_proxy(const std::vector<ExportedProxy>& proxies);

// One pgbouncer.ini: a DBProxy for each server that its [databases] name. Keys: PgBouncer's documentation of its
// configuration.
Result from_pgbouncer(const Document& ini, const Options& options);

// What is done about a key of pgbouncer.ini: the table that from_pgbouncer() follows, and that docs/from-pgbouncer.md
// shows.
struct PgBouncerKey {
  std::string_view name;
  std::string_view here;  // the field, or why there is none
};
const std::vector<PgBouncerKey>& pgbouncer_keys();

}  // namespace dbproxy::migrate
