// ProxyRuntime and the fleet's connection budget.
#pragma once

#include <algorithm>

#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

// A target that was of the same name before, and is not done yet, has its part of them; so has a process before this.
template <class P>
std::uint32_t ProxyRuntime<P>::slots(const Target<P>& target, std::uint32_t limit) const {
  if (!budget_.leased()) return limit;
  const std::string& id = target.description().id;
  std::uint32_t taken = left_behind_.open(id);
  for (const auto& other : leaving_) {
    if (other->description().id == id) taken += other->use().open;
  }
  const std::uint32_t all = budget_.limit(id);
  return std::min(limit, all > taken ? all - taken : 0);
}

template <class P>
BudgetSide::Uses ProxyRuntime<P>::uses() {
  BudgetSide::Uses uses;
  for (const auto& target : leaving_) uses[target->description().id].open += target->use().open;
  std::map<std::string, std::uint32_t> before;
  left_behind_.add_to(before);
  for (const auto& [id, open] : before) uses[id].open += open;
  for (const auto& [id, target] : targets_) {
    const budget::Use use = target->use();
    budget::Use& sum = uses[id];
    sum.open += use.open;
    sum.waiting = use.waiting;
    sum.idle = use.idle;
    sum.writer = use.writer;
    target->use_is_known(use);
  }
  return uses;
}

template <class P>
void ProxyRuntime<P>::settle_budget() {
  if (!budget_.leased()) return;
  const auto now = context_.loop.now();
  budget_.set_uses(uses(), now);
  budget_.tick(now);
  tell_budget();
}

// First what follows here, then what is told of it.
template <class P>
void ProxyRuntime<P>::tell_budget() {
  for (const auto& [id, target] : targets_) target->apply_limit();
  if (!context_.budget_report) return;
  if (auto report = budget_.report()) context_.budget_report(name(), *report);
}

template <class P>
void ProxyRuntime<P>::take(const budget::Open& open) {
  if (budget_.take(open, uses(), context_.loop.now())) tell_budget();
}

template <class P>
void ProxyRuntime<P>::take(const budget::Allowance& allowance) {
  if (budget_.take(allowance, uses(), context_.loop.now())) tell_budget();
}

template <class P>
void ProxyRuntime<P>::count_alone() {
  budget_.count_alone();
  for (const auto& [id, target] : targets_) target->apply_limit();
}

template <class P>
bool ProxyRuntime<P>::leave_budget() {
  if (!budget_.leased()) return true;
  for (const auto& [id, target] : targets_) target->close_idle();
  const auto now = uses();
  budget_.set_uses(now, context_.loop.now());
  if (std::any_of(now.begin(), now.end(), [](const auto& item) { return item.second.open > 0; })) return false;
  budget_.leave();
  tell_budget();
  return true;
}

}  // namespace dbproxy::worker
