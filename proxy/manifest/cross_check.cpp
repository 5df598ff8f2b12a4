#include "proxy/manifest/cross_check.hpp"

#include <algorithm>

#include "proxy/manifest/fields.hpp"
#include "proxy/manifest/pem.hpp"

namespace dbproxy::manifest {
namespace {

constexpr std::size_t kMaxUserName = 63;  // NAMEDATALEN − 1
constexpr std::size_t kMaxPassword = 4096;

std::string name_of(const DBProxyResource& proxy) {
  return "DBProxy " + proxy.metadata.key();
}
std::string name_of(const DBProxyEndpointResource& endpoint) {
  return "DBProxyEndpoint " + endpoint.metadata.key();
}
std::string name_of(const SecretResource& secret) {
  return "Secret " + secret.metadata.key();
}

class CrossCheck {
 public:
  CrossCheck(Manifests& manifests, const CrossContext& context) : all_(manifests), context_(context) {}

  void run() {
    for (const auto& proxy : all_.proxies) {
      check_users(proxy);
      const ClusterTls& tls = proxy.cluster.tls;
      if (proxy.client_cert) check_ca(proxy, proxy.client_cert->ca_ref, "spec.clientCert.caRef");
      if (tls.ca_ref) check_ca(proxy, *tls.ca_ref, "spec.targetGroups[0].dbCluster.tls.caRef");
      check_client_certificate(proxy);
    }
    check_endpoints();
    check_ports();
    check_percentages();
  }

 private:
  template <class Object>
  void report(const Object& object, const std::string& field, std::string value, std::string rule, std::string remedy,
              Severity severity = Severity::kError) {
    const Origin& origin = object.metadata.origin;
    all_.diagnostics.push_back({origin.file, origin.line_of(field), 0, name_of(object), field, std::move(value),
                                std::move(rule), std::move(remedy), severity});
  }

  template <class Objects>
  std::string suggest(const Objects& objects, const Metadata& from, const std::string& wanted, std::string otherwise) {
    std::vector<std::string_view> names;
    for (const auto& object : objects) {
      if (object.metadata.name_space == from.name_space) names.emplace_back(object.metadata.name);
    }
    std::string_view near = nearest(wanted, names);
    if (!near.empty()) return "did you mean " + std::string(near) + "?";
    for (const auto& object : objects) {
      if (object.metadata.name == wanted) {
        return "there is one in namespace " + object.metadata.name_space + ", and references never leave the namespace";
      }
    }
    return otherwise;
  }

  // True where the secret has a user and a password. What is wrong with it is said once, however many refer to it.
  bool check_secret(const SecretResource& secret, const DBProxyResource& by) {
    if (context_.broken.count(name_of(secret)) != 0) return false;
    bool first = seen_secrets_.insert(secret.metadata.key()).second;
    bool good = true;
    for (std::string key : {"username", "password"}) {
      auto it = secret.data.find(key);
      // Written under data or under stringData; where it is missing, the first of these is what people know.
      bool plain = secret.metadata.origin.field_lines.count("stringData." + key) != 0 ||
                   secret.metadata.origin.field_lines.count("data") == 0;
      std::string field = (plain ? "stringData." : "data.") + key;
      std::string rule;
      std::string remedy;
      if (it == secret.data.end()) {
        rule = "is missing, and " + name_of(by) + " takes it from here";
        remedy = "a secret of a DBProxy has the keys username and password";
      } else if (it->second.empty()) {
        rule = "is empty, and " + name_of(by) + " takes it from here";
        remedy = "a secret of a DBProxy has the keys username and password";
      } else {
        rule = check_credential(key, it->second);
      }
      if (!rule.empty()) {
        good = false;
        if (first)
          report(secret, field, it == secret.data.end() || it->second.empty() ? "" : std::string(kHidden), rule,
                 remedy);
      } else if (first && (it->second.reveal().back() == '\n' || it->second.reveal().back() == '\r')) {
        report(secret, field, std::string(kHidden), "ends with a line break",
               "make it with `printf %s` or `base64` of text without one", Severity::kWarning);
      }
    }
    return good;
  }

  static std::string check_credential(const std::string& key, const Secret& value) {
    std::string_view text = value.reveal();
    std::size_t most = key == "username" ? kMaxUserName : kMaxPassword;
    if (text.size() > most) return "is longer than " + std::to_string(most) + " bytes";
    if (text.find('\0') != std::string_view::npos) return "holds a zero byte";
    if (!valid_utf8(text)) return "is not UTF-8";
    return "";
  }

