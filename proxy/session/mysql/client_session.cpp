#include "proxy/session/mysql/client_session.hpp"

#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::session::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace error = dbproxy::wire::mysql::error;
using wire::Answer;
using wire::Command;
using wire::view;

}  // namespace

ClientVerdict ClientSession::feed(std::span<char> bytes, std::size_t& consumed, ServerSession* server,
                                  Output& to_server, Output& to_client, const ClientOptions& options) {
  consumed = 0;
  needed_ = 0;
  excluded_ = options.exclude_variable_sets ? bit(PinReason::kSetVariable) | bit(PinReason::kUserVariable) : 0;
  Step step{server, to_server, to_client, options};
  while (consumed < bytes.size()) {
    const std::span<char> rest = bytes.subspan(consumed);
    const wire::Packet packet = wire::scan_packet(view(rest));
    if (packet.payload_size > kMaxRequest) {
      error_.clear();
      wire::error_packet(error_, 1,
                         {error::kPacketTooLarge, "08S01", "Got a packet bigger than 64 MB, which is not carried"});
      return ClientVerdict::kRefuse;
    }
    if (!packet.known || packet.size > rest.size()) {
      needed_ = packet.known ? packet.size : 0;
      return ClientVerdict::kMore;
    }
    const std::span<char> whole = rest.first(packet.size);
    if (server != nullptr && !server->quiet()) {
      if (!local_file(step, whole)) return ClientVerdict::kWait;
      consumed += packet.size;
      continue;
    }
    if (kill_) return ClientVerdict::kWait;
    const std::string_view payload = wire::payload_of(view(whole), scratch_);
    if (packet.sequence != 0 || payload.empty()) {
      error_.clear();
      wire::error_packet(error_, static_cast<std::uint8_t>(packet.sequence + 1),
                         {1156, "08S01", "Got packets out of order"});
      return ClientVerdict::kRefuse;
    }
    const ClientVerdict verdict = request(step, whole, payload);
    if (verdict == ClientVerdict::kMore || verdict == ClientVerdict::kTerminate ||
        verdict == ClientVerdict::kChangeUser)
      consumed += packet.size;
    if (verdict != ClientVerdict::kMore) return verdict;
  }
  return ClientVerdict::kMore;
}

// The client's file goes to a server that asked for it, up to the empty packet.
bool ClientSession::local_file(Step& step, std::span<char> packet) {
  ServerSession& server = *step.server;
  if (!server.wants_file() || !server.forward_) return false;
  // Numbers go on from the server's packet, which may have had another one here.
  for (std::size_t at = 0; at < packet.size();) {
    const wire::Frame frame = wire::scan_frame(view(packet.subspan(at)));
    packet[at + 3] = static_cast<char>(frame.sequence - server.file_delta_);
    server.file_sequence_ = static_cast<std::uint8_t>(frame.sequence - server.file_delta_ + 1);
    at += frame.size();
  }
  step.to_server.ref(view(packet));
  if (packet.size() == wire::kHeaderSize) server.scanner_.file_sent();
  return true;
}

ClientVerdict ClientSession::request(Step& step, std::span<char> packet, std::string_view payload) {
  const auto command = static_cast<Command>(payload[0]);
  const bool has_attributes = command == Command::kQuery || command == Command::kStmtExecute;
  if (has_attributes && step.server != nullptr &&
      (capabilities_ & ~step.server->capabilities() & wire::client::kQueryAttributes)) {
    error_.clear();
    wire::error_packet(error_, 1,
                       {error::kServerShutdown, "08S01",
                        "The database is of an older version now, without query attributes, which this connection was "
                        "promised: connect again"});
    return ClientVerdict::kRefuse;
  }
  const std::string_view argument = payload.substr(1);
  switch (command) {
    case Command::kQuit:
      return ClientVerdict::kTerminate;
    case Command::kPing:
      ping(step, packet);
      return ClientVerdict::kMore;
    case Command::kQuery:
      return query(step, packet, payload);
    case Command::kStmtPrepare:
      return prepare(step, packet, argument);
    case Command::kStmtExecute:
      return execute(step, packet, payload);
    case Command::kStmtSendLongData:
    case Command::kStmtReset:
    case Command::kStmtFetch:
      return of_statement(step, packet, payload, command);
    case Command::kStmtClose:
      return close(step, payload);
    case Command::kInitDb:
      return simple(step, packet, Answer::kOk, true);
    case Command::kResetConnection:
      return reset(step, packet);
    case Command::kSetOption:
      return set_option(step, argument);
    case Command::kFieldList:
      return simple(step, packet, Answer::kFields);
    case Command::kStatistics:
      return simple(step, packet, Answer::kText);
    case Command::kProcessInfo:
      return simple(step, packet, Answer::kResults);
    case Command::kCreateDb:
    case Command::kDropDb:
    case Command::kRefresh:
    case Command::kDebug:
    case Command::kShutdown:
      return simple(step, packet, Answer::kOk);
    case Command::kProcessKill: {
      wire::Reader reader(argument);
      kill_ = KillRequest{reader.u32(), false};
      if (!reader.ok()) kill_.reset();
      if (kill_) return ClientVerdict::kMore;
      local_error(step, error::kMalformedPacket, "HY000", "Malformed communication packet");
      return ClientVerdict::kMore;
    }
    case Command::kChangeUser:
      change_user_ = payload;
      return ClientVerdict::kChangeUser;
    case Command::kBinlogDump:
    case Command::kBinlogDumpGtid:
    case Command::kRegisterSlave:
    case Command::kTableDump:
      local_error(step, error::kUnknown, "HY000",
                  "Replication is not carried by a pool: connect to the database for it, not to this proxy");
      return ClientVerdict::kMore;
    default:
      local_error(step, error::kUnknownCommand, "08S01", "Unknown command");
      return ClientVerdict::kMore;
  }
}

