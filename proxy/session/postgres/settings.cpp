#include "proxy/session/postgres/settings.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "proxy/session/postgres/tokenizer.hpp"

namespace dbproxy::session::postgres {
namespace {

auto position(const Settings::Values& values, std::string_view name) {
  return std::lower_bound(values.begin(), values.end(), name,
                          [](const auto& item, std::string_view n) { return item.first < n; });
}

// Whether a statement is read or planned differently when it has another value: constants in the text go through the
// input functions of their types when it is prepared, and what is planned then is kept.
bool matters_for_reading(std::string_view name) {
  static constexpr std::string_view kPlanning[] = {
      "constraint_exclusion", "cursor_tuple_fraction", "default_toast_compression",   "effective_cache_size",
      "from_collapse_limit",  "join_collapse_limit",   "operator_precedence_warning", "plan_cache_mode"};
  return decides_meaning(name) || std::find(std::begin(kPlanning), std::end(kPlanning), name) != std::end(kPlanning) ||
         name.starts_with("enable_") || name.starts_with("geqo") || name.starts_with("backslash_") ||
         name.ends_with("_cost");
}

}  // namespace

bool decides_meaning(std::string_view name) {
  static constexpr std::string_view kKnown[] = {"array_nulls",
                                                "backslash_quote",
                                                "client_encoding",
                                                "datestyle",
                                                "default_text_search_config",
                                                "intervalstyle",
                                                "search_path",
                                                "standard_conforming_strings",
                                                "timezone",
                                                "timezone_abbreviations",
                                                "transform_null_equals",
                                                "xmloption"};
  const auto is = [name](std::string_view known) { return equals_folded(name, known); };
  return std::any_of(std::begin(kKnown), std::end(kKnown), is) || name.starts_with("lc_");
}

const std::string* Settings::find(std::string_view name) const {
  auto it = position(values_, name);
  return it != values_.end() && it->first == name ? &it->second : nullptr;
}

const std::string* Settings::find_tracked(std::string_view name) const {
  auto it = position(tracked_, name);
  return it != tracked_.end() && it->first == name ? &it->second : nullptr;
}

SettingsPtr SettingsInterner::intern(Settings::Values reported, Settings::Values tracked) {
  std::sort(reported.begin(), reported.end());
  std::sort(tracked.begin(), tracked.end());
  Key key{std::move(reported), std::move(tracked)};
  auto it = known_.find(key);
  if (it != known_.end()) {
    if (auto alive = it->second.lock()) return alive;
    known_.erase(it);
  }
  if (known_.size() >= sweep_at_) {
    std::erase_if(known_, [](const auto& item) { return item.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, known_.size() * 2);
  }
  Settings::Values reads;
  for (const auto* values : {&key.first, &key.second})
    for (const auto& item : *values)
      if (matters_for_reading(item.first)) reads.push_back(item);
  // Numbers are never used again: one that is forgotten makes for statements that are prepared once more.
  if (readings_.size() >= kMaxReadings) readings_.clear();
  auto reading = readings_.emplace(std::move(reads), next_reading_).first->second;
  if (reading == next_reading_) ++next_reading_;
  auto made = std::make_shared<const Settings>(key.first, key.second, reading);
  known_.emplace(std::move(key), made);
  return made;
}

SettingsPtr SettingsInterner::with_tracked(const SettingsPtr& base, Settings::Values tracked) {
  std::sort(tracked.begin(), tracked.end());
  if (base && base->tracked() == tracked) return base;
  return intern(base ? base->values() : Settings::Values{}, std::move(tracked));
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
  return intern(std::move(values), base ? base->tracked() : Settings::Values{});
}

bool is_settable(std::string_view name) {
  static constexpr std::array<std::string_view, 9> kSettable = {
      "DateStyle",        "IntervalStyle",   "TimeZone",
      "application_name", "client_encoding", "default_transaction_read_only",
      "scram_iterations", "search_path",     "standard_conforming_strings"};
  return std::find(kSettable.begin(), kSettable.end(), name) != kSettable.end();
}

}  // namespace dbproxy::session::postgres
