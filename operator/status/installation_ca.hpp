// InstallationCa: how a DBProxy comes to trust the CAs of databases that the installation has (--rds-ca), and what only
// those may vouch for. Pure.
//
// To what reads manifests it is one more ConfigMap. The one that a namespace has by that name is never read.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/manifest/diagnostic.hpp"

namespace dbproxy::operator_status {

// A ConfigMap of no namespace: what the installation itself trusts.
inline constexpr const char* kInstallationCa = "dbproxy.installation-ca";

struct CaUse {
  bool refers = false;    // the spec refers to the installation's CA now
  bool replaced = false;  // in the place of one that it named
  bool missing = false;   // it would have to, and there is none
};

// Has the spec refer to the installation's CA where it names none, and where tokens are sent: whoever has a token is
// the user, and a namespace could vouch for a server of its own. `there`: the installation has one.
CaUse refer_to_installation_ca(boost::json::object& spec, bool there);

// What is to be said of that, in the place of what the loader says of a missing caRef, of DBProxy `key`.
void tell_ca_use(const CaUse& use, const std::string& key, std::vector<manifest::Diagnostic>& diagnostics);

// What it refers to, as a manifest of this namespace.
std::string installation_ca_text(std::string_view name_space, const std::string& pem);

}  // namespace dbproxy::operator_status
