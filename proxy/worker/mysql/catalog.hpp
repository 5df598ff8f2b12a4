// Catalog: which functions, triggers and views of a server may leave something in a session, as one user sees them.
//
// Read again after a client has changed any of them, and when what is known is older than `max_age`. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/base/clock.hpp"
#include "proxy/session/mysql/hazard_names.hpp"
#include "proxy/session/mysql/server_session.hpp"

namespace dbproxy::worker::mysql {

class Catalog {
 public:
  explicit Catalog(Duration max_age) : max_age_(max_age) {}

  bool known() const { return names_ != nullptr; }
  // Null until it was read: then everything counts as harmless, and nothing is served before.
  const session::mysql::HazardNames* names() const { return names_.get(); }
  void expire() { expired_ = true; }
  // Whether somebody should ask; begin() says that somebody does.
  bool due(TimePoint now) const;
  // `reading`: counts up as readings begin.
  const std::string& begin(TimePoint now, std::uint64_t& reading);
  // What has begun later is in force whenever it comes: it has seen all that this one has.
  void finish(std::uint64_t reading, const session::mysql::ServerSession::Rows& rows, TimePoint now);
  void failed() { asked_at_ = {}; }

 private:
  const Duration max_age_;
  std::shared_ptr<const session::mysql::HazardNames> names_;
  std::uint64_t versions_ = 0, begun_ = 0, taken_ = 0;
  bool expired_ = false;
  TimePoint read_at_{}, asked_at_{};
};

}  // namespace dbproxy::worker::mysql
