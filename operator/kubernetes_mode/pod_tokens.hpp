// PodTokens: who a sidecar is, from its pod's projected token, and which DBProxies it may have.
//
// The API server says whose token it is (TokenReview, with the pod's name and uid); the pod's own immutable arguments
// say what it is bound to (binding.hpp), and each DBProxy's podSelector whether it admits the pod. A token that is not
// a pod's, a pod that is gone, terminating or bound to another namespace, and a DBProxy that does not admit it are
// refused in words, counted, and told to `refused`. Of several DBProxies those that admit the pod are served.
//
// `check` answers on one of four threads of its own; `still_good` never blocks. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "operator/control/token_store.hpp"
#include "operator/kubernetes/reflector.hpp"
#include "operator/kubernetes/reviews.hpp"
#include "operator/kubernetes_mode/binding.hpp"
#include "proxy/manifest/resources.hpp"

namespace dbproxy::kubernetes_mode {

class PodTokens final : public operator_control::TokenStore {
 public:
  // The podSelector of a DBProxy. `exists`: there is one of that name; without a selector it admits nobody.
  struct Selector {
    bool exists = false;
    std::optional<manifest::PodSelector> selector;
  };
  using SelectorOf = std::function<Selector(const std::string& proxy)>;
  using Refused = std::function<void(const PodFacts& pod, const std::string& reason)>;

  // `pods`: a mirror of the labelled pods, trimmed by trim_pod; others are read live. All outlive it.
  PodTokens(kubernetes::Client& client, const kubernetes::Reflector& pods, SelectorOf selector_of, Refused refused,
            const Clock& clock);
  ~PodTokens() override;  // stops; who waits is told to come later

  void check(const Secret& token, const std::string& identity,
             std::function<void(operator_control::Verdict)> done) const override;
  bool still_good(const Secret& token, const std::string& identity) const override;

  void overreached(const Secret& token, const std::string& identity, const std::string& proxy) const override;

  std::uint64_t refused() const { return refused_count_; }

 protected:
  operator_control::Verdict verify(const Secret& token, const std::string& identity) const override;

 private:
  using Digest = std::array<unsigned char, 32>;
  struct Job {
    Secret token;
    std::string identity;
    std::function<void(operator_control::Verdict)> done;
  };
  struct Known {                       // a token that was found good
    PodFacts pod;                      // as it was then
    std::vector<std::string> proxies;  // that it was let in to
    TimePoint expires;
    bool mirrored = false;  // the pod is among `pods`, so that its end is seen
  };

  void run() const;
  operator_control::Verdict refuse(const PodFacts& pod, std::string reason) const;
  // Of the DBProxies that a pod is bound to.
  struct Admitted {
    std::vector<std::string> yes, no;
    std::string reason;  // why not, of the first; or why none can be
  };
  Admitted admitted(const PodFacts& pod) const;
  static Digest digest_of(const Secret& token);

  const kubernetes::Reflector& pods_;
  kubernetes::Client& client_;
  const SelectorOf selector_of_;
  const Refused refused_;
  const Clock& clock_;
  mutable kubernetes::TokenReviewer reviewer_;
  mutable std::atomic<std::uint64_t> refused_count_{0};
  mutable std::mutex mutex_;
  mutable std::condition_variable wake_;
  mutable std::deque<Job> jobs_;
  mutable std::map<Digest, Known> known_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace dbproxy::kubernetes_mode
