// Budgets: figures of it, for metrics and pages.
#include <algorithm>

#include "operator/control/budgets.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::operator_control {

// With the lock: for the figures.
void Budgets::note(Book& book, const budget::Report& report) {
  budget::Report& before = book.heard[report.pod];
  bool asks = false;
  for (const auto& [lane, said] : report.lanes) {
    asks = asks || said.want > said.held;
    const auto old = before.lanes.find(lane);
    if (old != before.lanes.end() && old->second.held > said.held) {
      cells(book, lane).moved->add(old->second.held - said.held);
    }
  }
  before = report;
  if (!asks) {
    book.asking.erase(report.pod);
  } else {
    book.asking.try_emplace(report.pod, clock_.now());
  }
}

void Budgets::use(const std::string& proxy, const std::string& pod, std::uint32_t open, std::uint32_t in_use) {
  const BookPtr book = find(proxy);
  if (!book) return;
  const std::lock_guard lock(book->mutex);
  if (!book->peers.contains(pod) || book->gone) return;
  const Book::Use now{std::min(open, in_use), open - std::min(open, in_use)};
  Book::Use& before = book->uses[pod];
  book->sum.used += now.used - before.used;
  book->sum.idle += now.idle - before.idle;
  before = now;
  show_use(*book);
}

// What it says first is of before.
void Budgets::gave_way(const std::string& proxy, const std::string& pod, std::uint64_t transactions) {
  const BookPtr book = find(proxy);
  if (!book) return;
  std::uint64_t more = 0;
  {
    const std::lock_guard lock(book->mutex);
    if (!book->peers.contains(pod)) return;
    const auto [known, first] = book->gave_way.try_emplace(pod, transactions);
    if (!first && transactions > known->second) more = transactions - known->second;
    known->second = transactions;
  }
  if (more == 0) return;
  log::info("budget", "idle transactions gave way to others who wait",
            {{"proxy", proxy}, {"identity", pod}, {"transactions", more}});
  if (news) news({BudgetNews::Kind::kGaveWay, proxy, pod, static_cast<std::uint32_t>(more)});
}

// With the lock.
void Budgets::show_use(Book& book) {
  if (book.gone) return;  // and its metrics with it
  if (book.used == nullptr) {
    const metrics::Labels labels{{"proxy", book.proxy}};
    book.used =
        &registry_.gauge("dbproxy_operator_slots_used", "Connections that sidecars have given to clients", labels);
    book.idle = &registry_.gauge("dbproxy_operator_slots_idle", "Connections that sidecars have for nobody", labels);
  }
  book.used->set(book.sum.used);
  book.idle->set(book.sum.idle);
}

// With the lock: it is not heard of any more.
void Budgets::forget_use(Book& book, const std::string& pod) {
  book.gave_way.erase(pod);
  const auto found = book.uses.find(pod);
  if (found == book.uses.end()) return;
  book.sum.used -= found->second.used;
  book.sum.idle -= found->second.idle;
  book.uses.erase(found);
  show_use(book);
}

Budgets::Book::Cells& Budgets::cells(Book& book, const budget::Lane& lane) {
  const auto found = book.cells.find(lane);
  if (found != book.cells.end()) return found->second;
  const metrics::Labels labels{{"proxy", book.proxy}, {"lane", lane.empty() ? "READ_WRITE" : lane}};
  Book::Cells& made = book.cells[lane];
  made.limit =
      &registry_.gauge("dbproxy_operator_slots_limit", "Connections that all sidecars together may have", labels);
  made.granted = &registry_.gauge("dbproxy_operator_slots_granted", "Connections that sidecars may have now", labels);
  made.asked = &registry_.gauge("dbproxy_operator_slots_asked", "Connections that sidecars use or wait for", labels);
  made.unknown =
      &registry_.gauge("dbproxy_operator_slots_unknown",
                       "Of those granted: to sidecars that are not heard of, or to processes before theirs", labels);
  made.grants = &registry_.counter("dbproxy_operator_slot_grants_total", "Times that a sidecar got more", labels);
  made.moved = &registry_.counter("dbproxy_operator_slots_moved_total", "Slots that sidecars gave back", labels);
  made.latency = &registry_.histogram("dbproxy_operator_slot_grant_seconds",
                                      "From when a sidecar asked until it was given something", labels);
  return made;
}

// With the lock.
void Budgets::update_cells(Book& book, const AllTotals& all) {
  bool full = false;
  for (const auto& [lane, totals] : all) {
    Book::Cells& to = cells(book, lane);
    to.limit->set(totals.limit);
    to.granted->set(totals.charged);
    to.asked->set(totals.wanted);
    to.unknown->set(totals.unknown);
    const bool known = lane.empty() ? !book.limits.empty() : book.limits.contains(lane);
    full = full || (known && totals.wanted > totals.charged && totals.charged >= totals.limit);
  }
  book.crowded =
      full && std::any_of(book.limits.begin(), book.limits.end(), [&](const auto& each) {
        return servers_.share(each.second.place, book.proxy, each.second.own, each.second.usable) < each.second.own;
      });
  if (!full) {
    book.full_since = {};
  } else if (book.full_since == TimePoint{}) {
    book.full_since = clock_.now();
  }
}

// With the lock. What a sidecar has opened just now it has not told yet: only what is there twice is somebody else's.
void Budgets::note_foreign(Book& book, const std::string& target, Slots sessions) {
  Book::Foreign& foreign = book.foreign[target];
  if (foreign.last) foreign.seen = std::min(*foreign.last, sessions);
  foreign.last = sessions;
  if (!foreign.seen) return;
  if (foreign.cell == nullptr) {
    foreign.cell =
        &registry_.gauge("dbproxy_operator_foreign_sessions", "Sessions of the DBProxy's users that are no sidecar's",
                         {{"proxy", book.proxy}, {"target", target}});
  }
  foreign.cell->set(*foreign.seen);
}

// With the lock.
std::optional<std::uint32_t> Budgets::foreign(const Book& book) {
  std::optional<std::uint32_t> out;
  for (const auto& [target, foreign] : book.foreign) {
    if (book.limits.contains(target) && foreign.seen) out = out.value_or(0) + *foreign.seen;
  }
  return out;
}

std::vector<BudgetRow> Budgets::rows() const {
  std::vector<BudgetRow> out;
  const TimePoint now = clock_.now();
  for (const BookPtr& book : books()) {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator) continue;
    const double full =
        book->full_since == TimePoint{} ? 0 : std::chrono::duration<double>(now - book->full_since).count();
    for (const auto& [lane, totals] : book->allocator->totals()) {
      out.push_back({book->proxy, lane, "", totals.limit, totals.charged, totals.unknown, totals.wanted, full,
                     lane.empty() ? foreign(*book) : std::nullopt, lane.empty() && book->crowded});
      for (const auto& [pod, report] : book->heard) {
        const auto said = report.lanes.find(lane);
        const Slots charged = book->allocator->charged(pod, lane);
        const Slots wanted = said == report.lanes.end() || !book->peers.contains(pod) ? 0 : said->second.want;
        if (charged + wanted == 0) continue;
        out.push_back({book->proxy, lane, pod, 0, charged, book->peers.contains(pod) ? 0 : charged, wanted, 0});
      }
    }
  }
  return out;
}

}  // namespace dbproxy::operator_control
