// The part of ClientSession that keeps its settings: what is put on a server connection, how texts are read under them.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/replay_guard.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

// Client encodings in which a character may end in the byte of a backslash.
bool may_hide_backslash(std::string_view encoding) {
  for (auto known : {"SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004"}) {
    if (encoding == known) return true;
  }
  return false;
}

}  // namespace

std::chrono::milliseconds ClientSession::time_limit(std::string_view name) const {
  const auto* value = settings_ ? settings_->find_tracked(name) : nullptr;
  if (value == nullptr) return {};
  long long number = 0;
  const auto end = std::from_chars(value->data(), value->data() + value->size(), number).ptr;
  const auto unit = std::string_view(*value).substr(static_cast<std::size_t>(end - value->data()));
  // As SHOW has it.
  static constexpr std::pair<std::string_view, long long> kUnits[] = {{"", 1},        {"ms", 1},      {"s", 1000},
                                                                      {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
  for (const auto& [known, milliseconds] : kUnits)
    if (unit == known && number > 0 && number < 1LL << 31) return std::chrono::milliseconds(number * milliseconds);
  return {};
}

// While a setting is not known, a statement is like no other.
std::uint32_t ClientSession::reading_of(const Step& step) const {
  if (step.server != nullptr && !step.server->settings_settled()) return cache_->new_reading();
  const auto& settings = settings_now(step.server);
  return settings ? settings->reading() : 0;
}

ClassifyOptions ClientSession::classify_options(const Step& step) const {
  auto options = step.options.classify;
  const auto& settings = settings_now(step.server);
  auto strings = settings ? settings->find("standard_conforming_strings") : nullptr;
  options.standard_conforming_strings = strings == nullptr || *strings == "on";
  options.search_path_reported = settings && settings->find("search_path") != nullptr;
  options.read_only_reported = settings && settings->find("default_transaction_read_only") != nullptr;
  auto encoding = settings ? settings->find("client_encoding") : nullptr;
  options.everything = step.server != nullptr && step.server->catalog_changed();
  options.backslash_in_characters = encoding != nullptr && may_hide_backslash(*encoding);
  options.reading = reading_of(step);
  return options;
}

void ClientSession::attached(ServerSession& server, Output& to_server, Output& to_client) {
  execute_sets_ = false;
  execute_runs_ = false;
  execute_discards_ = false;
  after_execute_.clear();
  settled_since_attached_ = may_have_ended_ = false;
  notifications_first_ = listening() && server.spoke_for_ != process_id_;
  if (!notifications_first_) server.spoke_for_ = process_id_;
  if (server.settings_ != settings_ || !server.settings_known()) replay_settings(server, to_server, to_client);
  send_begin(server, to_server);
}

// set_config($1, …): Bind tells the name. A text has the same bytes in either format. False: it does not tell.
bool ClientSession::note_bound_setting(Step& step, const Statement& statement,
                                       std::optional<std::string_view> setting) {
  if (!setting || statement.verdict.setting_parameter == 0) return false;
  const auto may_stand = [](char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || c == '.';
  };
  if (setting->empty() || !std::all_of(setting->begin(), setting->end(), may_stand)) return false;
  const auto& reported = step.server->settings()->values();
  const bool told = std::any_of(reported.begin(), reported.end(), [&](const auto& item) {
    return item.first.size() == setting->size() &&
           std::equal(setting->begin(), setting->end(), item.first.begin(), [](char a, char b) {
             return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
           });
  });
  auto name = tracked_name(*setting);
  if ((name.empty() && !told) || equals_folded(*setting, "session_authorization")) return false;
  auto verdict = statement.verdict;
  verdict.pins &= ~bit(PinReason::kSetVariable);
  note(verdict, statement.text(), step);
  // With this search path a CREATE TABLE that follows may make a temporary one.
  if (equals_folded(*setting, "search_path")) {
    pin(bit(PinReason::kTemporaryObject));
    probe_due_ = true;
  }
  if (!told) {
    step.server->touch(std::move(name));
    step.server->maybe_back_ = true;
  }
  return true;
}

void ClientSession::replay_settings(ServerSession& server, Output& to_server, Output& to_client) {
  auto sql = replay_sql(*server.settings_, *settings_, server.unknown_, *server.base_);
  bool other_user = sql.find("RESET SESSION AUTHORIZATION") == 0;
  for (const auto& [name, value] : server.settings_->values()) {
    if (is_settable(name) || name == "session_authorization") continue;
    if (other_user && name == "is_superuser") continue;
    auto mine = settings_->find(name);
    if (mine != nullptr && *mine == value) continue;
    wire::parameter_status(to_client.own(), name, value);
    settings_ = server.interner_->with(settings_, name, value);
  }
  if (sql.empty()) return;
  server.replay(sql, to_server);
  // What is reported comes by ParameterStatus.
  server.settings_ = server.interner_->with_tracked(server.settings_, settings_->tracked());
  server.unknown_.clear();
}

bool ClientSession::hold(const Step& step, std::string_view text) {
  held_ = step.server->replaying() && may_end_transaction(text);
  return held_;
}

}  // namespace dbproxy::session::postgres
