// SecretStore: secrets of Secrets Manager, each read once however many want it, and again to see whether it changed.
//
// A secret is read when it is first wanted, every `poll` (with jitter), and at once when somebody has a reason to think
// that it changed (poke; not twice within two seconds). What could not be read is tried again ever more slowly, from
// 2 s to 5 minutes; a throttled call slows the others to the same service down too. A value that was read stays until
// another one is: nobody loses a password because AWS cannot be asked.
//
// Thread-safe. The callback runs on a thread of the store's own, without its lock, and must not destroy it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "proxy/aws/accounts.hpp"
#include "proxy/aws/environment.hpp"
#include "proxy/aws/secrets_manager.hpp"
#include "proxy/base/clock.hpp"

namespace dbproxy::aws {

// Which secret, and how it is come by.
struct SecretKey {
  std::string arn;
  std::string role_arn;             // assumed first; empty: as who we are
  std::string secrets_manager_url;  // aws.endpointOverrides; empty: AWS's own
  std::string sts_url;
  std::string account = {};  // "namespace/name" of a service account whose role is used; empty: none
  auto operator<=>(const SecretKey&) const = default;
};

struct SecretState {
  bool asked = false;  // there was an answer, or a failure
  std::optional<SecretValue> current;
  // What it was before: seen here, or asked for once a password was refused.
  std::optional<SecretValue> previous;
  Failure failure;  // of the last time it was read
};

struct SecretStoreOptions {
  Environment environment = system_environment();
  std::chrono::milliseconds poll{60'000};
  unsigned threads = 4;                             // at most, and only as many as have something to read
  std::function<void(Failure::Kind)> on_read = {};  // after each, from any of them
  std::shared_ptr<ServiceAccounts> accounts = {};   // none: accounts have no meaning here
};

class SecretStore {
 public:
  // With the owners of secrets whose state changed.
  using Changed = std::function<void(const std::set<std::string>& owners)>;

  SecretStore(SecretStoreOptions options, Changed changed, const Clock& clock);
  ~SecretStore();  // stops
  SecretStore(const SecretStore&) = delete;
  SecretStore& operator=(const SecretStore&) = delete;

  // All that the owner wants from now on.
  void want(const std::string& owner, std::set<SecretKey> keys);
  SecretState state(const SecretKey& key) const;
  // Waits until each secret of the owner was asked for once, or for so long. True if they were.
  bool wait(const std::string& owner, std::chrono::milliseconds at_most) const;
  // Whoever owns them has seen a password refused: read them now, and every 5 s for a minute, since a rotation changes
  // the password first and the secret afterwards.
  void poke(const std::string& owner);
  // Waits for what is under way. Idempotent.
  void stop();

  struct Totals {
    std::uint64_t reads = 0, failures = 0, changes = 0;
  };
  Totals totals() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::aws