void ClientSession::local_ok(Step& step, std::uint16_t warnings) {
  wire::ok(step.to_client.own(), 1, capabilities_, {0, 0, status_, warnings, {}, {}});
  ++answered_here_;
}

void ClientSession::local_error(Step& step, std::uint16_t code, std::string_view sqlstate, std::string_view message) {
  wire::error_packet(step.to_client.own(), 1, {code, sqlstate, message});
  ++answered_here_;
}

void ClientSession::answer_kill(std::uint16_t code, Output& to_client) {
  if (code == 0)
    wire::ok(to_client.own(), 1, capabilities_, {0, 0, status_, 0, {}, {}});
  else
    wire::error_packet(
        to_client.own(), 1,
        {code, "HY000", code == error::kNoSuchThread ? "Unknown thread id" : "You are not owner of the thread"});
  ++answered_here_;
}

bool ClientSession::rejected(Step& step) {
  if (!rejecting_) return false;
  rejecting_ = lost_untold_ = false;
  step.to_client.own() += error_;
  ++answered_here_;
  return true;
}

ServerSession& ClientSession::ask(Step& step, ServerSession::Purpose purpose, Answer answer, const Verdict& verdict) {
  ServerSession& server = *step.server;
  if (!server.close_owed_.empty()) {
    step.to_server.own() += server.close_owed_;
    server.close_owed_.clear();
  }
  server.ask(purpose, answer);
  server.verdict_ = purpose == ServerSession::Purpose::kClient ? &verdict : nullptr;
  server.numbers_ = gives_;
  const bool asks = (verdict.diagnostics && verdict.statement_count == 1) || verdict.keeps_diagnostics;
  if (!asks && (!server.mariadb_ || verdict.tables)) {
    hold_ = false;
    kept_.clear();
  }
  warnings_ = 0;
  // A statement that is only prepared leaves it as it was, wherever that is.
  row_count_here_ = purpose == ServerSession::Purpose::kClientPrepare && (row_count_here_ || !was_last_on(server));
  pins_before_ = pins_;
  unread_before_ = unread_.size();
  ++queries_;
  return server;
}

void ClientSession::send(Step& step, std::span<char> packet) {
  step.to_server.ref(view(packet));
}

LexOptions ClientSession::lex(const Step& step) const {
  LexOptions lex = settings_->lex();
  if (!settings_->knows_sql_mode()) {
    const LexOptions& base = step.server->base().lex();
    lex.ansi_quotes = base.ansi_quotes;
    lex.no_backslash_escapes = base.no_backslash_escapes;
  }
  // The server's word counts: a procedure may have set the mode.
  if (was_last_on(*step.server) && (step.server->status() & wire::status::kNoBackslashEscapes))
    lex.no_backslash_escapes = true;
  return lex;
}

void ClientSession::note(ServerSession& server, const Verdict& verdict, std::string_view text, const LexOptions& lex,
                         std::string_view schema) {
  if (verdict.variables_set != 0) {
    if (unread_.empty()) unread_statement_ = digest(text, lex);
    note_variables(server, verdict);
  }
  new_tracking_.reset();
  if (verdict.session_tracking && verdict.statement_count == 1) new_tracking_ = after_set(tracking_, text, lex);
  if (verdict.pins != 0 && pins_ == 0) pin_statement_ = digest(text, lex);
  pins_ |= verdict.pins;
  holdings_.sent(text, lex, verdict, pins_, schema);
  if (keep_text) last_text = text;
}

