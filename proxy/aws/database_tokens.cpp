#include "proxy/aws/database_tokens.hpp"

#include "proxy/aws/database_token.hpp"
#include "proxy/aws/sts.hpp"

namespace dbproxy::aws {

DatabaseTokens::DatabaseTokens(Environment environment, const Clock& clock, std::shared_ptr<ServiceAccounts> accounts)
    : environment_(environment), clock_(clock), principals_(std::move(environment), clock, std::move(accounts)) {}

Principal DatabaseTokens::principal(const TokenSubject& subject, const std::string& region) {
  return {subject.role_arn, subject.account, subject.sts_url, region};
}

std::string DatabaseTokens::region(const TokenSubject& subject) const {
  if (!subject.region.empty()) return subject.region;
  std::string of_host = region_of_host(subject.host);
  return of_host.empty() ? region_of(environment_) : of_host;
}

Outcome<Secret> DatabaseTokens::make(const TokenSubject& subject) {
  const std::string where = region(subject);
  if (where.empty()) {
    return Failure{Failure::Kind::kNotConfigured,
                   "the region of " + subject.host + " is not known, and a token is good for one region only",
                   "set aws.region in the DBProxy"};
  }
  const Outcome<CredentialsPtr> keys = principals_.of(principal(subject, where))->get();
  if (!keys.ok()) return keys.failure;
  return make_database_token(subject.host, subject.port, subject.user, where, *keys.value, clock_.wall());
}

void DatabaseTokens::refused(const TokenSubject& subject) {
  principals_.of(principal(subject, region(subject)))->forget();
}

}  // namespace dbproxy::aws
