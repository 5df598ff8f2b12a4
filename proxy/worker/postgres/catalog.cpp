#include "proxy/worker/postgres/catalog.hpp"

#include <atomic>

#include "proxy/base/log.hpp"
#include "proxy/session/postgres/catalog_scan.hpp"

namespace dbproxy::worker::postgres {
namespace {

constexpr Duration kRetryAfter = std::chrono::seconds(5);

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

std::string Catalog::begin(TimePoint now, bool writer) {
  if (writer) from_writer_ = true;
  next_ = now + age_;
  return session::postgres::catalog_scan_sql(fingerprint_);
}

bool Catalog::finish(const session::postgres::ServerSession::Rows& rows, TimePoint now, bool writer) {
  using session::postgres::HazardSet;
  session::postgres::CatalogScan scan;
  if (rows.too_long) {
    if (!warned_)
      log::warn("session", "the catalogue is too large to be read: every client is pinned",
                {{"proxy", where_}, {"database", database_}});
    warned_ = known_ = true;
    auto everything = std::make_shared<HazardSet>();
    everything->set_everything();
    put_in_force(std::move(everything));
    fingerprint_.clear();
    next_ = now + age_;
    return true;
  }
  if (rows.failed || !scan.add_messages(rows.messages) || !scan.complete()) {
    if (!warned_)
      log::warn("session", "cannot read the catalogue: state that functions of the database set may go unseen",
                {{"proxy", where_}, {"database", database_}, {"error", rows.failed ? rows.error : "unexpected rows"}});
    warned_ = known_ = true;
    next_ = now + kRetryAfter;
    return false;
  }
  warned_ = false;
  known_ = true;
  from_writer_ = writer;
  next_ = now + age_;
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
