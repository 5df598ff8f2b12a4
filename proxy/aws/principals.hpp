// Principals: credentials of who we are, and of roles that we assume, each fetched once however many want them.
// Thread-safe; what is handed out may outlive it.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "proxy/aws/credential_cache.hpp"
#include "proxy/aws/environment.hpp"

namespace dbproxy::aws {

class Principals {
 public:
  Principals(Environment environment, const Clock& clock);

  // `role_arn`: assumed first; empty: as who we are. `sts_url`: in the place of AWS's own. `region`: where STS is asked
  // when the environment does not say.
  std::shared_ptr<CredentialCache> of(const std::string& role_arn, const std::string& sts_url,
                                      const std::string& region);

 private:
  const Environment environment_;
  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<CredentialCache>> caches_;
};

}  // namespace dbproxy::aws
