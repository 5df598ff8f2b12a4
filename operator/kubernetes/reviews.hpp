// Reviews: who a token belongs to, and what someone may do, as the API server judges it.
//
// Tokens go to the API server in the body of a request over verified TLS, and are kept nowhere: the cache knows them by
// their SHA-256. TokenReviewer is thread-safe; its calls block as Client's do.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "operator/kubernetes/client.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::kubernetes {

struct TokenIdentity {
  bool authenticated = false;
  std::string username;  // system:serviceaccount:NAMESPACE:NAME
  std::vector<std::string> groups;
  std::string pod_name, pod_uid;  // of a projected token; "" for others
  std::string error;              // the server's words where it is not authenticated
  TimePoint expires{};            // when the token itself ends; far away where it does not say
  // The namespace of a service account; "" for anyone else.
  std::string name_space() const;
};

struct ReviewOptions {
  std::string audience;
  double per_second = 100, burst = 200;  // reviews that reach the server
  std::chrono::seconds keep_good{60}, keep_bad{10};
  std::size_t most = 20'000;  // kept verdicts
};

class TokenReviewer {
 public:
  TokenReviewer(Client& client, ReviewOptions options, const Clock& clock);

  // A Failure of status 429 where there are too many at once. A verdict may be `keep_good` old.
  Outcome<TokenIdentity> review(const Secret& token);

 private:
  using Digest = std::array<unsigned char, 32>;
  struct Entry {
    TokenIdentity identity;
    TimePoint until;
  };
  bool admit();                                  // with the lock
  void keep(const Digest& digest, Entry entry);  // with the lock

  Client& client_;
  const ReviewOptions options_;
  const Clock& clock_;
  std::mutex mutex_;
  double tokens_;
  TimePoint last_;
  std::map<Digest, Entry> cache_;
};

struct Access {
  std::string user;
  std::vector<std::string> groups;
  std::string verb, group, resource, name_space, name;
};
// SubjectAccessReview: whether that is allowed.
Outcome<bool> may(Client& client, const Access& access);

struct BoundToken {
  Secret token;
  std::int64_t seconds = 0;  // that it was asked to live
};
// TokenRequest: a token of the service account for that audience.
Outcome<BoundToken> request_token(Client& client, const std::string& name_space, const std::string& service_account,
                                  const std::string& audience, std::chrono::seconds lifetime);

// The `exp` claim (seconds since the epoch) of a JWT whose signature someone else has judged; 0 where there is none.
std::int64_t token_expiry(std::string_view jwt);

}  // namespace dbproxy::kubernetes
