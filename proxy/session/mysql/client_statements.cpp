#include "proxy/session/mysql/client_session.hpp"
#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/reader.hpp"

// Prepared statements of the protocol: the client's numbers, and where they are prepared.
namespace dbproxy::session::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace error = dbproxy::wire::mysql::error;
using wire::Answer;
using wire::Command;

}  // namespace

ClientVerdict ClientSession::prepare(Step& step, std::span<char> packet, std::string_view text) {
  if (rejected(step)) return ClientVerdict::kMore;
  if (statements_.size() >= kMaxStatementsPerClient) {
    local_error(step, 1461, "42000", "Can't create more than 16382 prepared statements for a client of this proxy");
    return ClientVerdict::kMore;
  }
  if (step.server == nullptr) return ClientVerdict::kNeedServer;
  const LexOptions lexical = lex(step);
  const ClassifyOptions how{lexical, false, step.options.hazards};
  std::string reading = settings_->reading();
  if (how.hazards != nullptr) (reading += '\0') += std::to_string(how.hazards->version);
  StatementPtr statement = cache_->intern(text, reading, how);
  const bool own = statement->verdict.connection_id && step.options.connection_id != 0;
  if (own) {
    own_text_ = substituted(text, lexical, {.connection_id = step.options.connection_id});
    statement = cache_->intern(own_text_, reading, how);
  }
  const ClientVerdict ready = steps(step, statement->verdict, false, false);
  if (ready == ClientVerdict::kRefuse) return ClientVerdict::kMore;
  if (ready != ClientVerdict::kMore) return ready;
  ServerSession& server = ask(step, ServerSession::Purpose::kClientPrepare, Answer::kPrepare, statement->verdict);
  server.statement_ = std::move(statement);
  server.only_rows_ = server.holds_transaction();
  while (next_statement_ == 0 || statements_.contains(next_statement_)) ++next_statement_;
  server.client_number_ = next_statement_++;
  last_prepared_ = 0;  // until it is
  if (keep_text) last_text = text;
  if (own)
    wire::command(step.to_server.own(), Command::kStmtPrepare, own_text_);
  else
    send(step, packet);
  return ClientVerdict::kMore;
}

// MariaDB's connectors send an execution behind its prepare, before they know the number: of what was prepared last.
std::uint32_t ClientSession::statement_number(std::uint32_t told) const {
  return told == 0xffffffff ? last_prepared_ : told;
}

void ClientSession::prepared(std::uint32_t number, const StatementPtr& statement, std::uint16_t parameters) {
  last_prepared_ = number;
  ClientStatement& made = statements_[number];
  made = ClientStatement{};
  made.statement = statement;
  made.parameters = parameters;
}

// kMore: it is prepared on this connection.
ClientVerdict ClientSession::prepare_here(Step& step, const StatementPtr& statement) {
  ServerSession& server = *step.server;
  if (server.find(*statement) != nullptr) return ClientVerdict::kMore;
  if (!server.close_owed_.empty()) {
    step.to_server.own() += server.close_owed_;
    server.close_owed_.clear();
  }
  wire::command(step.to_server.own(), Command::kStmtPrepare, statement->text);
  server.ask(ServerSession::Purpose::kPrepare, Answer::kPrepare);
  server.statement_ = statement;
  in_step_ = step_error_is_answer_ = true;
  return ClientVerdict::kWait;
}

