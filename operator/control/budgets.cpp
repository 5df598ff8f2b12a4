#include "operator/control/budgets.hpp"

#include <algorithm>

namespace dbproxy::operator_control {
namespace {

using operator_budget::Slots;

constexpr std::chrono::milliseconds kUncertainAgain{200};
constexpr Slots kManySidecars = 4;

}  // namespace

Budgets::Budgets(std::shared_ptr<CeilingStore> store, metrics::Registry& registry, const Clock& clock)
    : store_(std::move(store)), registry_(registry), clock_(clock) {}

Budgets::~Budgets() {
  stop();
}

void Budgets::start() {
  if (!store_) return;
  steps_ = std::thread([this] { run_steps(); });
  storing_ = std::thread([this] { run_store(); });
}

void Budgets::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_steps_.notify_all();
  wake_store_.notify_all();
  if (steps_.joinable()) steps_.join();
  if (storing_.joinable()) storing_.join();
}

void Budgets::lead(bool leading) {
  std::vector<BookPtr> all;
  std::uint64_t term = 0;
  {
    const std::lock_guard lock(mutex_);
    if (leading_ == leading) return;
    leading_ = leading;
    term = ++term_;
    work_.clear();
    servers_.clear_claims();
    for (const auto& [name, book] : books_) all.push_back(book);
  }
  std::vector<BookPtr> to_load;
  for (const BookPtr& book : all) {
    const std::lock_guard lock(book->mutex);
    book->allocator.reset();
    book->asking.clear();
    book->silences.clear();
    book->loading = leading && !book->peers.empty();
    if (book->loading) to_load.push_back(book);
  }
  for (const BookPtr& book : to_load) enqueue({.book = book, .load = true, .term = term});
}

Budgets::BookPtr Budgets::find(const std::string& proxy) const {
  const std::lock_guard lock(mutex_);
  const auto found = books_.find(proxy);
  return found == books_.end() ? nullptr : found->second;
}

std::vector<Budgets::BookPtr> Budgets::books() const {
  const std::lock_guard lock(mutex_);
  std::vector<BookPtr> out;
  for (const auto& [name, book] : books_) out.push_back(book);
  return out;
}

std::vector<Budgets::BookPtr> Budgets::books_at(const std::string& place) const {
  const std::set<std::string> places = servers_.places(place);
  const std::lock_guard lock(mutex_);
  std::map<std::string, BookPtr> found;
  for (const std::string& each : places) {
    const auto here = at_.find(each);
    if (here != at_.end()) found.insert(here->second.begin(), here->second.end());
  }
  std::vector<BookPtr> out;
  out.reserve(found.size());
  for (const auto& [name, book] : found) out.push_back(book);
  return out;
}

void Budgets::touch_at(const std::string& place) {
  for (const BookPtr& book : books_at(place)) touch(book);
}

void Budgets::identify(const std::string& host, std::uint16_t port, const std::string& server) {
  const std::string place = Servers::place_of(host, port);
  const std::vector<std::string> before = servers_.identify(place, server);
  if (before.empty()) return;
  for (const std::string& left : before) touch_at(left);
  touch_at(place);
}

void Budgets::put_at(const BookPtr& book, std::set<std::string> places) {
  if (book->places == places) return;
  for (const std::string& place : book->places) {
    if (!places.contains(place)) {
      for (const std::string& other : servers_.places(place)) {  // there is more for them
        const auto here = at_.find(other);
        if (here != at_.end()) dirty_.insert(here->second.begin(), here->second.end());
      }
      servers_.leave(place, book->proxy);
    }
    const auto found = at_.find(place);
    if (found == at_.end()) continue;
    found->second.erase(book->proxy);
    if (found->second.empty()) at_.erase(found);
  }
  book->places = std::move(places);
  if (book->leased) lease(book);
}

// Until then nobody is asked about it.
void Budgets::lease(const BookPtr& book) {
  book->leased = true;
  for (const std::string& place : book->places) at_[place][book->proxy] = book;
}

void Budgets::touch(const BookPtr& book) {
  {
    const std::lock_guard lock(mutex_);
    dirty_[book->proxy] = book;
  }
  wake_steps_.notify_one();
}

