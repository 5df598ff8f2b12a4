#include "operator/kubernetes/config.hpp"

#include <filesystem>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <yaml-cpp/yaml.h>

#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes {
namespace {

constexpr std::size_t kMaxKubeconfig = 4 * 1024 * 1024;
constexpr std::size_t kMaxNamespace = 4096;

ConfigOrError wrong(std::string sentence) {
  return {{}, std::move(sentence)};
}

std::string text(const YAML::Node& node, const char* field) {
  if (!node.IsMap()) return {};
  const YAML::Node found = node[field];
  return found.IsDefined() && found.IsScalar() ? found.Scalar() : std::string();
}

// The map under `inner` of the list's entry with that name.
YAML::Node entry(const YAML::Node& root, const char* list, const std::string& name, const char* inner) {
  const YAML::Node items = root[list];
  if (!items.IsDefined() || !items.IsSequence()) return YAML::Node(YAML::NodeType::Undefined);
  for (const YAML::Node& item : items) {
    if (text(item, "name") == name) {
      const YAML::Node found = item[inner];
      return found.IsDefined() && found.IsMap() ? found : YAML::Node(YAML::NodeType::Map);
    }
  }
  return YAML::Node(YAML::NodeType::Undefined);
}

bool decode_base64(const std::string& in, std::string& out) {
  if (in.size() % 4 != 0 || in.size() > kMaxKubeconfig) return false;
  out.resize(in.size() / 4 * 3);
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(in.data()), static_cast<int>(in.size()));
  if (size < 0) return false;
  std::size_t padding = 0;
  while (padding < 2 && padding < in.size() && in[in.size() - 1 - padding] == '=') ++padding;
  out.resize(static_cast<std::size_t>(size) - padding);
  return true;
}

std::string beside(const std::string& kubeconfig, const std::string& file) {
  if (file.empty() || file.front() == '/') return file;
  return (std::filesystem::absolute(kubeconfig).parent_path() / file).string();
}

// https://host[:port][/path], with IPv6 in brackets. False where it is anything else.
bool parse_server(std::string url, Config& out) {
  if (url.rfind("https://", 0) == 0) {
    url.erase(0, 8);
  } else if (url.rfind("http://", 0) == 0) {
    out.tls = false;
    out.port = 80;
    url.erase(0, 7);
  } else {
    return false;
  }
  if (const std::size_t slash = url.find('/'); slash != std::string::npos) {
    out.base_path = url.substr(slash);
    while (!out.base_path.empty() && out.base_path.back() == '/') out.base_path.pop_back();
    url.erase(slash);
  }
  std::string port;
  if (!url.empty() && url.front() == '[') {
    const std::size_t end = url.find(']');
    if (end == std::string::npos) return false;
    out.host = url.substr(1, end - 1);
    if (end + 1 < url.size()) {
      if (url[end + 1] != ':') return false;
      port = url.substr(end + 2);
      if (port.empty()) return false;
    }
  } else {
    const std::size_t colon = url.find(':');
    out.host = url.substr(0, colon);
    if (colon != std::string::npos) {
      port = url.substr(colon + 1);
      if (port.empty()) return false;
    }
  }
  if (out.host.empty() || port.size() > 5 || port.find_first_not_of("0123456789") != std::string::npos) return false;
  if (!port.empty()) {
    const int number = std::stoi(port);
    if (number < 1 || number > 65535) return false;
    out.port = static_cast<std::uint16_t>(number);
  }
  return true;
}

std::string take_cluster(const YAML::Node& cluster, const std::string& path, Config& out) {
  const std::string server = text(cluster, "server");
  if (!parse_server(server, out)) return "its cluster's server \"" + server + "\" is not https://HOST:PORT";
  out.server_name = text(cluster, "tls-server-name");
  out.skip_verify = text(cluster, "insecure-skip-tls-verify") == "true";
  if (!text(cluster, "proxy-url").empty()) return "its cluster has a proxy-url, which is not supported";
  const std::string data = text(cluster, "certificate-authority-data");
  if (!data.empty()) {
    if (!decode_base64(data, out.ca_pem)) return "its certificate-authority-data is not base64";
  } else {
    out.ca_file = beside(path, text(cluster, "certificate-authority"));
  }
  return {};
}

