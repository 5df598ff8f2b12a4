// Manifests: a directory of multi-document YAML files as typed resources, or as all the reasons why not.
//
// Files *.yaml and *.yml in the order of their names; subdirectories and hidden files are not read. Every error of
// every file is reported at once. Where ok() is false the resources must not be put in force: a caller keeps what it
// had. Functions are pure but for reading files, and may be called from any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/manifest/diagnostic.hpp"
#include "proxy/manifest/resources.hpp"

namespace dbproxy::manifest {

inline constexpr std::string_view kApiVersion = "dbproxy.io/v1alpha1";
inline constexpr std::size_t kMaxFileBytes = 4 << 20;
inline constexpr std::size_t kMaxFiles = 1000;
inline constexpr std::size_t kMaxEndpointsPerProxy = 20;

struct Source {
  std::string name;  // as it is shown in messages
  std::string text;
};

struct Manifests {
  std::vector<DBProxyResource> proxies;
  std::vector<DBProxyEndpointResource> endpoints;
  std::vector<SecretResource> secrets;
  std::vector<ConfigMapResource> config_maps;
  std::vector<Diagnostic> diagnostics;  // by file and line
  std::string digest;                   // of all that was read; equal digests mean equal manifests

  bool ok() const { return !has_errors(diagnostics); }
  const DBProxyResource* find_proxy(std::string_view name_space, std::string_view name) const;
  const SecretResource* find_secret(std::string_view name_space, std::string_view name) const;
  const ConfigMapResource* find_config_map(std::string_view name_space, std::string_view name) const;
};

// A directory that cannot be read is an error diagnostic, not an exception.
Manifests load_directory(const std::filesystem::path& directory);
Manifests load_sources(const std::vector<Source>& sources);

// What load_directory would put into `digest` now, without parsing.
std::string digest_directory(const std::filesystem::path& directory);

}  // namespace dbproxy::manifest
