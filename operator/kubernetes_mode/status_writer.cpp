#include "operator/kubernetes_mode/status_writer.hpp"

#include <algorithm>

#include "operator/kubernetes/objects.hpp"
#include "operator/kubernetes_mode/certificates.hpp"
#include "operator/status/across.hpp"
#include "proxy/base/log.hpp"
#include "proxy/metrics/build_info.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;
using operator_control::SidecarState;
using operator_status::Facts;

constexpr std::chrono::seconds kLook{1};
constexpr std::chrono::seconds kLookAnyway{5};
constexpr std::chrono::milliseconds kTogether{100};  // what changes within it is written once
constexpr std::chrono::seconds kFiguresEvery{5};
constexpr std::chrono::minutes kNobodyLed{2};    // at most, after the operators were away
constexpr std::chrono::minutes kBundleEvery{5};  // written again, in case someone took it away
constexpr const char* kApiVersion = "dbproxy.io/v1alpha1";

struct Use {
  std::uint32_t in_use = 0, waiting = 0;  // connections; clients
};

std::uint32_t writer_limit(const Facts& facts) {
  if (!facts.snapshot) return 0;
  for (const config::Target& target : facts.snapshot->targets) {
    if (target.role == config::TargetRole::kReadWrite) return config::connection_limit(target, facts.snapshot->pool);
  }
  return 0;
}

// While nobody led, perhaps.
bool ended_lately(const Facts& facts, WallTime now) {
  const std::optional<WallTime> until = kubernetes::parse_time(facts.debug_until);
  return facts.debug_ended && until && now - *until < kNobodyLed;
}

// The status without what moves all the time.
std::string without_figures(json::object status) {
  if (json::value* counts = status.if_contains("connections"); counts != nullptr && counts->is_object()) {
    counts->get_object().erase("granted");
    counts->get_object().erase("foreign");
  }
  if (json::value* targets = status.if_contains("targets"); targets != nullptr && targets->is_array()) {
    for (json::value& each : targets->get_array()) each.get_object().erase("lagSeconds");
  }
  return json::serialize(status);
}

}  // namespace

std::map<std::string, Facts> gather(const KubernetesSource& source,
                                    const std::vector<operator_control::SidecarRow>& sidecars,
                                    const std::vector<operator_control::BudgetRow>& budgets,
                                    const operator_control::ServerNames& servers) {
  std::map<std::string, Facts> out;
  const source::Snapshots snapshots = source.snapshots();
  for (const auto& [key, state] : source.states()) {
    Facts& facts = out[key];
    facts.generation = state->generation;
    facts.diagnostics = state->diagnostics;
    if (state->debug_until) facts.debug_until = kubernetes::second_time(*state->debug_until);
    facts.debug_ended = state->debug_ended;
    if (const auto found = snapshots.find(key); found != snapshots.end()) facts.snapshot = found->second;
  }
  std::map<std::string, std::set<std::string>> served;
  std::map<std::string, Use> use;
  for (const operator_control::SidecarRow& row : sidecars) {
    served[row.identity].insert(row.proxy);
    const auto found = out.find(row.proxy);
    if (found == out.end()) continue;
    operator_status::Sidecars& counts = found->second.sidecars;
    ++counts.connected;
    counts.connections += row.servers;
    use[row.proxy].in_use += row.servers_in_use;
    use[row.proxy].waiting += row.clients_waiting;
    if (counts.trouble.empty() && !row.trouble.empty()) counts.trouble = row.identity + ": " + row.trouble;
    if (row.state == SidecarState::kUpdated) ++counts.updated;
    if (row.software_version != metrics::build_version()) ++counts.outdated;
    if (row.state != SidecarState::kRejected) continue;
    ++counts.rejected;
    if (counts.rejected_by.empty()) {
      counts.rejected_by = row.identity;
      counts.error = row.error;
    }
  }
  for (const auto& [key, figures] : use) {
    Facts& facts = out[key];
    const std::uint32_t limit = writer_limit(facts);
    facts.exhausted = figures.waiting > 0 && limit > 0 && figures.in_use >= limit;
  }
  for (const operator_control::BudgetRow& row : budgets) {
    const auto found = out.find(row.proxy);
    if (!row.identity.empty() || found == out.end()) continue;
    Facts& facts = found->second;
    facts.granted = facts.granted.value_or(0) + row.granted;
    if (row.foreign) facts.foreign = row.foreign;
    facts.exhausted = facts.exhausted || (row.lane.empty() && row.full_seconds >= 1);
    facts.crowded = facts.crowded || (row.crowded && row.full_seconds >= 1);
  }
  operator_status::compare(out, served, servers);
  return out;
}