  void check_users(const DBProxyResource& proxy) {
    std::map<std::string, std::string> fields;  // database user → the entry that has it
    for (std::size_t i = 0; i < proxy.auth.size(); ++i) {
      const AuthEntry& auth = proxy.auth[i];
      std::string entry = "spec.auth[" + std::to_string(i) + "]";
      std::string user = auth.user_name;
      if (!auth.secret_ref.empty()) {
        const SecretResource* secret = all_.find_secret(proxy.metadata.name_space, auth.secret_ref);
        if (secret == nullptr) {
          if (context_.incomplete) continue;
          report(proxy, entry + ".secretRef.name", in_quotes(auth.secret_ref),
                 "is not a Secret of namespace " + proxy.metadata.name_space,
                 suggest(all_.secrets, proxy.metadata, auth.secret_ref,
                         "add a Secret of that name with the keys username and password"));
          continue;
        }
        if (!check_secret(*secret, proxy)) continue;
        if (!user.empty() && user != secret->username) {
          report(proxy, entry + ".userName", in_quotes(user), "is not the username of Secret " + secret->metadata.key(),
                 "remove userName: the secret names the user");
          continue;
        }
        user = secret->username;
      }
      if (user.empty()) continue;
      auto [it, fresh] = fields.emplace(user, entry);
      if (!fresh) {
        report(proxy, entry, "", "is a second entry for the database user " + in_quotes(user) + ", after " + it->second,
               "keep one of the two");
      }
    }
  }

  void check_ca(const DBProxyResource& proxy, const CaRef& ref, const std::string& field) {
    if (ref.name.empty()) return;
    const std::string key = proxy.metadata.name_space + "/" + ref.name;
    const bool of_secret = ref.kind == "Secret";
    const SecretResource* secret = of_secret ? all_.find_secret(proxy.metadata.name_space, ref.name) : nullptr;
    const ConfigMapResource* map = of_secret ? nullptr : all_.find_config_map(proxy.metadata.name_space, ref.name);
    if (secret == nullptr && map == nullptr) {
      if (context_.incomplete) return;
      std::string add = "add a " + ref.kind + " of that name with the CA in PEM under the key " + ref.key;
      report(proxy, field + ".name", in_quotes(ref.name),
             "is not a " + ref.kind + " of namespace " + proxy.metadata.name_space,
             of_secret ? suggest(all_.secrets, proxy.metadata, ref.name, add)
                       : suggest(all_.config_maps, proxy.metadata, ref.name, add));
      return;
    }
    if (context_.broken.count(ref.kind + " " + key) != 0) return;
    std::vector<std::string_view> keys;
    std::optional<std::string_view> pem;
    if (secret != nullptr) {
      for (const auto& [name, value] : secret->data) {
        keys.emplace_back(name);
        if (name == ref.key) pem = value.reveal();
      }
    } else {
      for (const auto& [name, value] : map->data) {
        keys.emplace_back(name);
        if (name == ref.key) pem = value;
      }
    }
    if (!pem) {
      std::string_view near = keys.size() == 1 ? keys.front() : nearest(ref.key, keys);
      report(proxy, field + ".key", in_quotes(ref.key), "is not a key of " + ref.kind + " " + key,
             near.empty() ? "add the CA in PEM under that key" : "did you mean " + std::string(near) + "?");
      return;
    }
    if (std::string rule = check_pem_certificates(*pem); !rule.empty()) {
      report(proxy, field + ".key", in_quotes(ref.key), "of " + ref.kind + " " + key + " " + rule,
             "it has to hold one or more certificates, from -----BEGIN CERTIFICATE----- on");
    }
  }

  // A Secret of type kubernetes.io/tls, or one with its keys.
  void check_client_certificate(const DBProxyResource& proxy) {
    const std::string& name = proxy.cluster.tls.client_certificate;
    if (name.empty()) return;
    const std::string field = "spec.targetGroups[0].dbCluster.tls.clientCertificateRef.name";
    const SecretResource* secret = all_.find_secret(proxy.metadata.name_space, name);
    if (secret == nullptr) {
      if (context_.incomplete) return;
      report(
          proxy, field, in_quotes(name), "is not a Secret of namespace " + proxy.metadata.name_space,
          suggest(all_.secrets, proxy.metadata, name, "add a Secret of that name with the keys tls.crt and tls.key"));
      return;
    }
    if (context_.broken.count(name_of(*secret)) != 0) return;
    const auto certificate = secret->data.find("tls.crt");
    const auto key = secret->data.find("tls.key");
    std::string rule;
    if (certificate == secret->data.end() || key == secret->data.end()) {
      rule = std::string("has no key ") + (certificate == secret->data.end() ? "tls.crt" : "tls.key");
    } else {
      rule = check_pem_pair(certificate->second.reveal(), key->second);
    }
    if (rule.empty()) return;
    report(proxy, field, in_quotes(name), rule,
           "a certificate with its issuers under tls.crt, and its key without a pass phrase under tls.key, in PEM");
  }

