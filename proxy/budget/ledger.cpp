#include "proxy/budget/ledger.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace dbproxy::budget {
namespace {

Slots beyond(Slots a, Slots b) {
  return a > b ? a - b : 0;
}

}  // namespace

Ledger::Ledger(LedgerOptions options) : options_(std::move(options)) {
  for (const auto& [lane, slots] : options_.own) {
    if (slots > 0) accounts_[lane].cap = accounts_[lane].goal = slots;
  }
}

bool Ledger::take(const Open& open) {
  if (open.incarnation != options_.incarnation) return false;
  if (std::tie(open.epoch, open.session) <= std::tie(epoch_, session_)) return false;
  epoch_ = open.epoch;
  session_ = open.session;
  heard_ = true;
  for (auto& [lane, account] : accounts_) {
    account.seen = 0;
    account.goal = account.cap;  // who asks now may ask for something else
  }
  told_.clear();
  due_ = true;
  return true;
}

bool Ledger::take(const Allowance& allowance, TimePoint now) {
  if (allowance.incarnation != options_.incarnation) return false;
  if (allowance.epoch != epoch_ || allowance.session != session_ || session_ == 0) return false;
  Account& account = accounts_[allowance.lane];
  if (allowance.number <= account.seen) return false;
  account.seen = allowance.number;
  account.floor = allowance.floor;
  if (allowance.slots > account.cap && !leaving_) {
    const Slots before = std::exchange(account.cap, allowance.slots);
    if (!save()) account.cap = before;
  }
  account.goal = std::min(account.cap, allowance.goal);
  account.spare_since.reset();
  due_ = true;
  settle_all(now);
  return true;
}

void Ledger::set_use(const std::string& member, Use use, TimePoint now) {
  uses_[member] = use;
  if (!use.writer && use.open == 0 && use.waiting == 0) uses_.erase(member);
  settle_all(now);
}

void Ledger::assume(const Lane& lane, Slots slots) {
  Account& account = accounts_[lane];
  if (slots <= account.cap) return;
  account.cap = account.goal = slots;
  due_ = true;
  save();
}

void Ledger::leave(Slots keep) {
  leaving_ = true;
  for (auto& [lane, account] : accounts_) {
    account.cap = account.goal = lane == kReadWrite ? std::min(account.cap, keep) : 0;
  }
  due_ = true;
  save();
}

void Ledger::tick(TimePoint now) {
  settle_all(now);
}

Slots Ledger::cap(const Lane& lane) const {
  const auto found = accounts_.find(lane);
  return found == accounts_.end() ? 0 : found->second.cap;
}

Slots Ledger::limit(const std::string& member) const {
  const auto aim = [this](const Lane& lane) {
    const auto found = accounts_.find(lane);
    return found == accounts_.end() ? 0 : std::min(found->second.cap, found->second.goal);
  };
  const auto use = uses_.find(member);
  const bool writer = use != uses_.end() && use->second.writer;
  return aim(member) + (writer ? aim(kReadWrite) : 0);
}

// In use and waited for. A member that has become the writer is served by what it had as a reader, too.
Slots Ledger::wanted(const Lane& lane) const {
  Slots sum = 0;
  for (const auto& [member, use] : uses_) {
    if (use.writer ? lane == kReadWrite : lane == member) sum += use.open - std::min(use.idle, use.open) + use.waiting;
  }
  return sum;
}

// What cannot be given back now: each member's connections are covered by its own lane and the read-write one.
Slots Ledger::needed(const Lane& lane) const {
  if (lane != kReadWrite) {
    const auto use = uses_.find(lane);
    if (use == uses_.end()) return 0;
    return use->second.writer ? beyond(use->second.open, cap(kReadWrite)) : use->second.open;
  }
  Slots most = 0;
  for (const auto& [member, use] : uses_) most = std::max(most, beyond(use.open, cap(member)));
  return most;
}

void Ledger::settle(const Lane& lane, Account& account, TimePoint now) {
  const Slots needs = needed(lane);
  Slots to = account.cap;
  if (account.goal < account.cap) to = std::max(needs, account.goal);
  const Slots use = std::max({needs, wanted(lane), account.floor});
  if (account.cap <= use || !heard_) {
    account.spare_since.reset();
  } else if (!account.spare_since) {
    account.spare_since = now;
  } else if (now - *account.spare_since >= options_.keep) {
    to = std::min(to, use);
    account.spare_since.reset();
  }
  if (to >= account.cap) return;
  const Slots before = std::exchange(account.cap, to);
  if (!save()) {
    account.cap = before;
    return;
  }
  account.goal = account.goal < before ? std::min(account.goal, to) : to;
}

void Ledger::settle_all(TimePoint now) {
  for (auto& [lane, account] : accounts_) settle(lane, account, now);
}

std::optional<Report> Ledger::report() {
  if (session_ == 0) return std::nullopt;
  std::map<Lane, LaneReport> now;
  for (const auto& [lane, account] : accounts_) {
    now[lane] = {account.seen, account.cap, wanted(lane)};
  }
  now[kReadWrite].want = wanted(kReadWrite);
  for (const auto& [member, use] : uses_) {
    if (!use.writer) now[member].want = wanted(member);
  }
  const auto same = [](const auto& a, const auto& b) {
    return a.first == b.first && a.second.seen == b.second.seen && a.second.held == b.second.held &&
           a.second.want == b.second.want;
  };
  if (!due_ && std::equal(now.begin(), now.end(), told_.begin(), told_.end(), same)) return std::nullopt;
  due_ = false;
  told_ = now;
  return Report{options_.pod, options_.incarnation, epoch_,   session_,
                ++reports_,   options_.complete,    leaving_, std::move(now)};
}

Holdings Ledger::holdings() const {
  Holdings out;
  for (const auto& [lane, account] : accounts_) {
    if (account.cap > 0) out[lane] = account.cap;
  }
  return out;
}

}  // namespace dbproxy::budget
