// The part of ServerSession that keeps what its server has: settings as it tells of them, statements, and what is over
// when a request is.
#include <algorithm>

#include "proxy/session/mysql/client_session.hpp"
#include "proxy/session/mysql/server_session.hpp"
#include "proxy/wire/mysql/commands.hpp"

namespace dbproxy::session::mysql {

namespace wire = dbproxy::wire::mysql;

namespace {

bool tells_of(std::string_view state, std::string_view name) {
  wire::StateReader reader(state);
  for (wire::StateChange change; reader.next(change);)
    if (change.type == wire::StateType::kSystemVariable && equals_folded(change.name, name)) return true;
  return false;
}

}  // namespace

void ServerSession::reported(std::string_view state, std::string_view told, std::string_view value) {
  const std::string name = folded(own_name(told, mariadb_));
  if (!is_replayed(name)) return;
  if (verdict_ != nullptr)
    for (std::size_t i = 0; i < verdict_->settings.size(); ++i)
      if (equals_folded(own_name(verdict_->settings[i], mariadb_), name)) reported_ |= 1u << i;
  settings_ = interner_->with(settings_, name, value);
  // Their collations come with them, and are told by nobody: the client's text may say another, see request_done().
  if (name == "character_set_connection" && !tells_of(state, "collation_connection"))
    settings_ = interner_->without(settings_, "collation_connection");
  if (name == "character_set_client") settings_ = interner_->without(settings_, kClientCollation);
  if (name == "character_set_results") settings_ = interner_->without(settings_, kResultsCollation);
}

void ServerSession::apply(std::string_view state) {
  wire::StateReader reader(state);
  for (wire::StateChange change; reader.next(change);) {
    switch (change.type) {
      case wire::StateType::kSystemVariable:
        reported(state, change.name, change.value);
        if (equals_folded(change.name, "max_join_size") && !tells_of(state, "sql_big_selects"))
          reported(state, "sql_big_selects", big_selects_of(change.value));
        break;
      case wire::StateType::kSchema:
        settings_ = interner_->with_schema(settings_, change.value);
        break;
      case wire::StateType::kStateChange:
        changed_ = changed_ || change.value == "1";
        break;
      case wire::StateType::kTransactionState:
        tables_locked_ = change.value.size() >= 8 && change.value[7] == 'L';
        break;
      case wire::StateType::kCharacteristics:
        characteristics_ = change.value;
        break;
      case wire::StateType::kGtids:
        break;
    }
  }
}

void ServerSession::follow_savepoint(std::uint16_t now) {
  const bool ended = (status_ & wire::status::kInTransaction) && !(now & wire::status::kInTransaction);
  const Verdict* const verdict = hidden() ? nullptr : verdict_;
  if (now & wire::status::kAutocommit || ended || (verdict != nullptr && verdict->ends_transaction)) savepoint_ = false;
  if (verdict != nullptr && verdict->savepoint && !(now & wire::status::kAutocommit)) savepoint_ = true;
}

// As after COM_RESET_CONNECTION: the schema stays, and whether several statements may be sent.
void ServerSession::back_to_new() {
  settings_ = interner_->intern(settings_->schema(), base_->variables());
  prepared_.clear();
  used_.clear();
  close_owed_.clear();
  savepoint_ = tables_locked_ = false;
  characteristics_.clear();
  gives_insert_id(0, 0);
  variables_.clear();
  left_behind_ = only_tracking_ = false;
  needs_start_ = true;
}

ServerVerdict ServerSession::finish(ClientSession* client) {
  asked_ = false;
  const bool theirs = for_client(client);
  if (!hidden()) {
    ++events_.queries_done;
    if (!in_transaction()) ++events_.transactions_done;
    events_.programs_changed |= verdict_ != nullptr && verdict_->changes_programs && !failed_;
  }
  switch (purpose_) {
    case Purpose::kStart:
      if (failed_) return ServerVerdict::kProtocolError;
      needs_start_ = false;
      break;
    case Purpose::kReset:
      if (failed_) return ServerVerdict::kProtocolError;
      back_to_new();
      break;
    case Purpose::kReplay:
      if (failed_) return ServerVerdict::kReplayFailed;
      settings_ = replaying_;
      ++events_.replays;
      break;
    case Purpose::kUnset:
      left_behind_ = left_behind_ || failed_;  // then a reset does it
      hidden_failed_ = false;
      variables_.clear();
      break;
    case Purpose::kSchema:
      if (!failed_) settings_ = replaying_;
      break;
    case Purpose::kOption:
      if (failed_) return ServerVerdict::kProtocolError;
      multi_statements_ = !multi_statements_;
      break;
    case Purpose::kClientReset:
      if (!failed_) {
        back_to_new();
        if (theirs) client->was_reset(*this);
      }
      break;
    case Purpose::kClient:
    case Purpose::kClientPrepare:
      if (theirs) client->request_done(*this);
      break;
    case Purpose::kPrepare:
      if (!failed_ && statement_ && find(*statement_) == nullptr)
        return ServerVerdict::kProtocolError;  // an OK, and no statement
      break;
    default:
      break;
  }
  if (collecting_ && collected_bytes_ > kMaxCollected) {
    hidden_failed_ = true;
    collected_.clear();
  }
  // MariaDB forgets warnings only with statements that use tables, or that have some themselves. What a text tells of
  // tables is not enough for saying that nobody else's are left.
  const bool keeps = purpose_ == Purpose::kClientPrepare && statement_ && statement_->verdict.diagnostics && !failed_;
  const bool forgets = !mariadb_ || failed_ || warned_ || (hidden() && (diagnostics_clear_ || collecting_));
  if (!keeps && forgets) {
    if (!hidden())
      diagnostics_owner_ = theirs ? client->serial() : 0;
    else if (!fetching() && purpose_ != Purpose::kOption)
      diagnostics_owner_ = 0;
  }
  if (hidden() ? purpose_ != Purpose::kOption && purpose_ != Purpose::kSchema
               : verdict_ == nullptr || !verdict_->keeps_diagnostics)
    own_warnings_ = hidden() && warned_ && !mariadb_;
  // What nobody has set here was set by what failed before it.
  const bool sets = purpose_ == Purpose::kReplay || purpose_ == Purpose::kSchema || purpose_ == Purpose::kReset;
  if (hidden() && !sets && client != nullptr && !orphaned_) client->told_late(*this, asked_under_);
  if (fetching() && client != nullptr && !orphaned_) client->fetched(*this, purpose_);
  if (theirs) {
    last_client_ = client->serial();
    last_query_ = client->queries();
  }
  replaying_.reset();
  statement_.reset();
  verdict_ = nullptr;
  return ServerVerdict::kReady;
}

ServerSession::Prepared* ServerSession::find(const Statement& statement) {
  const auto it = prepared_.find(&statement);
  if (it == prepared_.end()) return nullptr;
  used_.splice(used_.end(), used_, it->second.second.used);
  return &it->second.second;
}

ServerSession::Prepared& ServerSession::keep(const StatementPtr& statement, std::uint32_t id) {
  auto [it, made] = prepared_.try_emplace(statement.get());
  if (!made) {  // prepared once more: the one before is closed with the next write
    std::string number(4, '\0');
    wire::store_u32(number.data(), it->second.second.id);
    wire::command(close_owed_, wire::Command::kStmtClose, number);
    used_.erase(it->second.second.used);
  }
  it->second.first = statement;
  Prepared& prepared = it->second.second;
  prepared.id = id;
  prepared.types.clear();
  prepared.used = used_.insert(used_.end(), statement.get());
  if (prepared_.size() > kMaxPreparedPerServer) {
    const auto oldest = prepared_.find(used_.front());
    std::string number(4, '\0');
    wire::store_u32(number.data(), oldest->second.second.id);
    wire::command(close_owed_, wire::Command::kStmtClose, number);
    used_.pop_front();
    prepared_.erase(oldest);
  }
  return prepared;
}

void ServerSession::drop(const Statement& statement, Output& to_server) {
  const auto it = prepared_.find(&statement);
  if (it == prepared_.end()) return;
  std::string number(4, '\0');
  wire::store_u32(number.data(), it->second.second.id);
  wire::command(to_server.own(), wire::Command::kStmtClose, number);
  used_.erase(it->second.second.used);
  prepared_.erase(it);
}

}  // namespace dbproxy::session::mysql
