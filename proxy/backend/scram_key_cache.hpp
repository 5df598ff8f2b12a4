// ScramKeyCache: SCRAM keys that were derived before, so that asking a server once a second does not cost 4,096 rounds
// of HMAC each time. A server keeps its salt for as long as the password stays.
//
// Holds what is as good as passwords: nothing is logged, everything is wiped when it goes. Thread-safe; two threads
// that miss at the same time both derive. At most kMaxEntries, then it starts afresh.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "proxy/auth/scram.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::backend {

class ScramKeyCache {
 public:
  using Derive = std::function<auth::ScramKeys(const Secret& password, std::string_view salt, int iterations)>;
  static constexpr std::size_t kMaxEntries = 1000;

  explicit ScramKeyCache(Derive derive = auth::derive_scram_keys) : derive_(std::move(derive)) {}

  // For this user's password. Derived here, by the caller's thread, if need be.
  auth::ScramKeys keys(const std::string& user, const Secret& password, std::string_view salt, int iterations);

 private:
  struct Entry {
    Secret password;
    auth::ScramKeys keys;
  };
  using Key = std::tuple<std::string, int, std::string>;  // user, iterations, salt

  const Derive derive_;
  std::mutex mutex_;
  std::map<Key, Entry> known_;  // guarded by mutex_
};

}  // namespace dbproxy::backend
