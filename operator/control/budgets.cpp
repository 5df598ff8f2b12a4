#include "operator/control/budgets.hpp"

#include <algorithm>

#include "proxy/base/log.hpp"

namespace dbproxy::operator_control {
namespace {

using operator_budget::Allocator;
using operator_budget::AllocatorOptions;
using operator_budget::Slots;

constexpr std::chrono::milliseconds kStoreAgain{500};
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
    for (const auto& [name, book] : books_) all.push_back(book);
  }
  for (const BookPtr& book : all) {
    const std::lock_guard lock(book->mutex);
    book->allocator.reset();
    book->asking.clear();
  }
  if (!leading) return;
  for (const BookPtr& book : all) enqueue({book, true, 0, {}, term});
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

void Budgets::touch(const BookPtr& book) {
  {
    const std::lock_guard lock(mutex_);
    dirty_[book->proxy] = book;
  }
  wake_steps_.notify_one();
}

void Budgets::enqueue(Work work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  wake_store_.notify_one();
}

void Budgets::publish(const std::string& proxy, const config::SnapshotPtr& snapshot) {
  if (!store_) return;
  BookPtr book;
  bool fresh = false;
  bool leading = false;
  std::uint64_t term = 0;
  {
    const std::lock_guard lock(mutex_);
    BookPtr& entry = books_[proxy];
    if (!snapshot) {
      if (entry) {
        const std::lock_guard book_lock(entry->mutex);
        entry->gone = true;
      }
      books_.erase(proxy);
      dirty_.erase(proxy);
      due_.erase(proxy);
      registry_.retire({{"proxy", proxy}});
      return;
    }
    fresh = !entry;
    if (fresh) entry = std::make_shared<Book>(proxy);
    book = entry;
    leading = leading_;
    term = term_;
  }
  {
    const std::lock_guard lock(book->mutex);
    book->snapshot = snapshot;
    book->limits.clear();
    for (const config::Target& target : snapshot->targets) {
      const std::uint32_t limit = config::connection_limit(target, snapshot->pool);
      if (limit > 0) book->limits[target.id] = limit;
    }
    set_limits(*book);
  }
  if (fresh && leading) enqueue({book, true, 0, {}, term});
  touch(book);
}

// With the lock. One sidecar of four or more has a quarter of the whole at most, so that what becomes unknown of it is
// no more than that.
void Budgets::set_limits(Book& book) {
  if (!book.allocator) return;
  Slots most = 0;
  for (const auto& [target, limit] : book.limits) most = std::max(most, limit);
  const Slots parts = book.peers.size() < kManySidecars ? 1 : kManySidecars;
  const Slots per_pod = book.most_per_pod > 0 ? std::min(book.most_per_pod, most) : (most + parts - 1) / parts;
  book.allocator->set_limits(book.limits, per_pod);
}

void Budgets::hello(const std::string& proxy, const std::string& pod, std::uint64_t incarnation,
                    const std::shared_ptr<BudgetPeer>& peer) {
  const BookPtr book = find(proxy);
  if (!book) return;
  budget::Open open;
  {
    const std::lock_guard lock(book->mutex);
    book->peers[pod] = {peer, peer.get(), incarnation};
    set_limits(*book);
    if (!book->allocator) return;  // it is told when what is kept has been read
    open = book->allocator->hello({pod, incarnation});
  }
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
  set_limits(book);
}

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

void Budgets::silent(const std::string& pod, const BudgetPeer* peer) {
  for (const BookPtr& book : books()) {
    {
      const std::lock_guard lock(book->mutex);
      const auto found = book->peers.find(pod);
      if (found == book->peers.end() || found->second.address != peer) continue;
      book->peers.erase(found);
      book->asking.erase(pod);
      book->backends.erase(pod);
      if (book->allocator) book->allocator->silent(pod);
      set_limits(*book);
    }
    touch(book);
  }
}

void Budgets::forget(const std::string& pod) {
  for (const BookPtr& book : books()) {
    {
      const std::lock_guard lock(book->mutex);
      if (!book->allocator || book->peers.contains(pod)) continue;
      book->allocator->forget(pod);
      book->heard.erase(pod);
    }
    touch(book);
  }
}

void Budgets::backends(const std::string& proxy, const std::string& pod,
                       std::map<std::string, std::vector<std::uint32_t>> ids) {
  const BookPtr book = find(proxy);
  if (!book) return;
  const std::lock_guard lock(book->mutex);
  if (book->peers.contains(pod)) book->backends[pod] = std::move(ids);
}

// What is known by now is open then, or closed: whatever else the server has by then is a stranger. Other DBProxies on
// the same server may have the same users.
std::optional<Budgets::Question> Budgets::question(const std::string& host, std::uint16_t port,
                                                   const std::string& user) const {
  std::optional<Question> question;
  std::vector<std::uint32_t> known;
  for (const BookPtr& book : books()) {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator || !book->snapshot) continue;
    const auto target = std::find_if(book->snapshot->targets.begin(), book->snapshot->targets.end(),
                                     [&](const auto& each) { return each.host == host && each.port == port; });
    if (target == book->snapshot->targets.end()) continue;
    for (const auto& [pod, targets] : book->backends) {
      const auto ids = targets.find(target->id);
      if (ids != targets.end()) known.insert(known.end(), ids->second.begin(), ids->second.end());
    }
    if (question || book->snapshot->find_user(user) == nullptr) continue;
    auto about = book->allocator->haunted();
    if (about.empty()) continue;
    question = Question{book->proxy, target->id, {}, {}, std::move(about)};
    for (const config::User& each : book->snapshot->users) question->users.push_back(each.name);
  }
  if (question) question->known = std::move(known);
  return question;
}

