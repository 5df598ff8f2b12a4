// One function per kind: a document's fields → a typed resource. Internal to proxy/manifest.
//
// Each is given the fields of the whole object, of which the caller reads apiVersion, kind and metadata and for which
// it calls finish(). They report what is wrong and go on, so that all errors of an object show at once; the result is
// only good if nothing was reported.
#pragma once

#include "proxy/manifest/fields.hpp"
#include "proxy/manifest/resources.hpp"

namespace dbproxy::manifest {

void parse_db_proxy(Fields& object, DBProxyResource& out);
void parse_db_proxy_endpoint(Fields& object, DBProxyEndpointResource& out);
void parse_secret(Fields& object, SecretResource& out);
void parse_config_map(Fields& object, ConfigMapResource& out);

// spec.auth and spec.targetGroups; `engine` is none where engineFamily itself is wrong.
void parse_auth(Fields& spec, std::optional<config::EngineFamily> engine, DBProxyResource& out);
void parse_target_groups(Fields& spec, config::EngineFamily engine, DBProxyResource& out);
// dbCluster.tls, given the fields of dbCluster; and spec.clientCert.
void parse_cluster_tls(Fields& cluster, config::EngineFamily engine, ClusterTls& out);
void parse_client_cert(Fields& spec, config::EngineFamily engine, DBProxyResource& out);

}  // namespace dbproxy::manifest
