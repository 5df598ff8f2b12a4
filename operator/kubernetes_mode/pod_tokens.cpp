#include "operator/kubernetes_mode/pod_tokens.hpp"

#include <algorithm>
#include <openssl/sha.h>

#include "operator/kubernetes/objects.hpp"
#include "operator/webhook/selector.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

using operator_control::Verdict;

constexpr std::size_t kThreads = 4;
constexpr std::size_t kMostJobs = 10'000;
constexpr std::size_t kMostKnown = 50'000;

kubernetes::ReviewOptions review_options() {
  kubernetes::ReviewOptions out;
  out.audience = "dbproxy-operator";
  out.per_second = 500;  // as many streams as are admitted
  out.burst = 500;
  return out;
}

Verdict later(std::string message) {
  return {Verdict::Kind::kLater, {}, std::move(message)};
}

}  // namespace

PodTokens::PodTokens(kubernetes::Client& client, const kubernetes::Reflector& pods, SelectorOf selector_of,
                     Refused refused, const Clock& clock)
    : pods_(pods),
      client_(client),
      selector_of_(std::move(selector_of)),
      refused_(std::move(refused)),
      clock_(clock),
      reviewer_(client, review_options(), clock) {
  for (std::size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this] { run(); });
}

PodTokens::~PodTokens() {
  std::deque<Job> left;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    left.swap(jobs_);
  }
  wake_.notify_all();
  for (std::thread& each : threads_) each.join();
  for (Job& job : left) job.done(later("the operator is stopping"));
}

PodTokens::Digest PodTokens::digest_of(const Secret& token) {
  Digest out{};
  SHA256(reinterpret_cast<const unsigned char*>(token.reveal().data()), token.reveal().size(), out.data());
  return out;
}

void PodTokens::check(const Secret& token, const std::string& identity, std::function<void(Verdict)> done) const {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_ && jobs_.size() < kMostJobs) {
      jobs_.push_back({token, identity, std::move(done)});
      wake_.notify_one();
      return;
    }
  }
  done(later("too many sidecars connect at once, try again"));
}

void PodTokens::run() const {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
      if (stopping_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job.done(verify(job.token, job.identity));
  }
}

Verdict PodTokens::refuse(const PodFacts& pod, std::string reason) const {
  ++refused_count_;
  if (refused_) refused_(pod, reason);
  return {Verdict::Kind::kRefused, {}, std::move(reason)};
}

PodTokens::Admitted PodTokens::admitted(const PodFacts& pod) const {
  Admitted out;
  if (pod.proxies.empty()) {
    out.reason = "the pod's sidecar names no DBProxy (--proxy): it was not made by the webhook";
    return out;
  }
  for (const std::string& proxy : pod.proxies) {
    if (proxy.rfind(pod.name_space + "/", 0) != 0) {
      return {{}, {}, "the pod asks for the DBProxy " + proxy.substr(0, 128) + " of another namespace"};
    }
    const Selector selector = selector_of_(proxy);
    // Nothing is served of one that does not exist until it does.
    const bool good = !selector.exists || (selector.selector && webhook::selects(*selector.selector, &pod.labels));
    (good ? out.yes : out.no).push_back(proxy);
    if (!good && out.reason.empty()) out.reason = "the podSelector of DBProxy " + proxy + " does not admit the pod";
  }
  return out;
}

Verdict PodTokens::verify(const Secret& token, const std::string& identity) const {
  const kubernetes::Outcome<kubernetes::TokenIdentity> review = reviewer_.review(token);
  if (review.has_error()) {
    if (!review.error().status(429)) {
      log::warn("kubernetes", "a token cannot be reviewed", {{"error", review.error().text()}});
    }
    return later("the token cannot be reviewed now");
  }
  PodFacts pod;
  pod.name_space = review->name_space();
  pod.name = review->pod_name;
  pod.uid = review->pod_uid;
  if (!review->authenticated) return {Verdict::Kind::kUnknownToken, {}, "the API server does not know the token"};
  if (pod.name_space.empty() || pod.name.empty() || pod.uid.empty()) {
    return refuse({}, "the token is not one that was projected into a pod");
  }
  const std::string key = pod.key();
  if (identity != key) return {Verdict::Kind::kOtherIdentity, {}, ""};

  kubernetes::ObjectPtr object = pods_.store().get(key);
  const bool mirrored = object && kubernetes::text_at(*object, {"metadata", "uid"}) == pod.uid;
  if (!mirrored) {
    kubernetes::Outcome<boost::json::object> live =
        kubernetes::get(client_, {{"", "v1", "pods"}, pod.name_space, pod.name});
    if (live.has_error()) {
      return live.error().not_found() ? refuse(pod, "the pod is gone") : later("the pod cannot be read now");
    }
    object = std::make_shared<const boost::json::object>(trim_pod(std::move(*live)));
  }
  const std::string uid = pod.uid;
  pod = facts_of(*object);
  if (pod.uid != uid) return refuse(pod, "the token is of an earlier pod of that name");
  if (pod.terminating || pod.ended) return refuse(pod, "the pod is ending");
  if (!pod.sidecar) return refuse(pod, "the pod has no container named dbproxy");
  Admitted admission = admitted(pod);
  if (admission.yes.empty()) return refuse(pod, std::move(admission.reason));
  if (!admission.no.empty()) refuse(pod, admission.reason);  // told and counted; the others are served
  {
    const std::lock_guard lock(mutex_);
    if (known_.size() >= kMostKnown) {
      std::erase_if(known_, [&](const auto& each) { return each.second.expires <= clock_.now(); });
      if (known_.size() >= kMostKnown) known_.erase(known_.begin());
    }
    known_[digest_of(token)] = {pod, admission.yes, review->expires, mirrored};
  }
  return {Verdict::Kind::kGood, std::move(admission.yes), "", std::move(admission.no)};
}

void PodTokens::overreached(const Secret& token, const std::string& identity, const std::string& proxy) const {
  PodFacts pod;
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(digest_of(token));
    if (found == known_.end() || found->second.pod.key() != identity) return;
    pod = found->second.pod;
  }
  refuse(pod, "the pod's sidecar asks for the DBProxy " + proxy + ", and the pod is not bound to it");
}

bool PodTokens::still_good(const Secret& token, const std::string& identity) const {
  Known known;
  {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(digest_of(token));
    if (found == known_.end()) return false;
    known = found->second;
    if (known.expires <= clock_.now()) {
      known_.erase(found);
      return false;
    }
  }
  if (known.pod.key() != identity) return false;
  const kubernetes::ObjectPtr object = pods_.store().get(identity);
  if (!object) {
    // Gone, or its label is: the next connect looks at it live. One that never was among the labelled ones is judged by
    // what it was then; its end is the end of its connection.
    return !known.mirrored && admitted(known.pod).yes == known.proxies;
  }
  const PodFacts pod = facts_of(*object);
  // Where others are admitted now than before, it connects anew and gets them.
  return pod.uid == known.pod.uid && !pod.ended && admitted(pod).yes == known.proxies;
}

}  // namespace dbproxy::kubernetes_mode