std::string take_user(const YAML::Node& user, const std::string& path, Config& out) {
  for (const char* plugin : {"exec", "auth-provider"}) {
    if (user[plugin].IsDefined() && !user[plugin].IsNull()) {
      return std::string("its user logs in with ") + (*plugin == 'e' ? "an exec plugin" : "an auth-provider") +
             ", which a program that runs for long cannot use: give it a service account's token or a client "
             "certificate (kubectl create token NAME --duration 24h)";
    }
  }
  if (!text(user, "username").empty())
    return "its user has a username and password, which no API server takes any more";
  if (!text(user, "as").empty()) return "its user impersonates another, which is not supported";
  if (const std::string data = text(user, "client-certificate-data"); !data.empty()) {
    if (!decode_base64(data, out.certificate_pem)) return "its client-certificate-data is not base64";
  } else {
    out.certificate_file = beside(path, text(user, "client-certificate"));
  }
  if (const std::string data = text(user, "client-key-data"); !data.empty()) {
    std::string key;
    if (!decode_base64(data, key)) return "its client-key-data is not base64";
    out.key_pem = Secret(std::move(key));
  } else {
    out.key_file = beside(path, text(user, "client-key"));
  }
  const bool certificate = !out.certificate_pem.empty() || !out.certificate_file.empty();
  const bool key = !out.key_pem.empty() || !out.key_file.empty();
  if (certificate != key) return "its user has only one of client certificate and client key";
  // As client-go: the file wins where both are given.
  out.token_file = beside(path, text(user, "tokenFile"));
  if (out.token_file.empty()) out.token = Secret(text(user, "token"));
  return {};
}

}  // namespace

ConfigOrError load_kubeconfig(const std::string& path, const std::string& context) {
  Result<std::string> content = pki::read_small_file(path, kMaxKubeconfig);
  if (content.has_error()) return wrong("cannot read " + path + ": " + content.error().message());
  const std::string in = "kubeconfig " + path + ": ";
  try {
    const YAML::Node root = YAML::Load(content.value());
    OPENSSL_cleanse(content.value().data(), content.value().size());
    if (!root.IsMap()) return wrong(in + "it is not a kubeconfig file");
    const std::string name = context.empty() ? text(root, "current-context") : context;
    if (name.empty()) return wrong(in + "it has no current-context");
    const YAML::Node chosen = entry(root, "contexts", name, "context");
    if (!chosen.IsDefined()) return wrong(in + "it has no context \"" + name + "\"");
    const std::string cluster_name = text(chosen, "cluster");
    const YAML::Node cluster = entry(root, "clusters", cluster_name, "cluster");
    if (!cluster.IsDefined()) return wrong(in + "it has no cluster \"" + cluster_name + "\"");
    ConfigOrError out;
    if (std::string error = take_cluster(cluster, path, out.config); !error.empty()) return wrong(in + error);
    out.config.name_space = text(chosen, "namespace");
    if (const std::string user_name = text(chosen, "user"); !user_name.empty()) {
      const YAML::Node user = entry(root, "users", user_name, "user");
      if (!user.IsDefined()) return wrong(in + "it has no user \"" + user_name + "\"");
      if (std::string error = take_user(user, path, out.config); !error.empty()) return wrong(in + error);
    }
    return out;
  } catch (const YAML::Exception& error) {
    return wrong(in + "line " + std::to_string(error.mark.line + 1) + " is not YAML");  // its text may be a secret
  }
}

ConfigOrError in_cluster(const std::function<std::string(const char*)>& environment, const std::string& directory) {
  ConfigOrError out;
  out.config.host = environment("KUBERNETES_SERVICE_HOST");
  const std::string port = environment("KUBERNETES_SERVICE_PORT");
  if (out.config.host.empty()) {
    return wrong("not in a pod (KUBERNETES_SERVICE_HOST is not set): give --kubeconfig FILE or --manifests DIR");
  }
  Config parsed;
  const bool v6 = out.config.host.find(':') != std::string::npos;
  if (!parse_server(
          "https://" + (v6 ? "[" + out.config.host + "]" : out.config.host) + ":" + (port.empty() ? "443" : port),
          parsed)) {
    return wrong("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not an address: " + out.config.host + ":" +
                 port);
  }
  out.config = parsed;
  out.config.ca_file = directory + "/ca.crt";
  out.config.token_file = directory + "/token";
  for (const std::string& file : {out.config.ca_file, out.config.token_file}) {
    std::error_code error;
    if (std::filesystem::exists(file, error)) continue;
    return wrong(file + " is missing: the pod needs automountServiceAccountToken: true");
  }
  if (Result<std::string> name = pki::read_small_file(directory + "/namespace", kMaxNamespace); name.has_value()) {
    out.config.name_space = name.value().substr(0, name.value().find_first_of(" \r\n"));
  }
  return out;
}

}  // namespace dbproxy::kubernetes
