// DatabaseTokens: tokens for database users, signed by whom the process is or by a role that it assumes.
//
// A token is made for one connection and not kept. make() blocks while credentials are fetched, which is rare; any
// thread.
#pragma once

#include <cstdint>
#include <string>

#include "proxy/aws/principals.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::aws {

struct TokenSubject {
  std::string host;  // by which the database knows itself
  std::uint16_t port = 0;
  std::string user;
  std::string region;        // empty: that of the host's name, or of the environment
  std::string role_arn;      // assumed first; empty: as who we are
  std::string sts_url;       // empty: AWS's own
  std::string account = {};  // "namespace/name" of a service account whose role is used; empty: none
};

class DatabaseTokens {
 public:
  DatabaseTokens(Environment environment, const Clock& clock, std::shared_ptr<ServiceAccounts> accounts = nullptr);

  Outcome<Secret> make(const TokenSubject& subject);
  // The database refused one: the credentials are fetched anew before the next.
  void refused(const TokenSubject& subject);

 private:
  std::string region(const TokenSubject& subject) const;
  static Principal principal(const TokenSubject& subject, const std::string& region);

  const Environment environment_;
  const Clock& clock_;
  Principals principals_;
};

}  // namespace dbproxy::aws
