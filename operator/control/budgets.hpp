// Budgets: the connection budget of each DBProxy at work: its allocator, the sidecars that it speaks to, and the store
// that keeps its ceilings.
//
// What sidecars say is noted at once on whatever thread brings it; a thread of its own then looks at each budget with
// news and sends what follows, so that reports which come together are looked at together. Another one calls the store,
// which may block. Budgets of different DBProxies share no lock.
//
// Thread-safe. Peers are called without any lock held; lock order: hub, then a budget's, then a stream's.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "operator/budget/allocator.hpp"
#include "operator/control/ceiling_store.hpp"
#include "operator/control/rows.hpp"
#include "operator/control/servers.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/metrics/registry.hpp"

namespace dbproxy::operator_control {

// A sidecar as a budget speaks to it. Called from any thread; must not block.
class BudgetPeer {
 public:
  virtual ~BudgetPeer() = default;
  virtual void tell(const std::string& proxy, const budget::Open& open) = 0;
  virtual void tell(const std::string& proxy, const budget::Allowance& allowance) = 0;
};

class Budgets {
 public:
  // Without a store nothing is leased and every sidecar counts by itself.
  Budgets(std::shared_ptr<CeilingStore> store, metrics::Registry& registry, const Clock& clock);
  ~Budgets();  // stops
  Budgets(const Budgets&) = delete;
  Budgets& operator=(const Budgets&) = delete;

  bool leases() const { return store_ != nullptr; }
  void start();
  void stop();
  // False: nothing is granted any more. True again: what is kept is read anew.
  void lead(bool leading);
  // Asked before anything is granted: whether leadership is certain at this moment.
  std::function<bool()> certain;
  // Asked of sidecars that are silent; see server.hpp. Must not block.
  std::function<Fate(const std::string& pod)> fate;
  // Told what people should know of, once.
  std::function<void(const BudgetNews& news)> news;

  // The limits that follow from it. None: the DBProxy is gone, and nothing is granted for it any more.
  void publish(const std::string& proxy, const config::SnapshotPtr& snapshot);

  void hello(const std::string& proxy, const std::string& pod, std::uint64_t incarnation,
             const std::shared_ptr<BudgetPeer>& peer);
  void report(const std::string& proxy, const budget::Report& report);
  // This peer is no more; ignored where another has taken its place.
  void silent(const std::string& pod, const BudgetPeer* peer);
  // For all DBProxies: the pod is gone, and its connections with it.
  void forget(const std::string& pod);
  // Looks after those who are silent. Call about once a second.
  void tick();

  // What sidecars have open, as the servers number it.
  void backends(const std::string& proxy, const std::string& pod,
                std::map<std::string, std::vector<std::uint32_t>> ids);
  // Of these, how many are given to clients.
  void use(const std::string& proxy, const std::string& pod, std::uint32_t open, std::uint32_t in_use);
  // How many idle transactions it has ended for others who waited, since it started.
  void gave_way(const std::string& proxy, const std::string& pod, std::uint64_t transactions);
  // A question to the member at this address, by this user, that would help, if any; and what it was answered.
  struct Question {
    std::string proxy, target;
    std::vector<std::string> users;
    std::vector<std::uint32_t> known;
    std::map<std::string, std::uint64_t> about;  // processes by pod; none: for the count of foreign sessions alone
    std::string place;
  };
  std::optional<Question> question(const std::string& host, std::uint16_t port, const std::string& user);
  // `strangers`: sessions of these users that are not among those known. `others`: those of anybody, likewise. None: it
  // cannot be told.
  void answer(const Question& question, std::optional<std::uint32_t> strangers, std::optional<std::uint32_t> others);
  // Which server it is that answers at this address, as it calls itself: addresses of one server share what it has.
  // Empty: it does not say, and the address stands for it.
  void identify(const std::string& host, std::uint16_t port, const std::string& server);
  ServerNames servers() const { return servers_.names(); }

  std::vector<BudgetRow> rows() const;

