#include "proxy/aws/principals.hpp"

#include "proxy/aws/credential_chain.hpp"

namespace dbproxy::aws {
namespace {

constexpr const char* kSession = "dbproxy";

}  // namespace

Principals::Principals(Environment environment, const Clock& clock)
    : environment_(std::move(environment)), clock_(clock) {}

std::shared_ptr<CredentialCache> Principals::of(const std::string& role_arn, const std::string& sts_url,
                                                const std::string& region) {
  const std::lock_guard lock(mutex_);
  auto& mine = caches_[""];
  if (!mine) {
    mine = std::make_shared<CredentialCache>([environment = environment_] { return find_credentials(environment); },
                                             clock_);
  }
  if (role_arn.empty()) return mine;
  auto& role = caches_[role_arn + " " + sts_url + " " + region];
  if (!role) {
    const auto fetch = [environment = environment_, &clock = clock_, base = mine, role_arn, sts_url,
                        region]() -> Outcome<Credentials> {
      Outcome<CredentialsPtr> from = base->get();
      if (!from.ok()) return from.failure;
      const std::string here = region_of(environment);
      return assume_role(environment, {here.empty() ? region : here, sts_url}, role_arn, kSession, *from.value,
                         clock.wall());
    };
    role = std::make_shared<CredentialCache>(fetch, clock_);
  }
  return role;
}

}  // namespace dbproxy::aws
