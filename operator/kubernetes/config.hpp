// Config: where the API server is, whom to trust and who we are.
//
// From a kubeconfig file (the format of client-go's clientcmd v1) or from what a pod is given. Files that are named in
// it are read at each connection (CA, client certificate) or each request (token), so what is rotated is taken up.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "proxy/base/secret.hpp"

namespace dbproxy::kubernetes {

struct Config {
  std::string host;  // name or address, without brackets
  std::uint16_t port = 443;
  bool tls = true;
  std::string base_path;    // "" or "/path" where the server is behind one
  std::string server_name;  // that the certificate must have; empty: `host`
  bool skip_verify = false;
  // Of each pair at most one is set. Without a CA the system's own are trusted.
  std::string ca_pem, ca_file;
  std::string certificate_pem, certificate_file;
  Secret key_pem;
  std::string key_file;
  Secret token;
  std::string token_file;
  std::string name_space;  // of the context, or of the pod's service account
};

struct ConfigOrError {
  Config config;
  std::string error;  // empty: good. Otherwise a sentence
};

// `context` empty: the current one. Exec plugins and auth providers are refused in words.
ConfigOrError load_kubeconfig(const std::string& path, const std::string& context = {});

// What a pod has: KUBERNETES_SERVICE_HOST and _PORT, and the service account's directory.
ConfigOrError in_cluster(const std::function<std::string(const char*)>& environment,
                         const std::string& directory = "/var/run/secrets/kubernetes.io/serviceaccount");

}  // namespace dbproxy::kubernetes
