#include <algorithm>
#include <memory>
#include <utility>

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
  StatementPtr statement = cache_->intern(text, settings_, how);
  const bool own = statement->verdict.connection_id && step.options.connection_id != 0;
  if (own) {
    own_text_ = substituted(text, lexical, {.connection_id = step.options.connection_id});
    statement = cache_->intern(own_text_, settings_, how);
  }
  keep_apart(step, 0, statement);
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

ClientVerdict ClientSession::steps_to(Step& step, const StatementPtr& runs, const Verdict& asks,
                                      ServerSession::Prepared*& there) {
  if (step.server == nullptr) return ClientVerdict::kNeedServer;
  ServerSession& server = *step.server;
  there = server.find(*runs);
  const ClientVerdict ready = steps(step, asks, false, true, there == nullptr ? runs.get() : nullptr);
  if (ready != ClientVerdict::kMore || there != nullptr) return ready;
  if (!server.close_owed_.empty()) {
    step.to_server.own() += server.close_owed_;
    server.close_owed_.clear();
  }
  wire::command(step.to_server.own(), Command::kStmtPrepare, runs->text);
  server.ask(ServerSession::Purpose::kPrepare, Answer::kPrepare);
  server.statement_ = runs;
  in_step_ = step_error_is_answer_ = true;
  return ClientVerdict::kWait;
}

// A client's statements of one text share one of the server's, but for what only one of them can have there.
void ClientSession::keep_apart(const Step& step, std::uint32_t number, StatementPtr& statement) const {
  if (!(pins_ & (bit(PinReason::kCursor) | bit(PinReason::kLongData)))) return;
  const bool busy = std::any_of(statements_.begin(), statements_.end(), [&](const auto& entry) {
    const ClientStatement& other = entry.second;
    return entry.first != number && other.statement == statement && (other.cursor || other.long_data);
  });
  if (!busy) return;
  statement = std::make_shared<const Statement>(statement->text, statement->settings,
                                                ClassifyOptions{statement->lex, false, step.options.hazards});
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
  if (!statement.lost_data.empty()) {
    step.to_client.own() += std::exchange(statement.lost_data, {});
    ++answered_here_;
    return ClientVerdict::kMore;
  }
  if (step.server == nullptr) return ClientVerdict::kNeedServer;
  keep_apart(step, number, statement.statement);
  StatementPtr runs = statement.statement;
  const Verdict& verdict = statement.statement->verdict;
  Known known;
  if (found_query_ == 0) found_rows_ = step.server->mariadb_ ? 1 : first_found_rows_;
  if (verdict.diagnostics && verdict.statement_count == 1 && !kept_.empty() &&
      answer_kept(step, runs->text, runs->lex, true, known.diagnostics))
    return ClientVerdict::kMore;
  known.rows =
      (verdict.row_count && (row_count_here_ || !was_last_on(*step.server))) ||
      (verdict.found_rows && (step.server->found_client_ != serial_ || step.server->found_query_ != found_query_));
  if (known.any() && !statement.long_data) {  // a statement of its own, that has the values
    const ClassifyOptions how{runs->lex, false, step.options.hazards};
    runs = own_statement_ = cache_->intern(substituted(runs->text, how.lex, known), runs->settings, how);
  }
  if (execute.types_sent) statement.types = payload.substr(execute.bound_at + 1, execute.types_size);
  gives_ = verdict.numbers;
  if (verdict.inserts && statement.long_data)
    gives_.add_all();
  else if (verdict.inserts)
    gives_.add(numbers_of(payload, execute, statement.types));
  ServerSession::Prepared* there = nullptr;
  const ClientVerdict ready = steps_to(step, runs, verdict, there);
  if (ready == ClientVerdict::kRefuse) return ClientVerdict::kMore;
  if (ready != ClientVerdict::kMore) return ready;

  ServerSession& server = ask(step, ServerSession::Purpose::kClient, Answer::kResults, verdict);
  if (known.diagnostics && !server.mariadb_ && !read_show(statement.statement->text, runs->lex)) kept_.clear();
  server.only_rows_ = server.holds_transaction() && verdict.only_rows;
  server.statement_ = statement.statement;  // whose the verdict is
  executing_ = number;
  const bool types_missing = execute.bound_at > 0 && !execute.types_sent && there->types != statement.types;
  if (execute.bound_at > 0) there->types = statement.types;
  if (types_missing) {
    wire::PacketWriter writer(step.to_server.own(), 0);
    writer.u8(static_cast<std::uint8_t>(Command::kStmtExecute))
        .u32(there->id)
        .bytes(payload.substr(5, execute.bound_at - 5));
    writer.u8(1).bytes(statement.types).bytes(payload.substr(execute.bound_at + 1));
  } else {
    wire::store_u32(packet.data() + wire::kHeaderSize + wire::kStatementAt, there->id);
    send(step, packet);
  }
  note(server, verdict, statement.statement->text, runs->lex, statement.statement->settings->schema());
  exclude(server);
  statement.long_data = false;
  statement.cursor = execute.cursor();
  statement.runs = statement.cursor ? std::move(runs) : nullptr;
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
  if (!answered && std::exchange(rejecting_, false)) {
    lost_untold_ = false;
    statement.lost_data = error_;
    return ClientVerdict::kMore;
  }
  if (command == Command::kStmtReset) statement.lost_data.clear();
  // Then there is nothing anywhere that it would reset. After an error the server's answer tells what became of the
  // transaction.
  const bool nothing = !statement.long_data && !statement.cursor && !in_step_ && !in_doubt(step.server);
  if (command == Command::kStmtReset && nothing) {
    local_ok(step);
    return ClientVerdict::kMore;
  }
  keep_apart(step, number, statement.statement);
  const StatementPtr runs = answered && statement.cursor ? statement.runs : statement.statement;
  ServerSession::Prepared* there = nullptr;
  const ClientVerdict ready = steps_to(step, runs, kKeepsDiagnostics, there);
  if (ready == ClientVerdict::kRefuse) return ClientVerdict::kMore;
  if (ready != ClientVerdict::kMore) return ready;
  wire::store_u32(packet.data() + wire::kHeaderSize + wire::kStatementAt, there->id);
  if (!answered) {
    statement.long_data = true;
    pins_ |= bit(PinReason::kLongData);
    send(step, packet);
    return ClientVerdict::kMore;
  }
  ask(step, ServerSession::Purpose::kClient, command == Command::kStmtReset ? Answer::kOk : Answer::kRows,
      kKeepsDiagnostics);
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
    if (step.server != nullptr && statement.cursor) step.server->drop(*statement.runs, step.to_server);
    if (step.server != nullptr && statement.long_data) step.server->drop(*statement.statement, step.to_server);
    pins_ &= ~(bit(PinReason::kLongData) | bit(PinReason::kCursor));
    for (const auto& [number, other] : statements_) {
      if (other.long_data) pins_ |= bit(PinReason::kLongData);
      if (other.cursor) pins_ |= bit(PinReason::kCursor);
    }
  }
  return ClientVerdict::kMore;
}

}  // namespace dbproxy::session::mysql
