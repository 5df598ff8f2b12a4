// Who a sidecar is, and which DBProxies it may have: from its token.
//
// In manifest mode tokens are files of the state directory, `tokens/<identity>` with mode 0600: the first line is the
// token (32 random bytes in hexadecimal), each further line the namespace/name of a DBProxy that it is good for;
// without such lines it is good for all. Files are looked at with every check, so adding or deleting one needs no
// restart; one that has not changed is not read again.
// On Kubernetes it is the pod's projected token (operator/kubernetes_mode). Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "proxy/base/result.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::operator_control {

struct Verdict {
  enum class Kind {
    kGood,
    kUnknownToken,
    kOtherIdentity,
    kRefused,  // the token is good, and what it stands for may not connect: `message`
    kLater,    // cannot be told now: `message`
  };
  Kind kind = Kind::kUnknownToken;
  std::vector<std::string> proxies;  // empty: all
  std::string message = {};          // a sentence for the sidecar's log
  // Bound to them, and not let in now: nothing is served of these, and the others are not the worse for it.
  std::vector<std::string> withheld = {};
};

class TokenStore {
 public:
  virtual ~TokenStore() = default;
  // `done` is called once, now or later, on any thread. The default asks `verify`.
  virtual void check(const Secret& token, const std::string& identity, std::function<void(Verdict)> done) const {
    done(verify(token, identity));
  }
  // Whether a stream that was let in may go on. Does not block.
  virtual bool still_good(const Secret& token, const std::string& identity) const {
    return verify(token, identity).kind == Verdict::Kind::kGood;
  }
  // Told that a good token asked for a DBProxy that it is not good for; the stream is ended by the caller.
  virtual void overreached(const Secret&, const std::string& /*identity*/, const std::string& /*proxy*/) const {}

 protected:
  virtual Verdict verify(const Secret& token, const std::string& identity) const = 0;
};

class FileTokenStore final : public TokenStore {
 public:
  // `settles`: until then a file that was written may be written again without looking so.
  explicit FileTokenStore(std::string state_dir, std::chrono::seconds settles = std::chrono::seconds(2))
      : directory_(std::move(state_dir) + "/tokens"), settles_(settles) {}

  Verdict verify(const Secret& token, const std::string& identity) const override;
  bool still_good(const Secret& token, const std::string& identity) const override;

  // Whether there is one; where that cannot be told, yes.
  bool exists(const std::string& identity) const;
  // Makes the identity's token unless it has one, in a directory of mode 0700. Returns the file's path; an existing
  // file is left as it is.
  Result<std::string> ensure(const std::string& identity, const std::vector<std::string>& proxies = {}) const;

 private:
  using Stamp = std::tuple<std::uint64_t, std::int64_t, std::int64_t, std::int64_t>;  // a file's, when it was read
  std::string directory_;
  std::chrono::seconds settles_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, std::pair<Stamp, Secret>> good_;  // by identity
};

// NAME or NAMESPACE/NAME, each of letters, digits, '.', '_' and '-' and not beginning with a dot; at most 253 in all:
// good as a path below a directory and in a log line.
bool valid_identity(const std::string& identity);

}  // namespace dbproxy::operator_control
