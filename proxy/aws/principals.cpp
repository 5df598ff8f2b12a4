#include "proxy/aws/principals.hpp"

#include "proxy/aws/credential_chain.hpp"

namespace dbproxy::aws {
namespace {

constexpr const char* kSession = "dbproxy";

StsOptions sts_of(const Environment& environment, const Principal& principal) {
  const std::string here = region_of(environment);
  return {here.empty() ? principal.region : here, principal.sts_url};
}

Outcome<Credentials> become(const Environment& environment, ServiceAccounts& accounts, const Principal& principal) {
  const Outcome<AccountToken> token = accounts.get(principal.account);
  if (!token.ok()) return token.failure;
  return assume_role_with_web_identity(environment, sts_of(environment, principal), token.value.role_arn, kSession,
                                       token.value.token, "service account " + principal.account);
}

}  // namespace

Principals::Principals(Environment environment, const Clock& clock, std::shared_ptr<ServiceAccounts> accounts)
    : environment_(std::move(environment)), clock_(clock), accounts_(std::move(accounts)) {}

std::shared_ptr<CredentialCache> Principals::of(const Principal& principal) {
  const std::lock_guard lock(mutex_);
  auto& mine = caches_[{}];
  if (!mine) {
    mine = std::make_shared<CredentialCache>([environment = environment_] { return find_credentials(environment); },
                                             clock_);
  }
  const bool account = !principal.account.empty() && accounts_;
  if (!account && principal.role_arn.empty()) return mine;
  auto& known = caches_[principal];
  if (known) return known;
  if (account) {
    known = std::make_shared<CredentialCache>(
        [environment = environment_, accounts = accounts_, principal]() -> Outcome<Credentials> {
          Outcome<Credentials> out = become(environment, *accounts, principal);
          accounts->note(principal.account, out.failure);
          return out;
        },
        clock_);
    return known;
  }
  const auto fetch = [environment = environment_, &clock = clock_, base = mine, principal]() -> Outcome<Credentials> {
    const Outcome<CredentialsPtr> from = base->get();
    if (!from.ok()) return from.failure;
    return assume_role(environment, sts_of(environment, principal), principal.role_arn, kSession, *from.value,
                       clock.wall());
  };
  known = std::make_shared<CredentialCache>(fetch, clock_);
  return known;
}

}  // namespace dbproxy::aws
