// A session's settings as interned, immutable sets.
//
// Two sessions with the same settings hold the same pointer, so that "does this connection need anything changed for
// this client?" is a pointer comparison. Those that PostgreSQL reports by ParameterStatus are all there (protocol:
// "Asynchronous Operations"); of the others those that somebody set: what is not there is as it was when the
// connection was opened.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbproxy::session::postgres {

class Settings {
 public:
  using Values = std::vector<std::pair<std::string, std::string>>;  // sorted by name
  Settings(Values reported, Values tracked, std::uint32_t reading)
      : values_(std::move(reported)), tracked_(std::move(tracked)), reading_(reading) {}

  const Values& values() const { return values_; }    // reported, by the server's names for them
  const Values& tracked() const { return tracked_; }  // not reported, by lower-case names; "role" is one
  // nullptr when there is no such reported setting; no such tracked one.
  const std::string* find(std::string_view name) const;
  const std::string* find_tracked(std::string_view name) const;
  // Sets in which a statement's text is read and planned the same way have the same number.
  std::uint32_t reading() const { return reading_; }

 private:
  Values values_, tracked_;
  std::uint32_t reading_;
};

using SettingsPtr = std::shared_ptr<const Settings>;

// Makes equal settings the same object. Sets that nobody holds are forgotten. One thread.
class SettingsInterner {
 public:
  SettingsPtr intern(Settings::Values reported, Settings::Values tracked = {});
  // `base` with one reported value changed or added.
  SettingsPtr with(const SettingsPtr& base, std::string_view name, std::string_view value);
  // `base` with other tracked ones.
  SettingsPtr with_tracked(const SettingsPtr& base, Settings::Values tracked);

 private:
  using Key = std::pair<Settings::Values, Settings::Values>;
  std::map<Key, std::weak_ptr<const Settings>> known_;
  static constexpr std::size_t kMaxReadings = 10000;
  std::map<Settings::Values, std::uint32_t> readings_;
  std::uint32_t next_reading_ = 0;
  std::size_t sweep_at_ = 64;
};

// Whether a client can change it, so that it can be replayed. The others (server_version, in_hot_standby, …) are facts
// about the server.
bool is_settable(std::string_view name);

// Whether it decides what a text says: how constants in it are read, and what names stand for. Of any case.
bool decides_meaning(std::string_view name);
// One query that puts these from how they are in `from` to how they are in `to`, for this transaction; "" where none
// differs. `unknown`: tracked names of which nobody knows what they are. `base`: as replay_sql() has it.
std::string set_meaning_sql(const Settings& from, const Settings& to, const Settings& base,
                            const std::vector<std::string>& unknown);

// The name of a setting as it stands in a text (words, "…", dots between them) or in a string, in the form in which it
// is tracked. Empty: it cannot be tracked, because its value cannot be read back or put back.
std::string tracked_name(std::string_view text);

// Statements that bring a connection from `from` to `to`, written with qualified names, for one transaction; empty when
// nothing that can be set differs. `unknown`: tracked names of which nobody knows what they are on the connection.
// `base`: what it had when it was opened. Who one is comes last and is undone first: other settings may need the rights
// of whoever logged in.
std::string replay_sql(const Settings& from, const Settings& to, const std::vector<std::string>& unknown,
                       const Settings& base);

// One query for the values of tracked names, each in a column: text or NULL. With `sources`, which costs the server ten
// times as much, one more column: name=source of those that pg_settings shows, with commas between.
std::string read_settings_sql(const std::vector<std::string>& names, bool sources);

// Of its row (a DataRow message), in the order of the names. Nothing at all: this is not its row, or a value cannot be
// kept. `encoding`: client_encoding.
struct ReadSetting {
  std::string name;
  std::optional<std::string> value;  // nothing where the setting is as it was at the start
  bool listed = false;               // with `sources`: pg_settings shows it
};
using ReadSettings = std::vector<ReadSetting>;
std::optional<ReadSettings> read_settings(std::string_view messages, const std::vector<std::string>& names,
                                          bool sources, std::string_view encoding);

}  // namespace dbproxy::session::postgres
