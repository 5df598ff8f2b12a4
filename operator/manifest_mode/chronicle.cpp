#include "operator/manifest_mode/chronicle.hpp"

#include "operator/status/status.hpp"

namespace dbproxy::manifest_mode {
namespace {
constexpr std::size_t kMost = 50;
}  // namespace

void Chronicle::note(const std::map<std::string, config::SnapshotPtr>& changed) {
  const std::lock_guard lock(mutex_);
  for (const auto& [proxy, snapshot] : changed) {
    operator_status::Facts before, after;
    if (const auto found = known_.find(proxy); found != known_.end()) before.snapshot = found->second;
    after.snapshot = snapshot;
    for (const operator_status::Note& each : operator_status::notes(before, after)) {
      entries_.push_front({{0, "DBProxy " + proxy, each.reason, each.text, each.warning, 1}, clock_.now()});
      if (entries_.size() > kMost) entries_.pop_back();
    }
    if (snapshot) {
      known_[proxy] = snapshot;
    } else {
      known_.erase(proxy);
    }
  }
}

void Chronicle::note_troubles(const std::map<std::string, std::string>& troubles) {
  const std::lock_guard lock(mutex_);
  for (const auto& [proxy, text] : troubles) {
    const auto found = troubles_.find(proxy);
    if (found != troubles_.end() && found->second == text) continue;
    entries_.push_front({{0, "DBProxy " + proxy, operator_status::kIamAuthImpossible, text, true, 1}, clock_.now()});
    if (entries_.size() > kMost) entries_.pop_back();
  }
  troubles_ = troubles;
}

std::vector<operator_admin::EventRow> Chronicle::rows() const {
  const std::lock_guard lock(mutex_);
  std::vector<operator_admin::EventRow> out;
  const TimePoint now = clock_.now();
  for (const Entry& each : entries_) {
    out.push_back(each.row);
    out.back().age_seconds = std::chrono::duration<double>(now - each.at).count();
  }
  return out;
}

}  // namespace dbproxy::manifest_mode