StatusWriter::StatusWriter(kubernetes::Client& client, const KubernetesSource& source,
                           kubernetes::EventRecorder& events,
                           std::function<std::vector<operator_control::SidecarRow>()> sidecars,
                           std::function<std::vector<operator_control::BudgetRow>()> budgets,
                           std::function<operator_control::ServerNames()> servers, StatusOptions options,
                           const Clock& clock)
    : client_(client),
      source_(source),
      events_(events),
      sidecars_(std::move(sidecars)),
      budgets_(std::move(budgets)),
      servers_(std::move(servers)),
      options_(std::move(options)),
      clock_(clock),
      endpoints_(client, source, clock),
      unused_(options_.unused_after),
      bundle_(options_.bundle) {
  thread_ = std::thread([this] { run(); });
}

StatusWriter::~StatusWriter() {
  stop();
}

void StatusWriter::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  canceller_.cancel();
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void StatusWriter::lead(bool leading) {
  const std::lock_guard lock(mutex_);
  leading_ = leading;
  nudged_ = true;
  wake_.notify_all();
}

void StatusWriter::nudge() {
  const std::lock_guard lock(mutex_);
  nudged_ = true;
  wake_.notify_all();
}

void StatusWriter::set_bundle(const std::string& bundle) {
  const std::lock_guard lock(mutex_);
  bundle_ = bundle;
  ++bundle_number_;
  nudged_ = true;
  wake_.notify_all();
}

void StatusWriter::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, kLook, [this] { return stopping_ || nudged_; });
    if (nudged_) wake_.wait_for(lock, kTogether, [this] { return stopping_; });
    const bool nudged = std::exchange(nudged_, false);
    if (stopping_) return;
    const bool leading = leading_;
    lock.unlock();
    if (leading && source_.ready()) {
      pass(nudged);
    } else if (!leading) {
      settled_ = false;
      known_.clear();  // another writes now: what is there is read again when it is our turn
      endpoints_.forget();
    }
    lock.lock();
  }
}

void StatusWriter::pass(bool nudged) {
  std::vector<operator_control::SidecarRow> sidecars = sidecars_();
  std::vector<operator_control::BudgetRow> budgets = budgets_();
  const TimePoint now = clock_.now();
  const bool same = settled_ && sidecars == seen_sidecars_ && budgets == seen_budgets_;
  if (same && !nudged && now - looked_ < kLookAnyway) return;
  looked_ = now;
  seen_budgets_ = std::move(budgets);
  const std::map<std::string, Facts> all = gather(source_, sidecars, seen_budgets_, servers_());
  for (const auto& [key, facts] : all) {
    if (canceller_.cancelled()) return;
    write(key, facts);
  }
  std::erase_if(known_, [&](const auto& each) { return !all.contains(each.first); });
  const EndpointStatuses::Counts counts = endpoints_.pass(all, canceller_);
  written_ += counts.written;
  failed_ += counts.failed;
  settled_ = counts.written + counts.failed == 0 &&
             std::all_of(known_.begin(), known_.end(), [](const auto& each) { return each.second.settled; });
  tell_unused(sidecars);
  publish_bundles(all);
  seen_sidecars_ = std::move(sidecars);
}

