// Operator: what becomes of pods, and what people are told of them.
#include "operator/kubernetes_mode/operator.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

constexpr std::chrono::seconds kLateToGo{30};  // of a pod that was deleted

}  // namespace

// The word of the API server is not enough for a pod whose node is lost: its processes may go on. Once it should be
// gone the database is asked.
operator_control::Fate Operator::pod_fate(const std::string& identity) const {
  using operator_control::Fate;
  if (!pods_->synced()) return Fate::kThere;
  const kubernetes::ObjectPtr object = pods_->store().get(identity);
  if (!object) return Fate::kGone;
  const PodFacts pod = facts_of(*object);
  if (pod.sidecar_ended) return Fate::kEnded;
  const auto deadline = kubernetes::parse_time(pod.deadline);
  return deadline && clock_.wall() - *deadline > kLateToGo ? Fate::kGone : Fate::kThere;
}

void Operator::budget_news(const operator_control::BudgetNews& news) {
  const std::string count = std::to_string(news.slots);
  using Kind = operator_control::BudgetNews::Kind;
  if (news.kind != Kind::kLost) {
    const kubernetes::ObjectPtr object = pods_->store().get(news.identity);
    if (!object) return;
    const PodFacts pod = facts_of(*object);
    if (news.kind == Kind::kGaveWay) {
      events_->post({{"v1", "Pod", pod.name_space, pod.name, pod.uid},
                     true,
                     "TransactionsGaveWay",
                     "Lease",
                     "idle transactions of the pod, " + count + ", were ended: they held connections of DBProxy " +
                         news.proxy + " beyond the pod's share, while others waited, for longer than its " +
                         "giveBackTimeoutSeconds"});
      return;
    }
    events_->post({{"v1", "Pod", pod.name_space, pod.name, pod.uid},
                   true,
                   "SidecarSilent",
                   "Lease",
                   "the pod's sidecar has not been heard of for 15 s; the " + count + " connections of DBProxy " +
                       news.proxy + " that it may have stay its own until it is back or gone"});
    return;
  }
  const ProxyStatePtr state = source_->state(news.proxy);
  const std::size_t slash = news.proxy.find('/');
  events_->post({{"dbproxy.io/v1alpha1", "DBProxy", news.proxy.substr(0, slash), news.proxy.substr(slash + 1),
                  state ? state->uid : std::string()},
                 true,
                 "ConnectionsUnaccounted",
                 "Lease",
                 "the pod " + news.identity + " is gone, and up to " + count +
                     " connections of it may be left at the database; they are counted until it shows none that no "
                     "sidecar tells of"});
}

void Operator::pod_changed(const kubernetes::Change& change) {
  if (change.before) server_->recheck();  // it went, or its labels may have changed
  const kubernetes::ObjectPtr& last = change.after ? change.after : change.before;
  if (last && leads_ && facts_of(*last).sidecar_ended) server_->ended(change.key);
  if (!change.after || change.before || !leads_) return;
  const PodFacts pod = facts_of(*change.after);
  if (pod.sidecar || pod.ended || pod.terminating) return;
  events_->post({{"v1", "Pod", pod.name_space, pod.name, pod.uid},
                 true,
                 "SidecarMissing",
                 "Inject",
                 "the pod has the label dbproxy.io/inject and no sidecar: it was made while the webhook was away, or "
                 "labelled later. Delete it, so that it is made anew"});
}

void Operator::pod_unused(const std::string& identity) {
  const kubernetes::ObjectPtr object = pods_->store().get(identity);
  if (!object) return;
  const PodFacts pod = facts_of(*object);
  if (pod.terminating || pod.ended) return;
  events_->post({{"v1", "Pod", pod.name_space, pod.name, pod.uid},
                 true,
                 "SidecarUnused",
                 "Connect",
                 "no client has used the pod's sidecar for " + std::to_string(options_.unused_after.count()) +
                     " s: does the application still dial the database itself? It has to connect to 127.0.0.1 or to "
                     "the socket"});
}

void Operator::pod_refused(const PodFacts& pod, const std::string& reason) {
  if (pod.name.empty()) return;
  events_->post({{"v1", "Pod", pod.name_space, pod.name, pod.uid}, true, "SidecarRefused", "Connect", reason});
}

void Operator::count_pods() {
  std::uint64_t missing = 0;
  for (const auto& [key, pod] : pods_->store().all()) {
    const PodFacts facts = facts_of(*pod);
    if (!facts.sidecar && !facts.ended && !facts.terminating) ++missing;
  }
  registry_.gauge("dbproxy_operator_pods_without_sidecar", "Labelled pods that have no sidecar").set(missing);
}

}  // namespace dbproxy::kubernetes_mode