 private:
  struct Peer {
    std::weak_ptr<BudgetPeer> peer;
    const BudgetPeer* address = nullptr;
    std::uint64_t incarnation = 0;
  };
  using Slots = operator_budget::Slots;
  struct Book {
    explicit Book(std::string name) : proxy(std::move(name)) {}
    const std::string proxy;
    std::set<std::string> places;  // of its members, as place_of says; with the lock of all
    bool leased = false;           // there was an allocator; likewise
    mutable std::mutex mutex;
    std::unique_ptr<operator_budget::Allocator> allocator;  // none: what is kept has not been read yet
    struct Limit {
      Slots own = 0;     // by the percentage
      Slots usable = 0;  // of the server, by anybody
      std::string place;
    };
    std::map<std::string, Limit> limits;  // by target
    std::uint32_t most_per_pod = 0, floor = 1;
    std::map<std::string, Peer> peers;            // by pod
    std::map<std::string, TimePoint> asking;      // pods that want more than they have, since when
    std::map<std::string, budget::Report> heard;  // the newest of each pod
    config::SnapshotPtr snapshot;
    std::map<std::string, std::map<std::string, std::vector<std::uint32_t>>> backends;  // by pod and target
    struct Use {
      std::uint32_t used = 0, idle = 0;
    };
    std::map<std::string, Use> uses;                // by pod
    std::map<std::string, std::uint64_t> gave_way;  // likewise
    Use sum;
    metrics::Cell *used = nullptr, *idle = nullptr;
    // By target: how many sessions there may be of processes before these.
    std::map<std::string, std::pair<std::map<std::string, std::uint64_t>, Slots>> strangers;
    struct Foreign {
      TimePoint asked{};
      std::optional<Slots> last, seen;  // seen: in two answers one after the other
      metrics::Cell *cell = nullptr, *others = nullptr;
    };
    std::map<std::string, Foreign> foreign;  // by target
    TimePoint full_since{};
    bool crowded = false;
    // Since when those with charges have been silent, and what was told of them.
    struct Silence {
      TimePoint since{}, lost{};
      bool told = false, told_lost = false;
    };
    std::map<std::string, Silence> silences;
    bool loading = false;  // what is kept is about to be read
    bool gone = false;
    struct Cells {
      metrics::Cell *limit, *granted, *asked, *unknown, *grants, *moved;
      metrics::Histogram* latency;
    };
    std::map<budget::Lane, Cells> cells;
  };
  using BookPtr = std::shared_ptr<Book>;
  struct Work {
    BookPtr book;
    bool load = false;
    TimePoint from{};  // not earlier
    std::uint64_t epoch = 0;
    operator_budget::Ceilings ceilings;
    std::uint64_t term = 0;
  };

  BookPtr find(const std::string& proxy) const;
  std::vector<BookPtr> books() const;
  // Of that server, by whatever address they have it.
  std::vector<BookPtr> books_at(const std::string& place) const;
  void touch_at(const std::string& place);
  void put_at(const BookPtr& book, std::set<std::string> places);  // with the lock of all
  void lease(const BookPtr& book);                                 // likewise
  void touch(const BookPtr& book);
  void run_steps();
  void run_store();
  void step(const BookPtr& book);
  void load(const Work& work);
  void save(const Work& work);
  bool outdated(const Work& work) const;
  void again(Work work);  // a little later
  void enqueue(Work work);
  void tick(const BookPtr& book, TimePoint now);
  void set_limits(Book& book);
  void leave(Book& book, const budget::Report& report);
  void note(Book& book, const budget::Report& report);
  void show_use(Book& book);
  void forget_use(Book& book, const std::string& pod);
  Book::Cells& cells(Book& book, const budget::Lane& lane);
  using AllTotals = std::map<budget::Lane, operator_budget::Totals>;
  void update_cells(Book& book, const AllTotals& totals);
  // Returns DBProxies to which that is news.
  std::set<std::string> claim(const Book& book, const AllTotals& totals);
  void note_foreign(Book& book, const std::string& target, Slots sessions);
  void note_others(const Question& question, Slots others);
  static std::optional<std::uint32_t> foreign(const Book& book);

  const std::shared_ptr<CeilingStore> store_;
  metrics::Registry& registry_;
  const Clock& clock_;
  Servers servers_;

  mutable std::mutex mutex_;  // of all below
  std::condition_variable wake_steps_, wake_store_;
  std::map<std::string, BookPtr> books_;
  std::map<std::string, std::map<std::string, BookPtr>> at_;  // leased: by place of a member, by DBProxy
  std::map<std::string, BookPtr> dirty_;
  std::map<std::string, TimePoint> due_;  // books to be looked at again by then
  std::deque<Work> work_;                 // of one DBProxy there is one at a time
  bool leading_ = true, stopping_ = false;
  std::uint64_t term_ = 0;  // counts up with each change of leadership
  std::thread steps_, storing_;
};

}  // namespace dbproxy::operator_control
