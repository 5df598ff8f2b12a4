// Catalog: what is known of one database's catalogue: which names in a statement may change session state.
//
// Read over whichever server connection of that database is at hand: while it is opened, before it goes back to the
// pool, or idle; at most a minute old, unless nobody is connected. A change of the catalogue through this sidecar is
// read before its client hears that it is done. A change made elsewhere may go unseen for that minute. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/base/clock.hpp"
#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/server_session.hpp"

namespace dbproxy::worker::postgres {

class Catalog {
 public:
  // `where` is for log lines; `age`: how old it may be.
  Catalog(std::string where, std::string database, Duration age);

  void describe(session::postgres::ClassifyOptions& options) const {
    options.hazards = hazards_.get();
    options.hazards_generation = generation_;
    options.hazards_domain = domain_;
    options.schema_since = schema_since_;
    options.catalog_known = !fingerprint_.empty();
  }

  bool known() const { return known_; }
  // `writer`: replicas are behind, so that they are asked only when no writer has been for twice as long.
  bool due(TimePoint now, bool writer) const {
    return now >= (writer ? next_ : next_ + age_) || (writer && !from_writer_);
  }
  // Statements that are parsed from now on are no longer those from before; `tick`: of the StatementCache.
  void schema_changed(std::uint64_t tick);
  // Ask again at the next opportunity.
  void expire() { next_ = {}; }

  // One that was begun. Several may be under way, on connections that answer in their own time.
  struct Reading {
    std::uint64_t number = 0;  // counts up as they begin
    bool whole = false;        // not the fingerprint alone
    bool differs = false;      // the fingerprint alone was read, and is another: the next begin() reads all
  };
  // The query to run now; others need not. The fingerprint first, where one is known.
  std::string begin(Reading& reading, TimePoint now, bool writer);
  // Its rows. False: they are of no use, and what was known before stays in force; if nothing was, that anything may
  // change session state. What has begun later is in force whenever it comes: it has seen all that this one has.
  // Where `reading.differs` after it, nothing has changed yet, and a begin() with it is due at once.
  bool finish(Reading& reading, const session::postgres::ServerSession::Rows& rows, TimePoint now, bool writer);

 private:
  void put_in_force(std::shared_ptr<const session::postgres::HazardSet> hazards);

  std::string where_, database_;
  Duration age_;
  std::uint32_t domain_;
  std::uint64_t schema_since_ = 0;
  std::uint64_t generation_;
  std::shared_ptr<const session::postgres::HazardSet> hazards_;  // null: no hazards
  std::string fingerprint_;
  std::uint64_t begun_ = 0, taken_ = 0;  // numbers of readings
  TimePoint next_{};
  bool known_ = false, from_writer_ = false, warned_ = false;
};

}  // namespace dbproxy::worker::postgres
