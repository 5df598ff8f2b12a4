// Operator: what it shows of itself and of DBProxies, and to whom.
#include "operator/kubernetes_mode/operator.hpp"
#include "operator/manifest_mode/view.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

constexpr std::size_t kMostVerdicts = 1000;
constexpr std::chrono::seconds kKeepVerdict{10};

}  // namespace

// Who may get dbproxies may see the pages, who may update them may pause them.
bool Operator::authorized(std::string_view token, const char* verb) const {
  const auto identity = people_.review(Secret(std::string(token)));
  if (identity.has_error() || !identity->authenticated) return false;
  // A page asks every two seconds, and the API server need not hear of each.
  std::string who = std::string(verb) + " " + identity->username;
  for (const std::string& group : identity->groups) who += " " + group;
  const TimePoint now = clock_.now();
  {
    const std::lock_guard lock(verdicts_mutex_);
    std::erase_if(verdicts_, [&](const auto& each) { return now >= each.second.until; });
    if (const auto found = verdicts_.find(who); found != verdicts_.end()) return found->second.allowed;
  }
  const auto allowed =
      kubernetes::may(client_, {identity->username, identity->groups, verb, "dbproxy.io", "dbproxies", "", ""});
  if (!allowed.has_value()) return false;
  const std::lock_guard lock(verdicts_mutex_);
  if (verdicts_.size() < kMostVerdicts) verdicts_[who] = {*allowed, now + kKeepVerdict};
  return *allowed;
}

operator_admin::OperatorView Operator::view() const {
  if (!serving_) return {};
  std::vector<manifest::Diagnostic> diagnostics;
  for (const auto& [key, state] : source_->states()) {
    diagnostics.insert(diagnostics.end(), state->diagnostics.begin(), state->diagnostics.end());
  }
  const std::vector<operator_control::SidecarRow> sidecars = server_->sidecars();
  operator_admin::OperatorView out =
      manifest_mode::make_view(source_->snapshots(), sidecars, diagnostics, clock_.wall());
  manifest_mode::add_activity(server_->latencies(), server_->pins(), out);
  const std::vector<operator_control::BudgetRow> budgets = server_->budgets();
  manifest_mode::add_budgets(out, budgets);
  const auto facts = gather(*source_, sidecars, budgets, server_->servers());
  for (operator_admin::ProxyRow& row : out.proxies) {
    const auto found = facts.find(row.name_space + "/" + row.name);
    if (found == facts.end()) continue;
    row.conditions.clear();
    for (const operator_status::Condition& each : operator_status::conditions(found->second)) {
      row.conditions.push_back({each.type, each.status, each.reason, each.message});
      if (each.type == "Ready") row.ready = each.status == "True";
    }
  }
  const TimePoint now = clock_.now();
  for (const kubernetes::EventRecorder::Told& each : events_->recent()) {
    const kubernetes::Regarding& about = each.note.regarding;
    out.events.push_back({std::chrono::duration<double>(now - each.at).count(),
                          about.kind + " " + about.name_space + "/" + about.name, each.note.reason, each.note.note,
                          each.note.warning, each.count});
  }
  if (!leads_) {
    out.notice = "this replica of the operator does not lead, and no sidecar talks to it: look at that of " +
                 (elector_->leader().empty() ? std::string("the one that will") : elector_->leader());
  }
  out.ready = source_->ready() && (!webhook_ || webhook_->ready());
  return out;
}

void Operator::publish_counts() {
  const auto put = [this](const char* name, const char* help, const std::string& resource, std::uint64_t value) {
    registry_.counter(name, help, {{"resource", resource}}).set(value);
  };
  const auto all = [&](const std::string& resource, std::uint64_t lists, std::uint64_t watches, std::uint64_t expired,
                       std::uint64_t failures) {
    put("dbproxy_operator_kubernetes_lists_total", "Complete lists taken from the API server", resource, lists);
    put("dbproxy_operator_kubernetes_watches_total", "Watches that the API server granted", resource, watches);
    put("dbproxy_operator_kubernetes_expired_total", "Times that a watch was too old to go on", resource, expired);
    put("dbproxy_operator_kubernetes_failures_total", "Requests of watches that failed and were tried again", resource,
        failures);
  };
  for (const auto& [name, reflector] : {std::pair<const char*, const kubernetes::Reflector*>{"pods", pods_.get()},
                                        {"dbproxies", &source_->proxies()},
                                        {"dbproxyendpoints", &source_->endpoints()}}) {
    const kubernetes::ReflectorCounts& counts = reflector->counts();
    all(name, counts.lists, counts.watches, counts.expired, counts.failures);
  }
  const References::Totals references = source_->references();
  all("references", references.lists, references.watches, references.expired, references.failures);
  registry_.gauge("dbproxy_operator_leader", "1 while this replica leads").set(elector_->leading() ? 1 : 0);
  registry_.counter("dbproxy_operator_pods_refused_total", "Times that a pod's sidecar was refused for who it is")
      .set(tokens_->refused());
  registry_
      .counter("dbproxy_operator_endpoints_refused_total",
               "Times that a target was refused for its address, in a manifest or at a connect")
      .set(endpoints_refused_ + source_->endpoints_refused());
  registry_.counter("dbproxy_operator_status_writes_total", "Statuses written").set(status_->written());
  registry_.counter("dbproxy_operator_status_failures_total", "Statuses that the API server did not take")
      .set(status_->failed());
  registry_.counter("dbproxy_operator_events_written_total", "Events written").set(events_->counts().written);
  registry_.counter("dbproxy_operator_events_withheld_total", "Events withheld as spam")
      .set(events_->counts().withheld);
  registry_.counter("dbproxy_operator_events_dropped_total", "Events that the API server did not take in time")
      .set(events_->counts().dropped);
  registry_
      .counter("dbproxy_operator_kubernetes_throttled_total", "Times that the API server asked to come again later")
      .set(client_.throttled() + review_client_.throttled());
}

}  // namespace dbproxy::kubernetes_mode
