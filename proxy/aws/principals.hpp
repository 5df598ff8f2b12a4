// Principals: credentials of who we are, of roles that we assume, and of service accounts of Kubernetes, each fetched
// once however many want them. Thread-safe; what is handed out may outlive it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "proxy/aws/accounts.hpp"
#include "proxy/aws/credential_cache.hpp"
#include "proxy/aws/environment.hpp"

namespace dbproxy::aws {

// Who something of AWS is asked as. Neither role nor account: as who we are.
struct Principal {
  std::string role_arn;  // assumed first
  std::string account;   // "namespace/name" of a service account, which brings its own role
  std::string sts_url;   // in the place of AWS's own
  std::string region;    // where STS is asked when the environment does not say
  auto operator<=>(const Principal&) const = default;
};

class Principals {
 public:
  Principals(Environment environment, const Clock& clock, std::shared_ptr<ServiceAccounts> accounts = nullptr);

  std::shared_ptr<CredentialCache> of(const Principal& principal);

 private:
  const Environment environment_;
  const Clock& clock_;
  const std::shared_ptr<ServiceAccounts> accounts_;
  std::mutex mutex_;
  std::map<Principal, std::shared_ptr<CredentialCache>> caches_;
};

}  // namespace dbproxy::aws