// Once each member has said so of the same processes. They are charged for as many connections as there are strangers
// at most, all together: others may use the database as the same users, and would else count once for each of them.
void Budgets::answer(const Question& question, std::uint32_t strangers) {
  const BookPtr book = find(question.proxy);
  if (!book) return;
  {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator || !book->snapshot) return;
    book->strangers[question.target] = {question.about, strangers};
    Slots left = 0;
    for (const config::Target& target : book->snapshot->targets) {
      const auto said = book->strangers.find(target.id);
      if (said == book->strangers.end() || said->second.first != question.about) return;
      left = std::max(left, said->second.second);
    }
    book->strangers.clear();
    if (book->allocator->haunted() != question.about) return;
    for (const auto& [pod, incarnation] : question.about) {
      const Slots charged = book->allocator->bury(pod, left);
      left -= std::min(left, charged);
    }
  }
  touch(book);
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
      if (actions.save) write = Work{book, false, book->allocator->epoch(), std::move(*actions.save), term};
      again = book->allocator->next_step();
    }
    update_cells(*book);
  }
  if (write) enqueue(std::move(*write));
  for (const auto& [peer, allowance] : to) peer->tell(book->proxy, allowance);
  if (again) {
    const std::lock_guard lock(mutex_);
    due_[book->proxy] = *again;
  }
}

void Budgets::run_store() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_store_.wait(lock, [this] { return stopping_ || !work_.empty(); });
    if (stopping_) return;
    const Work work = std::move(work_.front());
    work_.pop_front();
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

void Budgets::load(const Work& work) {
  const Result<CeilingStore::Kept> kept = store_->load(work.book->proxy);
  if (kept.has_error()) {
    log::error("budget", "cannot read the ceilings that are kept: nothing is granted until it can",
               {{"proxy", work.book->proxy}, {"error", kept.error().message()}});
    std::unique_lock lock(mutex_);
    wake_store_.wait_for(lock, kStoreAgain, [this] { return stopping_; });
    if (!stopping_ && work.term == term_ && books_.contains(work.book->proxy)) work_.push_back(work);
    return;
  }
  std::vector<std::pair<std::shared_ptr<BudgetPeer>, budget::Open>> to;
  {
    const std::lock_guard all(mutex_);
    if (work.term != term_) return;
    const std::lock_guard lock(work.book->mutex);
    work.book->allocator =
        std::make_unique<Allocator>(AllocatorOptions{.floor = work.book->floor}, kept->epoch, kept->ceilings);
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

void Budgets::save(const Work& work) {
  const CeilingStore::Saved saved = store_->save(work.book->proxy, work.epoch, work.ceilings);
  if (saved == CeilingStore::Saved::kLater) {
    std::unique_lock lock(mutex_);
    wake_store_.wait_for(lock, kStoreAgain, [this] { return stopping_; });
    if (!stopping_ && work.term == term_ && books_.contains(work.book->proxy)) work_.push_front(work);
    return;
  }
  {
    const std::lock_guard lock(work.book->mutex);
    auto& allocator = work.book->allocator;
    if (!allocator || allocator->epoch() != work.epoch) return;
    allocator->saved(saved == CeilingStore::Saved::kInForce);
    if (allocator->deposed()) {
      log::warn("budget", "another operator leases slots now: this one grants nothing more",
                {{"proxy", work.book->proxy}, {"epoch", work.epoch}});
    }
  }
  touch(work.book);
}

Budgets::Book::Cells& Budgets::cells(Book& book, const budget::Lane& lane) {
  const auto found = book.cells.find(lane);
  if (found != book.cells.end()) return found->second;
  const metrics::Labels labels{{"proxy", book.proxy}, {"lane", lane.empty() ? "READ_WRITE" : lane}};
  Book::Cells& made = book.cells[lane];
  made.limit =
      &registry_.gauge("dbproxy_operator_slots_limit", "Connections that all sidecars together may have", labels);
  made.granted = &registry_.gauge("dbproxy_operator_slots_granted", "Connections that sidecars may have now", labels);
  made.asked = &registry_.gauge("dbproxy_operator_slots_asked", "Connections that sidecars have or wait for", labels);
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
void Budgets::update_cells(Book& book) {
  bool full = false;
  for (const auto& [lane, totals] : book.allocator->totals()) {
    Book::Cells& to = cells(book, lane);
    to.limit->set(totals.limit);
    to.granted->set(totals.charged);
    to.asked->set(totals.wanted);
    to.unknown->set(totals.unknown);
    full = full || (totals.wanted > totals.charged && totals.charged >= totals.limit && totals.limit > 0);
  }
  if (!full) {
    book.full_since = {};
  } else if (book.full_since == TimePoint{}) {
    book.full_since = clock_.now();
  }
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
      out.push_back({book->proxy, lane, "", totals.limit, totals.charged, totals.unknown, totals.wanted, full});
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
