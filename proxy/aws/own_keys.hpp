// OwnKeys: the keys that this process has, and those that it has handed to others beside it.
//
// Applications without keys of their own get them from the sidecar (proxy/admin/credentials_endpoint.hpp), so that it
// knows with what they sign. Handed out are temporary keys only: where this process has lasting ones, STS makes
// temporary ones of them (GetSessionToken). What was handed out is remembered until it expires.
//
// All methods block while keys are fetched or STS is asked. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/aws/principals.hpp"

namespace dbproxy::aws {

class OwnKeys {
 public:
  OwnKeys(Environment environment, const Clock& clock);

  // What this process has itself, now.
  Outcome<CredentialsPtr> own();
  // For somebody else. They expire at the time that they say, or nobody knows when.
  Outcome<CredentialsPtr> lend();
  // Those with this id, its own or lent ones; null where it knows none, with own()'s failure if that is why.
  Outcome<CredentialsPtr> find(const std::string& access_key_id);
  // The ARN of whose keys these are, as STS says it; asked once for each id.
  Outcome<std::string> whose(const CredentialsPtr& keys, const std::string& region, const std::string& sts_url);

 private:
  const Environment environment_;
  const Clock& clock_;
  Principals principals_;
  CredentialCache session_;
  std::mutex mutex_;
  std::map<std::string, CredentialsPtr> lent_;  // by id
  std::map<std::string, std::string> arns_;     // likewise
};

}  // namespace dbproxy::aws
