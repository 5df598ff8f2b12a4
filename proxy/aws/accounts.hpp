// ServiceAccounts: service accounts of Kubernetes whose roles are used: where their tokens come from, and what is wrong
// with each.
//
// Shared by all that get credentials by them. Thread-safe; `get` blocks for the API server's answer.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "proxy/aws/failure.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::aws {

// With the token STS lets whoever has it be the role.
struct AccountToken {
  std::string role_arn;
  Secret token;
};

class ServiceAccounts {
 public:
  using Source = std::function<Outcome<AccountToken>(const std::string& account)>;  // by "namespace/name"
  using Changed = std::function<void(const std::string& account)>;                  // must not block, nor call back

  // Before anybody asks.
  void provide(Source source) { source_ = std::move(source); }
  // From now on; none: nobody is told any more, once this returns.
  void listen(Changed changed);

  Outcome<AccountToken> get(const std::string& account) const;
  // How the last attempt to use it went; no failure: well.
  void note(const std::string& account, const Failure& failure);
  Failure trouble(const std::string& account) const;

 private:
  Source source_;
  std::mutex listening_;  // taken before the other
  Changed changed_;
  mutable std::mutex mutex_;
  std::map<std::string, Failure> troubles_;
};

}  // namespace dbproxy::aws
