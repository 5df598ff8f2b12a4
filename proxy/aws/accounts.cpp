#include "proxy/aws/accounts.hpp"

namespace dbproxy::aws {

void ServiceAccounts::listen(Changed changed) {
  const std::lock_guard lock(listening_);
  changed_ = std::move(changed);
}

Outcome<AccountToken> ServiceAccounts::get(const std::string& account) const {
  if (source_) return source_(account);
  return Failure{Failure::Kind::kNotConfigured, "service account " + account + ": there is no Kubernetes here", ""};
}

void ServiceAccounts::note(const std::string& account, const Failure& failure) {
  const std::lock_guard telling(listening_);
  {
    const std::lock_guard lock(mutex_);
    const auto known = troubles_.find(account);
    if (known == troubles_.end() ? !failure : known->second == failure) return;
    if (failure) {
      troubles_[account] = failure;
    } else {
      troubles_.erase(known);
    }
  }
  if (changed_) changed_(account);
}

Failure ServiceAccounts::trouble(const std::string& account) const {
  const std::lock_guard lock(mutex_);
  const auto known = troubles_.find(account);
  return known == troubles_.end() ? Failure{} : known->second;
}

}  // namespace dbproxy::aws
