// DBProxy: TLS on both hops: spec.clientCert and dbCluster.tls.
#include "proxy/manifest/parsers.hpp"

namespace dbproxy::manifest {
namespace {

using config::EngineFamily;
using config::TlsMode;

constexpr std::string_view kCaRemedy =
    "put RDS's bundle (https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem) or your own CA into a "
    "ConfigMap and name it in caRef: {kind: ConfigMap, name: …, key: …}";

std::optional<CaRef> parse_ca_ref(Fields& tls) {
  auto fields = tls.map("caRef");
  if (!fields) return std::nullopt;
  CaRef ref;
  ref.kind = fields->choice("kind", {"ConfigMap", "Secret"}).value_or("ConfigMap");
  fields->require("name", "write the name of a ConfigMap or Secret in the same namespace");
  ref.name = fields->text("name", {253, check_dns_subdomain}).value_or("");
  ref.key = fields->text("key", {253, check_printable}).value_or("ca.pem");
  if (fields->has("namespace")) {
    fields->ignore("namespace");
    fields->error("namespace", "", "is not allowed: references never leave the namespace",
                  "remove it, and keep the CA in the namespace of the DBProxy");
  }
  fields->finish();
  return ref;
}

// What the proxy shows to the database.
std::string parse_client_certificate(Fields& tls, TlsMode mode) {
  auto ref = tls.map("clientCertificateRef");
  if (!ref) return {};
  ref->require("name", "write the name of a Secret in the same namespace with the keys tls.crt and tls.key");
  std::string name = ref->text("name", {253, check_dns_subdomain}).value_or("");
  if (ref->has("namespace")) {
    ref->ignore("namespace");
    ref->error("namespace", "", "is not allowed: references never leave the namespace",
               "remove it, and keep the Secret in the namespace of the DBProxy");
  }
  ref->finish();
  if (mode == TlsMode::kDisable) {
    tls.error("clientCertificateRef", "", "contradicts mode: disable", "remove it, or use verify-full");
  }
  return name;
}

}  // namespace

void parse_cluster_tls(Fields& cluster, EngineFamily engine, ClusterTls& out) {
  auto tls = cluster.map("tls");
  bool mode_known = true;
  if (tls) {
    if (auto mode = tls->choice("mode", {"verify-full", "verify-ca", "require", "disable"})) {
      out.mode = *config::parse_tls_mode(*mode);
    } else {
      mode_known = !tls->has("mode");
    }
    out.ca_ref = parse_ca_ref(*tls);
    bool direct = tls->choice("negotiation", {"postgres", "direct"}).value_or("postgres") == "direct";
    out.negotiation = direct ? TlsNegotiation::kDirect : TlsNegotiation::kPostgres;
    if (direct && engine != EngineFamily::kPostgresql) {
      tls->error("negotiation", "\"direct\"", "is PostgreSQL's way to begin TLS", "remove it");
    } else if (direct && out.mode == TlsMode::kDisable) {
      tls->error("negotiation", "\"direct\"", "contradicts mode: disable", "remove it, or use verify-full");
    }
    out.client_certificate = parse_client_certificate(*tls, out.mode);
    tls->finish();
  } else if (cluster.has("tls")) {
    return;  // it is no mapping, which was said
  }
  bool verifies = out.mode == TlsMode::kVerifyFull || out.mode == TlsMode::kVerifyCa;
  if (mode_known && verifies && !(tls && tls->has("caRef"))) {
    Fields& at = tls ? *tls : cluster;
    at.error(tls ? "caRef" : "tls.caRef", "",
             "is missing: mode " + std::string(config::to_string(out.mode)) +
                 (tls && tls->has("mode") ? "" : " (the default)") + " has no CA to verify the database with",
             std::string(kCaRemedy));
  }
}

void parse_client_cert(Fields& spec, EngineFamily engine, DBProxyResource& out) {
  auto fields = spec.map("clientCert");
  if (!fields) return;
  ClientCertSpec cert;
  if (auto mode = fields->choice("mode", {"verify-full", "verify-ca"})) {
    cert.mode = *config::parse_client_cert_mode(*mode);
  }
  if (fields->require("caRef", "name the ConfigMap or Secret with the CA of the clients' certificates")) {
    cert.ca_ref = parse_ca_ref(*fields).value_or(CaRef{});
  }
  fields->finish();
  if (engine != EngineFamily::kPostgresql) {
    spec.error("clientCert", "", "is not served for engineFamily MYSQL", "remove it");
  }
  out.client_cert = std::move(cert);
}

}  // namespace dbproxy::manifest
