// The part of ServerSession that knows what the settings of its connection are, or finds out.
#include <algorithm>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {
constexpr std::size_t kMaxNotShown = 64;
}

void ServerSession::touch(std::string name) {
  const auto reported = [&](const auto& item) { return equals_folded(item.first, name); };
  if (std::any_of(settings_->values().begin(), settings_->values().end(), reported)) return;
  if (name.starts_with("transaction_")) return;  // ends with it
  if (std::find(unknown_.begin(), unknown_.end(), name) == unknown_.end()) unknown_.push_back(std::move(name));
}

void ServerSession::touch(const Verdict& verdict, bool in_transaction) {
  for (std::size_t i = 0; i < verdict.settings.size(); ++i) touch(tracked_name(verdict.settings[i]));
  if (verdict.role_too) touch("role");
  if (verdict.characteristics) {
    for (auto name : {"default_transaction_isolation", "default_transaction_deferrable"}) touch(name);
    if (settings_->find("default_transaction_read_only") == nullptr) touch("default_transaction_read_only");
  }
  if (verdict.reset_all) touch_all();
  unlisted_ = unlisted_ || verdict.sets_listed;
  // A statement by itself that goes through has done what it says, unless it is rolled back; nothing else is that sure.
  if (verdict.settings_go_back || verdict.statement_count != 1) maybe_back_ = true;
  back_by_rollback_ = back_by_rollback_ || in_transaction;
}

void ServerSession::touch_all() {
  for (const auto& [name, value] : settings_->tracked()) touch(name);
  for (const auto& [name, value] : base_->tracked()) touch(name);
  for (const auto& name : read_) touch(name);
}

void ServerSession::settings_listed(ClientSession* client) {
  const auto rows = take_rows();
  if (!rows.failed && !rows.too_long) return touch_set_names(rows, {});
  if (client != nullptr) client->pin(bit(PinReason::kSetVariable));
}

void ServerSession::read_settings(Output& to_server) {
  if (std::exchange(unlisted_, false)) {
    touch_all();
    maybe_back_ = listing_ = true;
    read_set_names(to_server);
    return;
  }
  read_ = std::exchange(unknown_, {});
  // What pg_settings has not shown it will hardly show now.
  const auto shown = [this](const auto& name) { return may_be_shown(name); };
  read_sources_ = std::exchange(maybe_back_, false) && std::any_of(read_.begin(), read_.end(), shown);
  back_by_rollback_ = false;
  query(read_settings_sql(read_, read_sources_), to_server);
  requests_.back().keeps_rows = true;
  reading_rows_ = reading_settings_ = true;
  rows_ = {};
}

bool ServerSession::may_be_shown(const std::string& name) const {
  return std::find(not_shown_.begin(), not_shown_.end(), name) == not_shown_.end();
}

std::string ServerSession::take_settings() {
  auto rows = take_rows();
  auto names = std::exchange(read_, {});
  auto encoding = settings_->find("client_encoding");
  std::optional<ReadSettings> values;
  if (!rows.failed && !rows.too_long) {
    values = postgres::read_settings(rows.messages, names, read_sources_, encoding != nullptr ? *encoding : "");
  }
  if (!values) {
    for (auto& name : names) touch(std::move(name));
    maybe_back_ = true;
    return rows.failed ? rows.error : "a value cannot be kept";
  }
  Settings::Values tracked;
  for (const auto& item : settings_->tracked()) {
    if (std::find(names.begin(), names.end(), item.first) == names.end()) tracked.push_back(item);
  }
  for (auto& [name, value, listed] : *values) {
    if (read_sources_ && !listed && not_shown_.size() < kMaxNotShown && may_be_shown(name)) not_shown_.push_back(name);
    if (!value) continue;
    auto at_start = base_->find_tracked(name);
    if (at_start != nullptr && *at_start == *value) continue;
    if (name == "role" && *value == "none" && at_start == nullptr) continue;
    tracked.emplace_back(name, std::move(*value));
  }
  settings_ = interner_->with_tracked(settings_, std::move(tracked));
  return {};
}

void ServerSession::read_set_names(Output& to_server) {
  query_rows(
      "SELECT pg_catalog.lower(s.name) FROM pg_catalog.pg_settings AS s"
      " WHERE s.source OPERATOR(pg_catalog.=) 'session'",
      to_server);
}

void ServerSession::touch_set_names(const Rows& rows, const Verdict& init) {
  touch(init, false);
  std::string_view rest = rows.messages;
  while (!rest.empty()) {
    const auto frame = wire::scan_frame(rest);
    if (frame.scan != wire::Scan::kMessage || frame.size > rest.size()) return;
    wire::Reader reader(rest.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize));
    rest.remove_prefix(frame.size);
    reader.u16();
    const auto size = reader.u32();
    const auto name = reader.bytes(size);
    if (!reader.ok()) return;
    if (auto tracked = tracked_name(name); !tracked.empty()) touch(std::move(tracked));
  }
}

void ServerSession::set_base() {
  base_ = settings_;
  settings_ = interner_->with_tracked(settings_, {});
}

void ServerSession::back_to_base() {
  Settings::Values tracked = settings_->tracked();
  std::erase_if(tracked, [this](const auto& item) { return base_->find_tracked(item.first) != nullptr; });
  settings_ = interner_->with_tracked(settings_, std::move(tracked));
  std::erase_if(unknown_, [this](const auto& name) { return base_->find_tracked(name) != nullptr; });
}

// DISCARD ALL went through: it runs alone, and no ROLLBACK takes it back.
void ServerSession::discarded_all() {
  settings_ = interner_->with_tracked(settings_, {});
  unknown_.clear();
  unlisted_ = false;
  may_listen_ = may_have_names_ = false;
}

}  // namespace dbproxy::session::postgres
