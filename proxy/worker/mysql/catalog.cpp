#include "proxy/worker/mysql/catalog.hpp"

namespace dbproxy::worker::mysql {
namespace {

constexpr Duration kAnswerWithin = std::chrono::seconds(5);  // after which another connection asks

}  // namespace

bool Catalog::due(TimePoint now) const {
  if (asked_at_ != TimePoint{} && now - asked_at_ < kAnswerWithin && !expired_) return false;
  return !known() || expired_ || now - read_at_ >= max_age_;
}

const std::string& Catalog::begin(TimePoint now, std::uint64_t& reading) {
  static const std::string kSql(session::mysql::kHazardSources);
  asked_at_ = now;
  expired_ = false;
  reading = ++begun_;
  return kSql;
}

void Catalog::finish(std::uint64_t reading, const session::mysql::ServerSession::Rows& rows, TimePoint now) {
  if (reading < taken_) return;
  taken_ = reading;
  auto made = std::make_shared<session::mysql::HazardNames>();
  for (const auto& row : rows) {
    if (row.size() == 2 && row[0]) made->add(*row[0], row[1] ? std::string_view(*row[1]) : std::string_view());
  }
  made->settle();
  read_at_ = now;
  asked_at_ = {};
  if (names_ && made->same_as(*names_)) return;
  made->version = ++versions_;
  names_ = std::move(made);
}

}  // namespace dbproxy::worker::mysql
