// Settings that PostgreSQL reports by ParameterStatus, as interned, immutable sets.
//
// Two sessions with the same settings hold the same pointer, so that "does this connection need anything changed for
// this client?" is a pointer comparison. (Protocol: "Asynchronous Operations".)
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbproxy::session::postgres {

class Settings {
 public:
  using Values = std::vector<std::pair<std::string, std::string>>;  // sorted by name
  explicit Settings(Values values) : values_(std::move(values)) {}

  const Values& values() const { return values_; }
  // nullptr when there is no such setting.
  const std::string* find(std::string_view name) const;

 private:
  Values values_;
};

using SettingsPtr = std::shared_ptr<const Settings>;

// Makes equal settings the same object. Sets that nobody holds are forgotten. One thread.
class SettingsInterner {
 public:
  SettingsPtr intern(Settings::Values values);
  // `base` with one value changed or added.
  SettingsPtr with(const SettingsPtr& base, std::string_view name, std::string_view value);

 private:
  std::map<Settings::Values, std::weak_ptr<const Settings>> known_;
  std::size_t sweep_at_ = 64;
};

// Whether a client can change it, so that it can be replayed. The others (server_version, in_hot_standby, …) are facts
// about the server.
bool is_settable(std::string_view name);

// One statement that brings a connection from `from` to `to`, written with qualified names; empty when nothing
// settable differs. Values are quoted for standard_conforming_strings either way.
std::string replay_sql(const Settings& from, const Settings& to);

}  // namespace dbproxy::session::postgres
