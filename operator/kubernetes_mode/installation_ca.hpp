// InstallationCa: how a DBProxy comes to trust the CAs of databases that the installation has (--rds-ca). Pure.
//
// To what reads manifests it is one more ConfigMap, of a name that no object of Kubernetes can have.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

namespace dbproxy::kubernetes_mode {

// A ConfigMap that is in no namespace: of what the installation itself trusts.
inline constexpr const char* kInstallationCa = "dbproxy.installation-ca";

// Has the spec refer to the installation's CA where it names none, and where tokens are sent: whoever has a token is
// the user, and a namespace could vouch for a server of its own. Returns whether it does; `replaced`: in another's
// place.
bool refer_to_installation_ca(boost::json::object& spec, bool& replaced);

// What it refers to, as a manifest of this namespace.
std::string installation_ca_text(std::string_view name_space, const std::string& pem);

}  // namespace dbproxy::kubernetes_mode
