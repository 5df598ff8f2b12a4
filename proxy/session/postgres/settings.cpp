#include "proxy/session/postgres/settings.hpp"

#include <algorithm>
#include <array>

namespace dbproxy::session::postgres {
namespace {

auto position(const Settings::Values& values, std::string_view name) {
  return std::lower_bound(values.begin(), values.end(), name,
                          [](const auto& item, std::string_view n) { return item.first < n; });
}

// E'…' means the same whatever standard_conforming_strings is.
void append_literal(std::string& out, std::string_view text) {
  out += "E'";
  for (char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  out += '\'';
}

}  // namespace

const std::string* Settings::find(std::string_view name) const {
  auto it = position(values_, name);
  return it != values_.end() && it->first == name ? &it->second : nullptr;
}

SettingsPtr SettingsInterner::intern(Settings::Values values) {
  std::sort(values.begin(), values.end());
  auto it = known_.find(values);
  if (it != known_.end()) {
    if (auto alive = it->second.lock()) return alive;
    known_.erase(it);
  }
  if (known_.size() >= sweep_at_) {
    std::erase_if(known_, [](const auto& item) { return item.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, known_.size() * 2);
  }
  auto made = std::make_shared<const Settings>(values);
  known_.emplace(std::move(values), made);
  return made;
}

SettingsPtr SettingsInterner::with(const SettingsPtr& base, std::string_view name, std::string_view value) {
  if (base) {
    if (auto current = base->find(name); current != nullptr && *current == value) return base;
  }
  Settings::Values values = base ? base->values() : Settings::Values{};
  auto it = position(values, name);
  if (it != values.end() && it->first == name) {
    values[static_cast<std::size_t>(it - values.begin())].second = value;
  } else {
    values.emplace(it, name, value);
  }
  return intern(std::move(values));
}

bool is_settable(std::string_view name) {
  static constexpr std::array<std::string_view, 9> kSettable = {
      "DateStyle",        "IntervalStyle",   "TimeZone",
      "application_name", "client_encoding", "default_transaction_read_only",
      "scram_iterations", "search_path",     "standard_conforming_strings"};
  return std::find(kSettable.begin(), kSettable.end(), name) != kSettable.end();
}

std::string replay_sql(const Settings& from, const Settings& to) {
  std::string sql;
  for (const auto& [name, value] : to.values()) {
    if (!is_settable(name)) continue;
    auto current = from.find(name);
    if (current == nullptr || *current == value) continue;
    sql += sql.empty() ? "SELECT pg_catalog.set_config(" : ", pg_catalog.set_config(";
    append_literal(sql, name);
    sql += ", ";
    append_literal(sql, value);
    sql += ", false)";
  }
  return sql;
}

}  // namespace dbproxy::session::postgres