ClientVerdict ClientSession::execute(Step& step, std::span<char> packet, std::string_view payload) {
  if (rejected(step)) return ClientVerdict::kMore;
  wire::Reader reader(payload.substr(1));
  const std::uint32_t number = statement_number(reader.u32());
  const auto it = statements_.find(number);
  if (!reader.ok() || it == statements_.end()) {
    local_error(step, error::kUnknownStatement, "HY000",
                "Unknown prepared statement handler (" + std::to_string(number) + ") given to mysqld_stmt_execute");
    return ClientVerdict::kMore;
  }
  ClientStatement& statement = it->second;
  wire::Execute execute;
  if (!wire::read_execute(payload, capabilities_, statement.parameters, execute)) {
    local_error(step, error::kMalformedPacket, "HY000", "Malformed communication packet");
    return ClientVerdict::kMore;
  }
  if (step.server == nullptr) return ClientVerdict::kNeedServer;
  StatementPtr runs = statement.statement;
  const Verdict& verdict = statement.statement->verdict;
  Known known;
  if (found_query_ == 0) found_rows_ = step.server->mariadb_ ? 1 : 0;
  if (verdict.diagnostics && verdict.statement_count == 1 && !kept_.empty() &&
      answer_kept(step, runs->text, settings_->lex(), true, known.diagnostics))
    return ClientVerdict::kMore;
  known.rows =
      (verdict.row_count && (row_count_here_ || !was_last_on(*step.server))) ||
      (verdict.found_rows && (step.server->found_client_ != serial_ || step.server->found_query_ != found_query_));
  if (known.any()) {  // a statement of its own, that has the values
    const ClassifyOptions how{settings_->lex(), false, step.options.hazards};
    runs = own_statement_ = cache_->intern(substituted(runs->text, how.lex, known), settings_->reading(), how);
  }
  ClientVerdict ready = steps(step, verdict);
  if (ready == ClientVerdict::kMore) ready = prepare_here(step, runs);
  if (ready == ClientVerdict::kRefuse) return ClientVerdict::kMore;
  if (ready != ClientVerdict::kMore) return ready;

  ServerSession& server = ask(step, ServerSession::Purpose::kClient, Answer::kResults, verdict);
  if (known.diagnostics && !server.mariadb_ && !read_show(statement.statement->text, settings_->lex())) kept_.clear();
  server.only_rows_ = server.holds_transaction() && verdict.only_rows;
  ServerSession::Prepared& there = *server.find(*runs);
  server.statement_ = statement.statement;  // whose the verdict is
  executing_ = number;
  if (execute.types_sent) statement.types = payload.substr(execute.bound_at + 1, execute.types_size);
  if (verdict.inserts && statement.long_data)
    server.numbers_.add_all();
  else if (verdict.inserts)
    server.numbers_.add(numbers_of(payload, execute, statement.types));
  const bool types_missing = execute.bound_at > 0 && !execute.types_sent && there.types != statement.types;
  if (execute.bound_at > 0) there.types = statement.types;
  if (types_missing) {
    wire::PacketWriter writer(step.to_server.own(), 0);
    writer.u8(static_cast<std::uint8_t>(Command::kStmtExecute))
        .u32(there.id)
        .bytes(payload.substr(5, execute.bound_at - 5));
    writer.u8(1).bytes(statement.types).bytes(payload.substr(execute.bound_at + 1));
  } else {
    wire::store_u32(packet.data() + wire::kHeaderSize + wire::kStatementAt, there.id);
    send(step, packet);
  }
  note(verdict, statement.statement->text, settings_->lex());
  exclude(server);
  statement.long_data = false;
  statement.cursor = execute.cursor();
  if (statement.cursor) pins_ |= bit(PinReason::kCursor);
  return ClientVerdict::kMore;
}

ClientVerdict ClientSession::of_statement(Step& step, std::span<char> packet, std::string_view payload,
                                          Command command) {
  const bool answered = command != Command::kStmtSendLongData;
  if (answered && rejected(step)) return ClientVerdict::kMore;
  wire::Reader reader(payload.substr(1));
  const std::uint32_t number = statement_number(reader.u32());
  const auto it = statements_.find(number);
  if (!reader.ok() || it == statements_.end()) {
    // Long data for nothing is an error that MySQL tells with the statement's next execution, if ever.
    if (answered)
      local_error(step, error::kUnknownStatement, "HY000",
                  "Unknown prepared statement handler (" + std::to_string(number) + ") given to a command");
    return ClientVerdict::kMore;
  }
  ClientStatement& statement = it->second;
  if (command == Command::kStmtReset && !statement.long_data && !statement.cursor) {
    local_ok(step);  // there is nothing anywhere that it would reset
    return ClientVerdict::kMore;
  }
  static const Verdict kNothing{};
  ClientVerdict ready = steps(step, kNothing);
  if (ready == ClientVerdict::kMore) ready = prepare_here(step, statement.statement);
  if (ready == ClientVerdict::kRefuse) return ClientVerdict::kMore;
  if (ready != ClientVerdict::kMore) return ready;
  wire::store_u32(packet.data() + wire::kHeaderSize + wire::kStatementAt, step.server->find(*statement.statement)->id);
  if (!answered) {
    statement.long_data = true;
    pins_ |= bit(PinReason::kLongData);
    send(step, packet);
    return ClientVerdict::kMore;
  }
  ask(step, ServerSession::Purpose::kClient, command == Command::kStmtReset ? Answer::kOk : Answer::kRows, kNothing);
  executing_ = number;
  if (command == Command::kStmtReset) statement.long_data = statement.cursor = false;
  send(step, packet);
  return ClientVerdict::kMore;
}

// Has no answer. Other clients may use it on this connection.
ClientVerdict ClientSession::close(Step& step, std::string_view payload) {
  wire::Reader reader(payload.substr(1));
  const auto it = statements_.find(statement_number(reader.u32()));
  if (!reader.ok() || it == statements_.end()) return ClientVerdict::kMore;
  const ClientStatement statement = std::move(it->second);
  statements_.erase(it);
  if (statement.long_data || statement.cursor) {
    if (step.server != nullptr) step.server->drop(*statement.statement, step.to_server);
    pins_ &= ~(bit(PinReason::kLongData) | bit(PinReason::kCursor));
    for (const auto& [number, other] : statements_) {
      if (other.long_data) pins_ |= bit(PinReason::kLongData);
      if (other.cursor) pins_ |= bit(PinReason::kCursor);
    }
  }
  return ClientVerdict::kMore;
}

}  // namespace dbproxy::session::mysql
