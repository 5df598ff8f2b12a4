// Chronicle: what happened to the databases of each DBProxy, for the live page: in files there is no place for Events.
//
// Keeps the last ones in memory. Thread-safe.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "operator/admin/view.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::manifest_mode {

class Chronicle {
 public:
  explicit Chronicle(const Clock& clock) : clock_(clock) {}

  // What is published; null: the DBProxy is gone.
  void note(const std::map<std::string, config::SnapshotPtr>& changed);
  // What keeps the clients of a DBProxy out, by its name: told when it begins, or is another.
  void note_troubles(const std::map<std::string, std::string>& troubles);
  // Newest first.
  std::vector<operator_admin::EventRow> rows() const;

 private:
  struct Entry {
    operator_admin::EventRow row;
    TimePoint at{};
  };
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::map<std::string, config::SnapshotPtr> known_;
  std::map<std::string, std::string> troubles_;
  std::deque<Entry> entries_;
};

}  // namespace dbproxy::manifest_mode
