// Budgets: what processes that are no more may have left on the servers.
#include <algorithm>

#include "operator/control/budgets.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::operator_control {
namespace {

constexpr std::chrono::seconds kSilent{15};  // from then on people are told
constexpr std::chrono::minutes kLost{5};     // likewise, of what nobody can give back
constexpr std::chrono::seconds kForeignEvery{3};
constexpr std::chrono::milliseconds kScarceEvery{900};  // where each free connection counts: with each probe

}  // namespace

void Budgets::tick() {
  if (!store_ || !fate) return;
  const TimePoint now = clock_.now();
  for (const BookPtr& book : books()) tick(book, now);
}

// A sidecar that is silent may use what it has: it is charged until it is known to be gone. Then what it left behind is
// looked for at the database.
void Budgets::tick(const BookPtr& book, TimePoint now) {
  std::vector<BudgetNews> found;
  bool changed = false;
  {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator) return;
    std::map<std::string, Book::Silence> silences;
    for (const std::string& pod : book->allocator->unheard()) {
      if (book->peers.contains(pod)) continue;
      Book::Silence silence = book->silences[pod];
      if (silence.since == TimePoint{}) silence.since = now;
      const Slots slots = book->allocator->charged(pod);
      switch (fate(pod)) {
        case Fate::kThere:
          if (now - silence.since >= kSilent && !std::exchange(silence.told, true)) {
            found.push_back({BudgetNews::Kind::kSilent, book->proxy, pod, slots});
          }
          break;
        case Fate::kEnded:
          book->allocator->forget(pod);
          book->heard.erase(pod);
          changed = true;
          continue;
        case Fate::kGone:
          if (silence.lost == TimePoint{}) {
            silence.lost = now;
            book->allocator->lose(pod);
            book->heard.erase(pod);
            log::info("budget", "a sidecar is gone: its slots wait for the database to show that its connections are",
                      {{"proxy", book->proxy}, {"identity", pod}, {"slots", slots}});
          }
          if (now - silence.lost >= kLost && !std::exchange(silence.told_lost, true)) {
            found.push_back({BudgetNews::Kind::kLost, book->proxy, pod, slots});
          }
          break;
      }
      silences[pod] = silence;
    }
    book->silences = std::move(silences);
  }
  for (const BudgetNews& each : found) {
    const bool lost = each.kind == BudgetNews::Kind::kLost;
    log::warn("budget", lost ? "connections of a sidecar that is gone are still charged" : "a sidecar is silent",
              {{"proxy", each.proxy}, {"identity", each.identity}, {"slots", each.slots}});
    if (news) news(each);
  }
  if (changed) touch(book);
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
                                                   const std::string& user) {
  const TimePoint now = clock_.now();
  const std::string place = Servers::place_of(host, port);
  const std::set<std::string> places = servers_.places(place);
  std::optional<Question> question;
  std::vector<std::uint32_t> known;
  for (const BookPtr& book : books_at(place)) {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator || !book->snapshot) continue;
    for (const config::Target& target : book->snapshot->targets) {
      const std::string here = Servers::place_of(target.host, target.port);
      if (!places.contains(here)) continue;
      for (const auto& [pod, targets] : book->backends) {
        const auto ids = targets.find(target.id);
        if (ids != targets.end()) known.insert(known.end(), ids->second.begin(), ids->second.end());
      }
      if (question || here != place || book->snapshot->find_user(user) == nullptr) continue;
      auto about = book->allocator->haunted();
      Book::Foreign& foreign = book->foreign[target.id];
      const bool scarce = servers_.scarce(place, config::connection_limit(target, {}));
      const bool due =
          foreign.asked == TimePoint{} || now - foreign.asked >= (scarce ? Duration(kScarceEvery) : kForeignEvery);
      if (about.empty() && !due) continue;
      foreign.asked = now;
      question = Question{book->proxy, target.id, {}, {}, std::move(about), place};
      for (const config::User& each : book->snapshot->users) question->users.push_back(each.name);
    }
  }
  if (question) question->known = std::move(known);
  return question;
}

// Once each member has said so of the same processes. They are charged for as many connections as there are strangers
// at most, all together: others may use the database as the same users, and would else count once for each of them.
void Budgets::answer(const Question& question, std::optional<std::uint32_t> strangers,
                     std::optional<std::uint32_t> others) {
  if (others) note_others(question, *others);
  const BookPtr book = find(question.proxy);
  if (!book || !strangers) return;
  {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator || !book->snapshot) return;
    note_foreign(*book, question.target, *strangers);
    if (question.about.empty()) return;
    book->strangers[question.target] = {question.about, *strangers};
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

// Of sessions that nobody knows, as many may be those of sidecars that are charged without being heard of.
void Budgets::note_others(const Question& question, Slots others) {
  const std::set<std::string> places = servers_.places(question.place);
  Slots unknown = 0;
  for (const BookPtr& book : books_at(question.place)) {
    const std::lock_guard lock(book->mutex);
    if (!book->allocator) continue;
    const AllTotals totals = book->allocator->totals();
    for (const auto& [target, limit] : book->limits) {
      if (!places.contains(limit.place)) continue;
      for (const budget::Lane& lane : {budget::kReadWrite, budget::Lane(target)}) {
        const auto found = totals.find(lane);
        if (found != totals.end()) unknown += found->second.unknown;
      }
      break;  // by one of its names
    }
  }
  const Slots seen = others - std::min(others, unknown);
  if (servers_.count(question.place, seen)) touch_at(question.place);
  const BookPtr book = find(question.proxy);
  if (!book) return;
  const std::lock_guard lock(book->mutex);
  if (book->gone) return;
  metrics::Cell*& cell = book->foreign[question.target].others;
  if (cell == nullptr) {
    cell = &registry_.gauge("dbproxy_operator_other_sessions", "Connections of a member that are no sidecar's",
                            {{"proxy", question.proxy}, {"target", question.target}});
  }
  cell->set(seen);
}

}  // namespace dbproxy::operator_control