ClientVerdict ClientSession::simple(Step& step, std::span<char> packet, Answer answer, bool changes_schema) {
  if (rejected(step)) return ClientVerdict::kMore;
  static const Verdict kNothing{};
  const ClientVerdict ready = steps(step, changes_schema ? kKeepsDiagnostics : kNothing, changes_schema);
  if (ready == ClientVerdict::kRefuse) return ClientVerdict::kMore;  // answered
  if (ready != ClientVerdict::kMore) return ready;
  const auto sets = [](Verdict verdict) {
    verdict.only_sets = true;  // a change of the schema is no surprise
    return verdict;
  };
  static const Verdict kSets = sets(kNothing), kSetsSchema = sets(kKeepsDiagnostics);
  ask(step, ServerSession::Purpose::kClient, answer, changes_schema ? kSetsSchema : kSets);
  send(step, packet);
  return ClientVerdict::kMore;
}

// Somebody's own wait must not keep a client from ending it: KILL needs no server connection.
bool ClientSession::kills(std::string_view text, const ClientOptions& options) {
  const LexOptions& lexical = settings_->lex();
  if (!Tokenizer(text, lexical).next().is_word("kill")) return false;
  const Verdict verdict = classify(text, {lexical, multi_statements_, options.hazards});
  if (verdict.kill) kill_ = KillRequest{verdict.kill_id, verdict.kill_query};
  return verdict.kill;
}

ClientVerdict ClientSession::query(Step& step, std::span<char> packet, std::string_view payload) {
  std::string_view text;
  const bool readable = wire::query_text(payload, capabilities_, text);
  if ((readable && ends_lost(step, text)) || rejected(step)) return ClientVerdict::kMore;
  if (step.server == nullptr)
    return readable && kills(text, step.options) ? ClientVerdict::kMore : ClientVerdict::kNeedServer;
  if (!readable) {
    local_error(step, error::kMalformedPacket, "HY000", "Malformed communication packet");
    return ClientVerdict::kMore;
  }
  const LexOptions lexical = lex(step);
  const Verdict verdict = classify(text, {lexical, multi_statements_, step.options.hazards});
  if (verdict.kill) {
    kill_ = KillRequest{verdict.kill_id, verdict.kill_query};
    return ClientVerdict::kMore;
  }
  // Before the steps: they make the connection forget what was asked last.
  const bool other = row_count_here_ || !was_last_on(*step.server);
  const bool other_rows = step.server->found_client_ != serial_ || step.server->found_query_ != found_query_;
  Known known;
  if (found_query_ == 0) found_rows_ = step.server->mariadb_ ? 1 : first_found_rows_;  // of a new session
  if (verdict.diagnostics && verdict.statement_count == 1 && !kept_.empty() &&
      answer_kept(step, text, lexical, false, known.diagnostics))
    return ClientVerdict::kMore;
  gives_ = verdict.numbers;
  const ClientVerdict ready = steps(step, verdict);
  if (ready == ClientVerdict::kRefuse) return ClientVerdict::kMore;
  if (ready != ClientVerdict::kMore) return ready;
  known.rows = (other && verdict.row_count) || (other_rows && verdict.found_rows);
  if (verdict.connection_id) known.connection_id = step.options.connection_id;
  own_text_.clear();
  if (verdict.session_tracking && verdict.only_sets && verdict.statement_count == 1)
    own_text_ = without_tracking(text, lexical);
  const bool tracking = !own_text_.empty();
  if (!tracking && known.any()) own_text_ = substituted(text, lexical, known);
  const bool other_text = !own_text_.empty();
  ServerSession& server = ask(step, ServerSession::Purpose::kClient, Answer::kResults, verdict);
  server.only_rows_ = server.holds_transaction() && verdict.only_rows;
  if (known.diagnostics && !server.mariadb_ && !read_show(text, lexical)) kept_.clear();  // SELECT @@… forgets them
  if (other_text) {
    // Attributes stay where they are.
    std::string& out = step.to_server.own();
    wire::PacketWriter(out, 0)
        .bytes(payload.substr(0, static_cast<std::size_t>(text.data() - payload.data())))
        .bytes(own_text_);
  } else {
    send(step, packet);
  }
  server.verdict_store_ = verdict;
  if (tracking) server.verdict_store_.session_tracking = false;
  // Its views are of bytes that go.
  own_text_.clear();
  for (std::size_t i = 0; i < verdict.settings.size(); ++i) own_text_ += verdict.settings[i];
  own_text_ += verdict.collation;
  std::size_t at = 0;
  for (std::size_t i = 0; i < verdict.settings.size(); ++i) {
    server.verdict_store_.settings[i] = std::string_view(own_text_).substr(at, verdict.settings[i].size());
    at += verdict.settings[i].size();
  }
  server.verdict_store_.collation = std::string_view(own_text_).substr(at);
  server.verdict_store_.variables.clear();  // they are noted now
  server.verdict_ = &server.verdict_store_;
  note(server, verdict, text, lexical, settings_->schema());
  exclude(server);
  return ClientVerdict::kMore;
}

}  // namespace dbproxy::session::mysql
