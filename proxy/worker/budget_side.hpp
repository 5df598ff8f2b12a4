// BudgetSide: what one DBProxy on a worker may have of the fleet's connections: its ledger, and the file that tells a
// successor of it.
//
// Without an operator, or with one that leases nothing, it counts by itself: then every limit is the target's own. The
// file, NAMESPACE.NAME in `slots` of the state directory, says what is held: a successor goes on with that, also while
// the operator is away. Which of it connections of processes before it still take, ConnectionRecord tells. A file of
// another boot means nothing. Or it says that the operator leases nothing: then who starts while that is away counts by
// itself as well.
//
// Neither I/O on a query's path nor clocks: the file is written where slots come or go. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/budget/ledger.hpp"

namespace dbproxy::worker {

struct BudgetOptions {
  std::uint64_t incarnation = 0;  // of this process; 0: there is no operator
  std::string state_dir;          // empty: nothing is kept
};

// The file of that DBProxy; empty: nothing is kept.
std::string slots_file(const BudgetOptions& options, const std::string& proxy);

using BudgetReportSink = std::function<void(const std::string& proxy, const budget::Report&)>;

class BudgetSide {
 public:
  using Uses = std::map<std::string, budget::Use>;  // by target

  // `path`: its file; empty: nothing is kept. `again`: not the first in this process of that name, so that others of it
  // may still have connections.
  BudgetSide(const BudgetOptions& options, std::string path, bool again);

  bool leased() const { return leased_; }
  // It may open some connection.
  bool has_slots() const { return !leased_ || !ledger_.holdings().empty(); }
  // The operator does not lease: count by itself from now on, and tell a successor.
  void count_alone();

  // `uses`: what there is now. False: not for this process or out of date.
  bool take(const budget::Open& open, const Uses& uses, TimePoint now);
  bool take(const budget::Allowance& allowance, const Uses& uses, TimePoint now);
  void set_uses(const Uses& uses, TimePoint now);
  void tick(TimePoint now);
  // Nobody hears what is reported, until an operator speaks again.
  void unheard() { ledger_.unheard(); }
  // All connections are closed, and the process ends.
  void leave();

  // Most connections to have to this target now. Only while leased().
  budget::Slots limit(const std::string& target) const { return ledger_.limit(target); }
  // What is to be told now, if anything.
  std::optional<budget::Report> report() { return leased_ ? ledger_.report() : std::nullopt; }

 private:
  struct Found {
    budget::Holdings own;
    bool complete = false;
    bool alone = false;
  };
  BudgetSide(const BudgetOptions& options, std::string path, const Found& found);
  static Found find(const std::string& path, bool again);
  bool write(const budget::Holdings& holdings, std::string_view state) const;

  const std::string path_;
  const bool complete_;  // as the ledger's
  budget::Ledger ledger_;
  bool leased_;
  Uses uses_;
};

}  // namespace dbproxy::worker
