// The operator's own CA, kept in a Secret and handed to namespaces in a ConfigMap. Blocking, as Client is.
#pragma once

#include <string>

#include "operator/kubernetes/client.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes_mode {

inline constexpr const char* kAuthorityName = "dbproxy-operator-ca";  // of the Secret and of the ConfigMaps
inline constexpr const char* kBundleKey = "ca.pem";

// The CA of the Secret (tls.crt, tls.key) in that namespace. Where there is none whichever replica is first makes it:
// `known`, if this replica has one that everybody trusts already, else a new one.
kubernetes::Outcome<pki::Authority> shared_authority(kubernetes::Client& client, const std::string& name_space,
                                                     const Clock& clock, kubernetes::Canceller& canceller,
                                                     const pki::Authority* known = nullptr);

// Puts the CA into the ConfigMap of a namespace. `name_space` is that of the pods.
kubernetes::Failure publish_bundle(kubernetes::Client& client, const std::string& name_space, const std::string& ca_pem,
                                   kubernetes::Canceller& canceller);

}  // namespace dbproxy::kubernetes_mode
