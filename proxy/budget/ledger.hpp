// Ledger: the slots that one sidecar holds for one DBProxy: how many connections it may have, and what it says of it.
//
// The owner tells how many connections there are to each member and asks `limit` before it opens another one. Limits
// follow what the operator allows; while nobody is there to allow anything they stay. A slot is given back when the
// operator asks for it and its connection is closed, or when it had no use for a while. What is held is saved before
// it is used, and a give-back before it is told: a successor then knows what its predecessor may have left behind.
//
// Pure but for `save`: no I/O, no clock of its own. One thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "proxy/base/clock.hpp"
#include "proxy/budget/messages.hpp"

namespace dbproxy::budget {

// What there is to do and to lose at one cluster member.
struct Use {
  bool writer = false;  // it has the role READ_WRITE
  Slots open = 0;       // connections, also those that are being opened or closed, and what predecessors left
  Slots waiting = 0;    // clients for which none is being opened
  Slots idle = 0;       // of those open: without use for a while, so that others who wait may have them
  bool operator==(const Use&) const = default;
};

struct LedgerOptions {
  std::string pod;
  std::uint64_t incarnation = 0;
  Holdings own = {};                               // what the predecessor had saved: this one goes on with it
  bool complete = true;                            // false: there may have been a predecessor of which nothing is known
  Duration keep = std::chrono::milliseconds(500);  // slots without use
  // Keeps holdings where a successor finds them. False: it could not, and nothing more is taken.
  std::function<bool(const Holdings&)> save = {};
};

class Ledger {
 public:
  explicit Ledger(LedgerOptions options);

  Hello hello() const { return {options_.pod, options_.incarnation}; }
  // False: out of date or meant for another, and nothing has changed. Otherwise a report is due.
  bool take(const Open& open);
  bool take(const Allowance& allowance, TimePoint now);

  // What is there now. `open` may exceed limit() only by connections that there were before it fell.
  void set_use(const std::string& member, Use use, TimePoint now);
  // Of connections that it has without having been allowed them, from a time when it counted by itself.
  void assume(const Lane& lane, Slots slots);
  // It ends, and its connections are closed: gives back all but so many for a successor, and takes no more.
  void leave(Slots keep);
  // Nobody hears what it says, until an operator opens a session again. What is given back then is of no use to
  // anybody, and cannot be had again: only what it was asked for before goes.
  void unheard() { heard_ = false; }
  // Gives back what has had no use for long enough. Call a few times a second.
  void tick(TimePoint now);

  // Most connections to have to this member now.
  Slots limit(const std::string& member) const;
  // What has to be told, if anything has changed since it was told last in this session.
  std::optional<Report> report();
  Holdings holdings() const;
  std::uint64_t epoch() const { return epoch_; }

 private:
  struct Account {
    std::uint64_t seen = 0;
    Slots cap = 0;   // may be held
    Slots goal = 0;  // asked to come down to it where it is below cap
    Slots floor = 0;
    std::optional<TimePoint> spare_since;
  };

  Slots cap(const Lane& lane) const;
  Slots wanted(const Lane& lane) const;
  Slots needed(const Lane& lane) const;
  void settle(const Lane& lane, Account& account, TimePoint now);
  void settle_all(TimePoint now);
  bool save() { return !options_.save || options_.save(holdings()); }

  LedgerOptions options_;
  std::uint64_t epoch_ = 0, session_ = 0, reports_ = 0;
  std::map<Lane, Account> accounts_;
  std::map<std::string, Use> uses_;
  std::map<Lane, LaneReport> told_;
  bool due_ = false;
  bool leaving_ = false;
  bool heard_ = false;
};

}  // namespace dbproxy::budget
