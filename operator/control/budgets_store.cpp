// Budgets: ceilings are read and kept.
#include "operator/control/budgets.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::operator_control {
namespace {

using operator_budget::Allocator;
using operator_budget::AllocatorOptions;

constexpr std::chrono::milliseconds kStoreAgain{500};
constexpr std::chrono::seconds kLookAgain{1};

}  // namespace

void Budgets::enqueue(Work work) {
  {
    const std::lock_guard lock(mutex_);
    if (work.term != term_) return;
    work_.push_back(std::move(work));
  }
  wake_store_.notify_one();
}

// One that has to wait holds up no other.
void Budgets::run_store() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const TimePoint now = clock_.now();
    TimePoint next = now + kLookAgain;
    auto due = work_.begin();
    while (due != work_.end() && due->from > now) next = std::min(next, (due++)->from);
    if (due == work_.end()) {
      wake_store_.wait_for(lock, std::max<Duration>(next - now, std::chrono::milliseconds(1)));
      continue;
    }
    const Work work = std::move(*due);
    work_.erase(due);
    if (work.term != term_) continue;
    lock.unlock();
    if (work.load) {
      load(work);
    } else {
      save(work);
    }
    lock.lock();
  }
}

// The DBProxy is gone, or has been made anew.
bool Budgets::outdated(const Work& work) const {
  return find(work.book->proxy) != work.book;
}

void Budgets::load(const Work& work) {
  if (outdated(work)) return;
  const Result<CeilingStore::Kept> kept = store_->load(work.book->proxy);
  if (kept.has_error()) {
    log::error("budget", "cannot read the ceilings that are kept: nothing is granted until it can",
               {{"proxy", work.book->proxy}, {"error", kept.error().message()}});
    return again(work);
  }
  std::vector<std::pair<std::shared_ptr<BudgetPeer>, budget::Open>> to;
  {
    const std::lock_guard all(mutex_);
    if (work.term != term_) return;
    const std::lock_guard lock(work.book->mutex);
    if (work.book->gone) return;
    // Where others wrote over what this one knew, both count.
    operator_budget::Ceilings ceilings = kept->ceilings;
    for (const auto& [pod, lanes] : work.ceilings) {
      for (const auto& [lane, slots] : lanes) {
        Slots& most = ceilings[pod][lane];
        most = std::max(most, slots);
      }
    }
    work.book->loading = false;
    work.book->allocator =
        std::make_unique<Allocator>(AllocatorOptions{.floor = work.book->floor}, kept->epoch, std::move(ceilings));
    lease(work.book);
    set_limits(*work.book);
    for (const auto& [pod, peer] : work.book->peers) {
      const budget::Open open = work.book->allocator->hello({pod, peer.incarnation});
      if (auto alive = peer.peer.lock()) to.emplace_back(std::move(alive), open);
    }
  }
  log::info("budget", "slots are leased",
            {{"proxy", work.book->proxy}, {"epoch", kept->epoch}, {"known_sidecars", kept->ceilings.size()}});
  for (const auto& [peer, open] : to) peer->tell(work.book->proxy, open);
  touch(work.book);
}

void Budgets::again(Work work) {
  work.from = clock_.now() + kStoreAgain;
  if (!outdated(work)) enqueue(std::move(work));
}

void Budgets::save(const Work& work) {
  if (outdated(work)) return;
  {
    const std::lock_guard lock(work.book->mutex);
    if (!work.book->allocator || work.book->allocator->epoch() != work.epoch) return;
  }
  const CeilingStore::Saved saved = store_->save(work.book->proxy, work.epoch, work.ceilings);
  if (saved == CeilingStore::Saved::kLater) return again(work);
  Work reload{.book = work.book, .load = true, .term = work.term};
  {
    const std::lock_guard lock(work.book->mutex);
    auto& allocator = work.book->allocator;
    if (!allocator || allocator->epoch() != work.epoch) return;
    allocator->saved(saved == CeilingStore::Saved::kInForce);
    if (!allocator->deposed()) {
      reload.load = false;
    } else if (certain && certain()) {
      log::warn("budget", "what was kept was changed by somebody else: it is read again",
                {{"proxy", work.book->proxy}, {"epoch", work.epoch}});
      reload.ceilings = allocator->known();
    } else {
      log::warn("budget", "another operator leases slots now: this one grants nothing more",
                {{"proxy", work.book->proxy}, {"epoch", work.epoch}});
      reload.load = false;
    }
  }
  if (reload.load) return again(std::move(reload));
  touch(work.book);
}

}  // namespace dbproxy::operator_control
