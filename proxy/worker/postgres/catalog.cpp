#include "proxy/worker/postgres/catalog.hpp"

#include <atomic>

#include "proxy/base/log.hpp"
#include "proxy/session/postgres/catalog_scan.hpp"

namespace dbproxy::worker::postgres {
namespace {

constexpr Duration kRetryAfter = std::chrono::seconds(5);

// Any statement may change session state.
std::shared_ptr<session::postgres::HazardSet> anything() {
  auto everything = std::make_shared<session::postgres::HazardSet>();
  everything->set_everything();
  return everything;
}

// Never the same for two databases or two readings.
std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace

Catalog::Catalog(std::string where, std::string database, Duration age)
    : where_(std::move(where)),
      database_(std::move(database)),
      age_(age),
      domain_(static_cast<std::uint32_t>(next_number())),
      generation_(next_number()) {}

void Catalog::schema_changed(std::uint64_t tick) {
  domain_ = static_cast<std::uint32_t>(next_number());
  schema_since_ = tick;
}

std::string Catalog::begin(Reading& reading, TimePoint now, bool writer) {
  const bool whole = reading.differs || fingerprint_.empty();
  reading = {++begun_, whole, false};
  if (writer) from_writer_ = true;
  next_ = now + age_;
  return whole ? session::postgres::catalog_scan_sql() : session::postgres::catalog_fingerprint_sql();
}

bool Catalog::finish(Reading& reading, const session::postgres::ServerSession::Rows& rows, TimePoint now, bool writer) {
  session::postgres::CatalogScan scan;
  if (reading.number < taken_) return true;
  if (rows.too_long) {
    if (!warned_)
      log::warn("session", "the catalogue is too large to be read: every client is pinned",
                {{"proxy", where_}, {"database", database_}});
    warned_ = known_ = true;
    put_in_force(anything());
    fingerprint_.clear();
    taken_ = reading.number;
    next_ = now + age_;
    return true;
  }
  if (rows.failed || !scan.add_messages(rows.messages) || !scan.complete()) {
    if (!warned_)
      log::warn("session",
                fingerprint_.empty() ? "cannot read the catalogue: until it is read every client is pinned"
                                     : "cannot read the catalogue: what was read before is relied on",
                {{"proxy", where_}, {"database", database_}, {"error", rows.failed ? rows.error : "unexpected rows"}});
    if (fingerprint_.empty() && !known_) put_in_force(anything());
    warned_ = known_ = true;
    next_ = now + kRetryAfter;
    return false;
  }
  warned_ = false;
  known_ = true;
  from_writer_ = writer;
  next_ = now + age_;
  reading.differs = !reading.whole && scan.fingerprint() != fingerprint_;
  if (reading.differs) return true;
  taken_ = reading.number;
  if (scan.fingerprint() == fingerprint_) return true;
  auto result = scan.finish();
  fingerprint_ = scan.fingerprint();
  log::info("session", "catalogue read",
            {{"proxy", where_}, {"database", database_}, {"hazards", result.hazards->size()}});
  if (!result.everything.empty())
    log::warn("session", "every statement may change session state: clients are pinned",
              {{"proxy", where_}, {"database", database_}, {"because", result.everything}});
  if (!result.ddl.empty())
    log::warn("session", "changes of the schema may change session state: clients that make them are pinned",
              {{"proxy", where_}, {"database", database_}, {"because", result.ddl}});
  put_in_force(std::move(result.hazards));
  return true;
}

void Catalog::put_in_force(std::shared_ptr<const session::postgres::HazardSet> hazards) {
  hazards_ = hazards->empty() ? nullptr : std::move(hazards);
  generation_ = next_number();
}

}  // namespace dbproxy::worker::postgres