void Budgets::publish(const std::string& proxy, const config::SnapshotPtr& snapshot) {
  if (!store_) return;
  BookPtr book;
  std::set<std::string> places;
  if (snapshot) {
    for (const config::Target& target : snapshot->targets) {
      places.insert(Servers::place_of(target.host, target.port));
    }
  }
  {
    const std::lock_guard lock(mutex_);
    BookPtr& entry = books_[proxy];
    if (!snapshot) {
      if (entry) {
        const std::lock_guard book_lock(entry->mutex);
        entry->gone = true;
      }
      if (entry) put_at(entry, {});
      books_.erase(proxy);
      dirty_.erase(proxy);
      due_.erase(proxy);
      registry_.retire({{"proxy", proxy}});
      return;
    }
    if (!entry) entry = std::make_shared<Book>(proxy);
    put_at(entry, std::move(places));
    book = entry;
  }
  {
    const std::lock_guard lock(book->mutex);
    book->snapshot = snapshot;
    book->limits.clear();
    for (const config::Target& target : snapshot->targets) {
      const std::uint32_t limit = config::connection_limit(target, snapshot->pool);
      if (limit == 0) continue;
      book->limits[target.id] = {limit, config::connection_limit(target, {}),
                                 Servers::place_of(target.host, target.port)};
    }
    book->most_per_pod = snapshot->pool.max_per_pod;
    book->floor = snapshot->pool.floor;
    set_limits(*book);
  }
  touch(book);
}

// With the lock. One sidecar of four or more has a quarter of the whole at most, so that what becomes unknown of it is
// no more than that.
void Budgets::set_limits(Book& book) {
  if (!book.allocator) return;
  Slots most = 0;
  std::map<std::string, Slots> shares;
  for (const auto& [target, limit] : book.limits) {
    most = std::max(most, limit.own);
    shares[target] = servers_.share(limit.place, book.proxy, limit.own, limit.usable);
  }
  const Slots parts = book.peers.size() < kManySidecars ? 1 : kManySidecars;
  const Slots per_pod = book.most_per_pod > 0 ? std::min(book.most_per_pod, most) : (most + parts - 1) / parts;
  book.allocator->set_limits(std::move(shares), per_pod);
  book.allocator->set_floor(book.floor);
}

void Budgets::hello(const std::string& proxy, const std::string& pod, std::uint64_t incarnation,
                    const std::shared_ptr<BudgetPeer>& peer) {
  const BookPtr book = find(proxy);
  if (!book) return;
  bool leading = false;
  std::uint64_t term = 0;
  {
    const std::lock_guard lock(mutex_);
    leading = leading_;
    term = term_;
  }
  budget::Open open;
  bool load = false;
  {
    const std::lock_guard lock(book->mutex);
    book->silences.erase(pod);
    book->peers[pod] = {peer, peer.get(), incarnation};
    set_limits(*book);
    // Without a sidecar nothing needs to be known. It is told when what is kept has been read.
    load = !book->allocator && leading && !std::exchange(book->loading, true);
    if (book->allocator) open = book->allocator->hello({pod, incarnation});
  }
  if (load) enqueue({.book = book, .load = true, .term = term});
  if (open.session == 0) return;
  peer->tell(proxy, open);
  touch(book);
}

void Budgets::report(const std::string& proxy, const budget::Report& report) {
  const BookPtr book = find(proxy);
  if (!book) return;
  {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator || !book->peers.contains(report.pod)) return;
    if (!book->allocator->report(report, clock_.now())) return;
    note(*book, report);
    if (report.leaving) leave(*book, report);
  }
  touch(book);
}

// With the lock. What it goes on holding it finds again when it comes back.
void Budgets::leave(Book& book, const budget::Report& report) {
  const bool nothing = report.complete && std::all_of(report.lanes.begin(), report.lanes.end(),
                                                      [](const auto& lane) { return lane.second.held == 0; });
  book.allocator->silent(report.pod);
  if (nothing) book.allocator->forget(report.pod);
  book.peers.erase(report.pod);
  book.asking.erase(report.pod);
  book.heard.erase(report.pod);
  forget_use(book, report.pod);
  set_limits(book);
}

