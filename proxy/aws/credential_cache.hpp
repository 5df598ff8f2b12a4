// CredentialCache: the credentials of one principal, fetched when they are first needed and again before they end.
//
// They are fetched anew when less than a fifth of their life is left (at least 1, at most 15 minutes; with jitter, so
// that a fleet that started at once does not ask at once). While that fails those at hand are used for as long as they
// are good, and it is tried again after 1 s, then ever more slowly up to 30 s. Thread-safe; `get` blocks for a fetch.
#pragma once

#include <functional>
#include <memory>
#include <mutex>

#include "proxy/aws/credentials.hpp"
#include "proxy/aws/failure.hpp"
#include "proxy/base/clock.hpp"

namespace dbproxy::aws {

using CredentialsPtr = std::shared_ptr<const Credentials>;

class CredentialCache {
 public:
  using Fetch = std::function<Outcome<Credentials>()>;
  using Random = std::function<double()>;  // in [0, 1)

  CredentialCache(Fetch fetch, const Clock& clock, Random random);
  CredentialCache(Fetch fetch, const Clock& clock);

  Outcome<CredentialsPtr> get();
  // AWS refused them: fetch before they are used again.
  void forget();

 private:
  void schedule(const Credentials& fresh, WallTime now);

  const Fetch fetch_;
  const Clock& clock_;
  const Random random_;
  std::mutex mutex_;
  CredentialsPtr held_;
  WallTime refresh_at_{};
  WallTime retry_at_{};
  Duration pause_{};
  Failure failure_;
};

}  // namespace dbproxy::aws
