// The operator's certificates: its own CA, kept in a Secret that all replicas share and handed to namespaces in a
// ConfigMap, and the leaf that its control stream shows. Blocking, as Client is.
#pragma once

#include <string>

#include "operator/kubernetes/client.hpp"
#include "operator/kubernetes_mode/authorities.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes_mode {

inline constexpr const char* kAuthorityName = "dbproxy-operator-ca";  // of the Secret and of the ConfigMaps
inline constexpr const char* kBundleKey = "ca.pem";

struct CertificateOptions {
  std::string name_space;  // of the Secret
  pki::LeafRequest leaf;
  AuthorityPolicy policy;
};

// For one thread.
class Certificates {
 public:
  Certificates(kubernetes::Client& client, CertificateOptions options, kubernetes::Canceller& canceller,
               const Clock& clock);

  // Looks at the Secret, which is made where there is none: with what this replica had, for everybody trusts that
  // already. Who leads moves the CA on when its time has come. The leaf is issued again when it is due, or another CA
  // signs. True: something is other than before.
  kubernetes::Outcome<bool> keep(bool leads);

  const pki::Authority& authority() const { return known_.active; }  // that signs
  const pki::Identity& leaf() const { return leaf_; }
  const std::string& bundle() const { return bundle_; }  // all that are to be trusted, in PEM

 private:
  kubernetes::Outcome<kubernetes::json::object> find();
  kubernetes::Outcome<kubernetes::json::object> move_on(kubernetes::json::object secret);

  kubernetes::Client& client_;
  const CertificateOptions options_;
  kubernetes::Canceller& canceller_;
  const Clock& clock_;
  Authorities known_;
  pki::Identity leaf_;
  std::string bundle_;
};

// Puts the CAs into the ConfigMap of a namespace. `name_space` is that of the pods.
kubernetes::Failure publish_bundle(kubernetes::Client& client, const std::string& name_space, const std::string& ca_pem,
                                   kubernetes::Canceller& canceller);

}  // namespace dbproxy::kubernetes_mode
