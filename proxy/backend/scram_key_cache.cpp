#include "proxy/backend/scram_key_cache.hpp"

namespace dbproxy::backend {

auth::ScramKeys ScramKeyCache::keys(const std::string& user, const Secret& password, std::string_view salt,
                                    int iterations) {
  Key key(user, iterations, salt);
  {
    std::lock_guard lock(mutex_);
    auto it = known_.find(key);
    // A server may keep its salt over a change of the password.
    if (it != known_.end() && it->second.password == password) return it->second.keys;
  }
  auto derived = derive_(password, salt, iterations);
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxEntries && !known_.contains(key)) known_.clear();
  known_.insert_or_assign(std::move(key), Entry{password, derived});
  return derived;
}

}  // namespace dbproxy::backend
