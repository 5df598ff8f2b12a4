// The part of ClientSession that keeps user variables: they are read, and unset, before the connection goes to somebody
// else, and put where a text names them.
#include <algorithm>
#include <utility>

#include "proxy/session/mysql/client_session.hpp"
#include "proxy/wire/mysql/commands.hpp"

namespace dbproxy::session::mysql {

UserVariables ClientSession::missing_variables(const ServerSession& server, const Verdict& asks) const {
  UserVariables missing;
  const auto lacks = [&](const std::string& name) {
    const auto own = variables_.find(name);
    if (own == variables_.end() || std::find(unread_.begin(), unread_.end(), name) != unread_.end()) return;
    const auto there = server.variables_.find(name);
    if (there == server.variables_.end() || there->second != own->second) missing.insert(*own);
  };
  if (variables_.empty()) return missing;
  if (asks.all_variables || asks.pins != 0) {  // it may use any of them
    for (const auto& [name, value] : variables_) lacks(name);
    return missing;
  }
  for (const std::string_view written : asks.variables)
    if (const auto name = own_variable(written)) lacks(*name);
  return missing;
}

// Where putting them fails, the connection is closed.
bool ClientSession::puts_variables(Step& step, const Verdict& asks) {
  ServerSession& server = *step.server;
  if (asks.get_diagnostics) return false;  // which any other statement would take away
  const bool uses = !asks.variables.empty() || asks.all_variables || asks.pins != 0;
  const UserVariables missing = uses ? missing_variables(server, asks) : UserVariables();
  const bool unsure = uses && !unput_.empty();
  if (missing.empty() && !unsure) return false;
  if (asks.diagnostics && kept_.empty() && diagnostics_on(server)) {
    server.fetch(ServerSession::Purpose::kDiagnostics, kAskDiagnostics, step.to_server);
    return true;
  }
  if (unsure) {
    server.fetch(ServerSession::Purpose::kVariables, ask_variables_sql(unread_), step.to_server);
    return true;
  }
  wire::mysql::query(step.to_server.own(), server.capabilities(), set_variables_sql(missing));
  server.ask(ServerSession::Purpose::kReplay, wire::mysql::Answer::kResults);
  server.replaying_ = server.settings();
  for (const auto& [name, value] : missing) server.variables_.insert_or_assign(name, value);
  return true;
}

void ClientSession::note_variables(ServerSession& server, const Verdict& verdict) {
  for (std::size_t i = 0; i < verdict.variables.size(); ++i) {
    if (!(verdict.variables_set & (1u << i))) continue;
    const auto name = own_variable(verdict.variables[i]);
    if (!name) continue;
    const bool put = !verdict.get_diagnostics || server.variables_.contains(*name) || !variables_.contains(*name);
    server.variables_.insert_or_assign(*name, UserVariable{});
    if (std::find(unread_.begin(), unread_.end(), *name) != unread_.end()) continue;
    unread_.push_back(*name);
    if (!put) unput_.push_back(*name);
  }
  if (variables_.size() + unread_.size() > kMaxUserVariables) pin_by_variables(server);
}

// They are not to be put elsewhere.
void ClientSession::pin_by_variables(ServerSession& server) {
  if (pins_ == 0) pin_statement_ = unread_statement_;
  pins_ |= bit(PinReason::kUserVariable);
  exclude(server);
}

void ClientSession::variables_fetched(ServerSession& server) {
  const ServerSession::Rows rows = server.take_rows();
  auto found = server.failed_ ? std::nullopt : read_variables(unread_, server.columns_, rows);
  if (server.failed_) server.clear_hidden_failure();
  status_ = server.status_;
  const std::vector<std::string> unput = std::exchange(unput_, {});
  unread_.clear();
  if (!found) return pin_by_variables(server);
  for (auto& [name, value] : *found) {
    if (value == unset_variable()) {
      server.variables_.erase(name);
      // Where it was not put there, nothing was set.
      if (std::find(unput.begin(), unput.end(), name) == unput.end()) variables_.erase(name);
      continue;
    }
    server.variables_.insert_or_assign(name, value);
    variables_.insert_or_assign(name, std::move(value));
  }
}

}  // namespace dbproxy::session::mysql