void Budgets::silent(const std::string& pod, const BudgetPeer* peer) {
  for (const BookPtr& book : books()) {
    {
      const std::lock_guard lock(book->mutex);
      const auto found = book->peers.find(pod);
      if (found == book->peers.end() || found->second.address != peer) continue;
      book->peers.erase(found);
      book->asking.erase(pod);
      book->backends.erase(pod);
      forget_use(*book, pod);
      if (book->allocator) book->allocator->silent(pod);
      set_limits(*book);
    }
    touch(book);
  }
}

// With the lock; in the thread that looks at one after the other, so that no two grant the same.
std::set<std::string> Budgets::claim(const Book& book, const AllTotals& totals) {
  std::set<std::string> out;
  const auto of = [&totals](const budget::Lane& lane) {
    const auto found = totals.find(lane);
    return found == totals.end() ? operator_budget::Totals() : found->second;
  };
  const operator_budget::Totals writing = of(budget::kReadWrite);
  const Slots floors = book.floor * static_cast<Slots>(book.peers.size());
  for (const auto& [target, limit] : book.limits) {
    const operator_budget::Totals reading = of(target);
    const operator_budget::Claim claim{limit.own, writing.charged + reading.charged,
                                       std::max(writing.wanted, floors) + reading.wanted};
    for (std::string& other : servers_.claim(limit.place, book.proxy, claim)) out.insert(std::move(other));
  }
  return out;
}

void Budgets::run_steps() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const TimePoint now = clock_.now();
    for (auto it = due_.begin(); it != due_.end();) {
      const auto book = books_.find(it->first);
      if (now < it->second) {
        ++it;
        continue;
      }
      if (book != books_.end()) dirty_[it->first] = book->second;
      it = due_.erase(it);
    }
    if (dirty_.empty()) {
      Duration wait = std::chrono::seconds(1);
      for (const auto& [name, at] : due_) wait = std::min(wait, at - now);
      wake_steps_.wait_for(lock, std::max<Duration>(wait, std::chrono::milliseconds(1)));
      continue;
    }
    const auto dirty = std::exchange(dirty_, {});
    const bool leading = leading_;
    lock.unlock();
    if (leading) {
      for (const auto& [name, book] : dirty) step(book);
    }
    lock.lock();
  }
}

void Budgets::step(const BookPtr& book) {
  const bool sure = !certain || certain();
  std::vector<std::pair<std::shared_ptr<BudgetPeer>, budget::Allowance>> to;
  std::optional<TimePoint> again;
  std::optional<Work> write;
  std::set<std::string> others;
  {
    std::uint64_t term = 0;
    {
      const std::lock_guard lock(mutex_);
      term = term_;
    }
    const std::lock_guard lock(book->mutex);
    if (!book->allocator || book->gone) return;
    const TimePoint now = clock_.now();
    if (!sure) {
      again = now + kUncertainAgain;
    } else {
      others = claim(*book, book->allocator->totals());  // what it needs now
      set_limits(*book);
      operator_budget::Actions actions = book->allocator->step(now);
      for (auto& [pod, allowance] : actions.allowances) {
        const auto peer = book->peers.find(pod);
        if (peer == book->peers.end()) continue;
        Book::Cells& lane = cells(*book, allowance.lane);
        const auto asked = book->asking.find(pod);
        if (asked != book->asking.end() && allowance.goal == allowance.slots) {
          lane.latency->observe(now - asked->second);
          lane.grants->add();
          book->asking.erase(asked);
        }
        if (auto alive = peer->second.peer.lock()) {
          to.emplace_back(std::move(alive), std::move(allowance));
        } else {
          book->allocator->silent(pod);
          book->peers.erase(peer);
        }
      }
      if (actions.save) {
        write =
            Work{.book = book, .epoch = book->allocator->epoch(), .ceilings = std::move(*actions.save), .term = term};
      }
      again = book->allocator->next_step();
    }
    const AllTotals totals = book->allocator->totals();
    update_cells(*book, totals);
    others.merge(claim(*book, totals));
  }
  for (const std::string& other : others) {
    if (const BookPtr its = find(other)) touch(its);
  }
  if (write) enqueue(std::move(*write));
  for (const auto& [peer, allowance] : to) peer->tell(book->proxy, allowance);
  if (again) {
    const std::lock_guard lock(mutex_);
    due_[book->proxy] = *again;
  }
}

}  // namespace dbproxy::operator_control