void StatusWriter::tell_unused(const std::vector<operator_control::SidecarRow>& sidecars) {
  std::map<std::string, bool> in_use;
  for (const operator_control::SidecarRow& row : sidecars) {
    in_use[row.identity] |= row.clients > 0 || row.servers > 0;
  }
  for (const std::string& identity : unused_.look(in_use, clock_.now())) {
    if (options_.unused) options_.unused(identity);
  }
}

void StatusWriter::write(const std::string& key, const Facts& facts) {
  const kubernetes::ObjectPtr object = source_.object(key);
  if (!object) return;
  Written& known = known_[key];
  const std::string uid(kubernetes::text_at(*object, {"metadata", "uid"}));
  if (known.uid != uid) {
    known = Written();
    known.uid = uid;
  }
  if (known.settled && known.facts == facts) return;  // as nearly always
  known.settled = false;

  const std::string name_space(kubernetes::text_at(*object, {"metadata", "namespace"}));
  const std::string name(kubernetes::text_at(*object, {"metadata", "name"}));
  if (!known.told) {
    // A leader that begins tells what is broken; what happened before it, another has told.
    known.facts = facts;
    known.facts.diagnostics.clear();
    known.facts.debug_ended = facts.debug_ended && !ended_lately(facts, clock_.wall());
  }
  for (const operator_status::Note& each : operator_status::notes(known.facts, facts)) {
    events_.post({{kApiVersion, "DBProxy", name_space, name, uid}, each.warning, each.reason, each.action, each.text});
  }
  known.facts = facts;
  known.told = true;

  const json::object* before = kubernetes::object_at(*object, {"status"});
  json::object status = operator_status::make_status(facts, before, clock_.wall());
  const std::string text = json::serialize(status);
  const std::string steady = without_figures(status);
  known.settled = text == known.text;
  if (known.settled) return;
  const bool moved = known.figures != steady;
  if (!moved && clock_.now() - known.at < kFiguresEvery) return;
  if (known.text.empty() && before != nullptr && json::value(*before) == json::value(status)) {
    known.text = text;  // as the leader before left it
    known.figures = steady;
    known.settled = true;
    return;
  }
  const kubernetes::Failure failure =
      apply_status(client_, "DBProxy", {{"dbproxy.io", "v1alpha1", "dbproxies"}, name_space, name}, uid,
                   std::move(status), canceller_);
  if (failure.ok()) {
    ++written_;
    known.settled = true;
    known.text = text;
    known.figures = steady;
    known.at = clock_.now();
    return;
  }
  if (failure.cancelled() || failure.not_found() || failure.conflict()) return;
  ++failed_;
  log::warn("kubernetes", "a status was not taken", {{"proxy", key}, {"error", failure.text()}});
}

void StatusWriter::publish_bundles(const std::map<std::string, Facts>& all) {
  std::string bundle;
  {
    const std::lock_guard lock(mutex_);
    bundle = bundle_;
    if (std::exchange(published_number_, bundle_number_) != bundle_number_) bundles_.clear();
  }
  std::set<std::string> name_spaces;
  for (const auto& [key, facts] : all) name_spaces.insert(key.substr(0, key.find('/')));
  for (const std::string& name_space : name_spaces) {
    const auto known = bundles_.find(name_space);
    if (known != bundles_.end() && clock_.now() - known->second < kBundleEvery) continue;
    const kubernetes::Failure failure = publish_bundle(client_, name_space, bundle, canceller_);
    if (failure.cancelled()) return;
    if (!failure.ok()) {
      log::warn("kubernetes", "the CA's ConfigMap was not taken",
                {{"namespace", name_space}, {"error", failure.text()}});
    }
    bundles_[name_space] =
        clock_.now() - (failure.ok() ? Duration{} : Duration(kBundleEvery - std::chrono::seconds(10)));
  }
  std::erase_if(bundles_, [&](const auto& each) { return !name_spaces.contains(each.first); });
}

}  // namespace dbproxy::kubernetes_mode