  void check_endpoints() {
    std::map<std::string, std::size_t> counts;
    for (const auto& endpoint : all_.endpoints) {
      if (endpoint.db_proxy_name.empty()) continue;
      if (all_.find_proxy(endpoint.metadata.name_space, endpoint.db_proxy_name) == nullptr) {
        if (context_.incomplete) continue;
        report(endpoint, "spec.dbProxyName", in_quotes(endpoint.db_proxy_name),
               "is not a DBProxy of namespace " + endpoint.metadata.name_space,
               suggest(all_.proxies, endpoint.metadata, endpoint.db_proxy_name,
                       "write the name of a DBProxy in the same namespace"));
        continue;
      }
      std::size_t count = ++counts[endpoint.metadata.name_space + "/" + endpoint.db_proxy_name];
      if (count == kMaxEndpointsPerProxy + 1) {
        report(endpoint, "spec.dbProxyName", in_quotes(endpoint.db_proxy_name),
               "has more than " + std::to_string(kMaxEndpointsPerProxy) + " endpoints besides its default one",
               "remove this one and those after it");
      }
    }
  }

  // One sidecar may serve every DBProxy of the directory, so that a port is taken once for all of them.
  void check_ports() {
    struct Owner {
      std::string object;
      const Origin* origin;
    };
    std::map<std::uint16_t, Owner> owners;
    auto claim = [&](const auto& object) {
      if (object.port == 0) return;
      const Origin& origin = object.metadata.origin;
      auto [it, fresh] = owners.emplace(object.port, Owner{name_of(object), &origin});
      if (fresh) return;
      bool written = origin.field_lines.count("spec.port") != 0;
      report(object, "spec.port", std::to_string(object.port) + (written ? "" : " (the default)"),
             "is the port of " + it->second.object + " (" + it->second.origin->file + ":" +
                 std::to_string(it->second.origin->line_of("spec.port")) + ") too",
             "give one of them another port: one sidecar listens on all of them");
    };
    for (const auto& proxy : all_.proxies) claim(proxy);
    for (const auto& endpoint : all_.endpoints) claim(endpoint);
  }

  void check_percentages() {
    struct Share {
      std::uint32_t sum = 0;
      std::string proxies;
      std::size_t count = 0;
      const DBProxyResource* last = nullptr;
    };
    std::map<std::string, Share> shares;
    for (const auto& proxy : all_.proxies) {
      const DbCluster& cluster = proxy.cluster;
      bool single = cluster.instances.empty();
      if (single && cluster.endpoint.empty()) continue;
      std::string key = single || !cluster.endpoint.empty()
                            ? cluster.endpoint + ":" + std::to_string(cluster.port)
                            : cluster.instances.front().endpoint + ":" + std::to_string(cluster.instances.front().port);
      std::transform(key.begin(), key.end(), key.begin(), [](unsigned char c) { return std::tolower(c); });
      Share& share = shares[key];
      share.sum += proxy.pool.max_connections_percent;
      share.proxies += (share.count++ == 0 ? "" : ", ") + proxy.metadata.key();
      share.last = &proxy;
    }
    for (const auto& [key, share] : shares) {
      if (share.count < 2 || share.sum <= 100) continue;
      report(*share.last, "spec.targetGroups[0].connectionPool.maxConnectionsPercent",
             std::to_string(share.last->pool.max_connections_percent),
             "makes " + std::to_string(share.sum) + " together with the other DBProxies of " + key + " (" +
                 share.proxies + ")",
             "keep the sum at 100 or less, or they take connections from each other", Severity::kWarning);
    }
  }

  Manifests& all_;
  const CrossContext& context_;
  std::set<std::string> seen_secrets_;
};

}  // namespace

void cross_check(Manifests& manifests, const CrossContext& context) {
  CrossCheck(manifests, context).run();
}

}  // namespace dbproxy::manifest
