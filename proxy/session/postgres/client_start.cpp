// The part of ClientSession that goes back to the settings that its client started with.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

bool only_hidden_before_last(const Requests& requests) {
  for (std::size_t i = 0; i + 1 < requests.size(); ++i)
    if (!requests.at(i).hidden) return false;
  return true;
}

}  // namespace

void ClientSession::started_with(SettingsInterner& interner, Settings::Values own) {
  interner_ = &interner;
  start_ = settings_;
  own_ = std::move(own);
}

// Facts about the server stay as they are.
SettingsPtr ClientSession::settings_at_start(const SettingsPtr& now) const {
  if (!start_) return now;
  auto settings = interner_->with_tracked(now, start_->tracked());
  for (const auto& [name, value] : start_->values())
    if (is_settable(name)) settings = interner_->with(settings, name, value);
  return settings;
}

void ClientSession::tell_changes(const SettingsPtr& told, const SettingsPtr& now, Output& to_client) const {
  for (const auto& [name, value] : now->values()) {
    const auto before = told->find(name);
    if (before == nullptr || *before != value) wire::parameter_status(to_client.own(), name, value);
  }
}

// DISCARD ALL while no server is attached: whatever there is to discard is here.
void ClientSession::discard_here(Step& step) {
  const auto told = settings_;
  settings_ = settings_at_start(settings_);
  discarded_all();
  wire::MessageWriter(step.to_client.own(), 'C').cstring("DISCARD ALL");
  tell_changes(told, settings_, step.to_client);
}

bool ClientSession::may_go_back(const Verdict& verdict, std::string_view text) const {
  if (own_.empty()) return false;
  if (verdict.executes_prepared && !names_.empty()) return true;
  if (verdict.reset_all || verdict.reset_other || verdict.settings_go_back) return true;
  if (!verdict.sets && !verdict.reported_setting) return false;
  return contains_folded(text, "default") || contains_folded(text, "local") || contains_folded(text, "names") ||
         contains_folded(text, "reset");
}

// A simple query, with what has to be set behind a RESET.
void ClientSession::send_query(Step& step, std::string_view whole, std::string_view text, const Verdict& verdict) {
  auto& server = *step.server;
  auto& entry = server.requests_.push(RequestKind::kQuery);
  entry.settings_expected = verdict.sets;
  entry.block_expected = verdict.runs_block;
  wait_for_quiet_ = verdict.discard_all || verdict.deallocate_all || holds_ready() || names_due_;
  if (may_go_back(verdict, text)) {
    const auto& settings = settings_now(&server);
    const auto value = settings ? settings->find("standard_conforming_strings") : nullptr;
    const Executed executed = [this](std::string_view name) { return executed_text(name); };
    const bool strings = value == nullptr || *value == "on";
    // SET LOCAL by itself does nothing but warn, which it does not if there are two statements.
    const bool by_itself = verdict.statement_count == 1 && server.transaction_status_ == 'I' && !server.beginning_ &&
                           !server.begun_ && (only_hidden_before_last(server.requests_) || server.replaying_);
    const auto places = by_itself ? going_back(text, strings, executed) : std::vector<GoesBack>();
    const bool warns = !places.empty() && places.front().local;
    const auto longer =
        warns ? std::string() : with_start_settings(text, strings, own_, kSetsStart, server.inserted_, executed);
    if (!longer.empty()) {
      entry.sets_start = true;
      wait_for_quiet_ = true;  // server.inserted_ is of this one
      server.sets_seen_ = 0;
      wire::query(step.to_server.own(), longer);
      return;
    }
  }
  step.to_server.ref(whole);
}

// The same by extended query: hidden, in the same sequence, and so in the same transaction.
void ClientSession::set_start_after_execute(Step& step) {
  for (const auto& sql : after_execute_) run_hidden(step, sql, false);
  after_execute_.clear();
}

}  // namespace dbproxy::session::postgres
