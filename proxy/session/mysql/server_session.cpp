#include "proxy/session/mysql/server_session.hpp"

#include <algorithm>

#include "proxy/session/mysql/client_session.hpp"
#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::session::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;
namespace client_flag = dbproxy::wire::mysql::client;
using wire::PacketKind;
using wire::view;

}  // namespace

void ServerSession::ask(Purpose purpose, wire::Answer answer) {
  asked_ = true;
  orphaned_ = forward_ = failed_ = syntax_error_ = changed_ = columns_end_owed_ = timed_out_ = false;
  only_rows_ = cut_off_ = false;
  purpose_ = purpose;
  scanner_ = wire::ResultScanner(answer, capabilities_);
  body_left_ = 0;
  delta_ = last_sequence_ = file_sequence_ = 0;
  verdict_ = nullptr;
  reported_ = 0;
  rows_ = 0;
  collecting_ = diagnostics_clear_ = warned_ = false;
  held_row_.clear();
  if (hidden()) {
    hidden_failed_ = false;
    hidden_error_.clear();
    if (purpose != Purpose::kOption) last_client_ = found_client_ = 0;  // which leaves alone what was before it
    asked_under_ = settings_.get();
  }
}

void ServerSession::query(std::string_view sql, Output& to_server) {
  wire::query(to_server.own(), capabilities_, sql);
  ask(Purpose::kHidden, wire::Answer::kResults);
}

void ServerSession::query_rows(std::string_view sql, Output& to_server) {
  query(sql, to_server);
  collecting_ = true;
  collected_.clear();
  columns_.clear();
  collected_bytes_ = 0;
}

void ServerSession::fetch(Purpose purpose, std::string_view sql, Output& to_server) {
  query_rows(sql, to_server);
  purpose_ = purpose;
}

void ServerSession::collect(std::string_view row) {
  collected_bytes_ += row.size();
  if (collected_bytes_ > kMaxCollected) return;
  auto& made = collected_.emplace_back();
  wire::Reader reader(row);
  while (!reader.rest().empty() && reader.ok()) {
    const auto value = reader.nullable_bytes();
    made.push_back(value ? std::optional<std::string>(*value) : std::nullopt);
  }
}

void ServerSession::start(Output& to_server) {
  // What is set to itself is reported: so the modes in which texts are read are known from the beginning, and the
  // switches of which MySQL's DEFAULT is the opposite of what a new session has (foreign_key_checks and its like).
  // After a reset the character sets are the server's, not those of the log-in.
  std::string sql = tracking_sql(mariadb_);
  if (!std::exchange(only_tracking_, false))
    for (const std::string_view name :
         {"sql_mode", "autocommit", "time_zone", "foreign_key_checks", "unique_checks", "sql_auto_is_null",
          "sql_safe_updates", "sql_notes", "sql_warnings", "sql_big_selects", "sql_buffer_result",
          "sql_quote_show_create", "character_set_client", "character_set_results", "collation_connection"})
      sql.append(", SESSION ").append(name).append(" = @@SESSION.").append(name);
  wire::query(to_server.own(), capabilities_, sql);
  ask(Purpose::kStart, wire::Answer::kResults);
}

void ServerSession::reset(Output& to_server) {
  wire::command(to_server.own(), wire::Command::kResetConnection);
  ask(Purpose::kReset, wire::Answer::kOk);
}

void ServerSession::unset_variables(Output& to_server) {
  UserVariables none = variables_;
  for (auto& [name, value] : none) value = unset_variable();
  wire::query(to_server.own(), capabilities_, set_variables_sql(none));
  ask(Purpose::kUnset, wire::Answer::kResults);
}

bool ServerSession::finish_sequence(Output& to_server) {
  if (!wants_file()) return false;
  // The server counts on from its own packet.
  wire::packet(to_server.own(), file_sequence_, {});
  scanner_.file_sent();
  return true;
}

void ServerSession::forget_client() {
  orphaned_ = true;
  forward_ = false;
  statement_.reset();
}

void ServerSession::pass(std::span<char> packet, Output& out) {
  last_sequence_ = static_cast<std::uint8_t>(static_cast<std::uint8_t>(packet[3]) + delta_);
  packet[3] = static_cast<char>(last_sequence_);
  out.ref(view(packet));
}

ServerVerdict ServerSession::feed(std::span<char> bytes, std::size_t& consumed, ClientSession* client, Output& out) {
  consumed = 0;
  bool ready = false;
  while (consumed < bytes.size()) {
    const std::span<char> rest = bytes.subspan(consumed);
    if (body_left_ > 0) {
      const std::size_t part = std::min(body_left_, rest.size());
      if (forward_) out.ref(view(rest.first(part)));
      body_left_ -= part;
      consumed += part;
    } else {
      const wire::Frame frame = wire::scan_frame(view(rest));
      if (!frame.known) break;
      const std::span<char> there =
          rest.subspan(wire::kHeaderSize, std::min<std::size_t>(frame.length, rest.size() - wire::kHeaderSize));
      if (there.empty() && frame.length > 0) break;
      if (!asked_) {
        if (frame.length <= kMaxServerMessage && there.size() < frame.length) break;
        consumed += wire::kHeaderSize + there.size();
        return unsolicited(view(rest.first(wire::kHeaderSize + there.size())));
      }
      const PacketKind kind = scanner_.peek(frame, view(there));
      if (kind == PacketKind::kBroken) return ServerVerdict::kProtocolError;
      if (wire::ResultScanner::needs_whole(kind) ||
          (collecting_ && (kind == PacketKind::kRow || kind == PacketKind::kColumn))) {
        if (frame.length > kMaxServerMessage) return ServerVerdict::kProtocolError;
        if (there.size() < frame.length) break;
        consumed += frame.size();
        const ServerVerdict verdict = whole(kind, frame, rest.first(frame.size()), client, out);
        if (verdict != ServerVerdict::kMore) return verdict;
      } else {
        const bool holds = kind == PacketKind::kRow && for_client(client) && held_row_.empty() && holds_row() &&
                           frame.length <= kMaxServerMessage;
        if (holds && there.size() < frame.length) break;
        const std::uint64_t columns = scanner_.columns_left();
        scanner_.take(frame, view(there));
        forward_ = for_client(client);
        if (kind == PacketKind::kRow) ++rows_;
        if (holds) {
          held_row_ = view(rest.first(frame.size()));
          consumed += frame.size();
          continue;
        }
        if (kind == PacketKind::kLocalInfile) {
          // Nobody is there to send it: an empty packet has to go, see finish_sequence().
          file_sequence_ = static_cast<std::uint8_t>(frame.sequence + 1);
          file_delta_ = delta_;
        }
        if (forward_) pass_held(status_, out);
        if (forward_) pass(rest.first(wire::kHeaderSize + there.size()), out);
        body_left_ = frame.length - there.size();
        consumed += wire::kHeaderSize + there.size();
        if (kind == PacketKind::kColumn && columns == 1 && (capabilities_ & client_flag::kDeprecateEof) && forward_ &&
            !(client->capabilities() & client_flag::kDeprecateEof)) {
          columns_end_owed_ = true;
          // Behind what PREPARE says of parameters and columns nothing has to be waited for.
          if (purpose_ == Purpose::kClientPrepare) {
            if (body_left_ > 0)
              ends_columns_with_body_ = true;
            else
              columns_ended(status_, out);
          }
        }
      }
    }
    if (body_left_ == 0 && ends_columns_with_body_) {
      ends_columns_with_body_ = false;
      if (forward_) columns_ended(status_, out);
    }
    if (asked_ && body_left_ == 0 && scanner_.done()) {
      const ServerVerdict verdict = finish(client);
      if (verdict != ServerVerdict::kReady) return verdict;
      ready = true;
    }
  }
  return ready && !asked_ ? ServerVerdict::kReady : ServerVerdict::kMore;
}

// A server that ends a session says so without being asked, and closes.
ServerVerdict ServerSession::unsolicited(std::string_view packet) {
  wire::Error error;
  if (!wire::read_error(packet.substr(wire::kHeaderSize), error)) return ServerVerdict::kProtocolError;
  fatal(error);
  events_.fatal_error = packet;
  return ServerVerdict::kMore;
}

void ServerSession::fatal(const wire::Error& error) {
  events_.fatal = true;
  events_.fatal_code = error.code;
  events_.fatal_sqlstate = error.sqlstate;
  events_.fatal_message = error.message;
}

void ServerSession::columns_ended(std::uint16_t status, Output& out) {
  columns_end_owed_ = false;
  // Not known before the rows are over, but where there is no other way: libmariadb goes by this one.
  if (verdict_ != nullptr && verdict_->call) status |= wire::status::kMoreResults;
  // Of a cursor this is not told here, so that what there is of it was the statement's before.
  constexpr std::uint16_t kNotHere =
      wire::status::kStateChanged | wire::status::kCursorExists | wire::status::kLastRowSent;
  wire::eof(out.own(), ++last_sequence_, 0, static_cast<std::uint16_t>(status & ~kNotHere));
  ++delta_;
}

// Of the OUT parameters of a prepared CALL there is one row, and libmariadb knows them by the flags of the EOF before
// it.
void ServerSession::pass_held(std::uint16_t status, Output& out) {
  if (columns_end_owed_) columns_ended(status, out);
  if (held_row_.empty()) return;
  last_sequence_ = static_cast<std::uint8_t>(static_cast<std::uint8_t>(held_row_[3]) + delta_);
  held_row_[3] = static_cast<char>(last_sequence_);
  out.own() += held_row_;
  held_row_.clear();
}

ServerVerdict ServerSession::whole(PacketKind kind, const wire::Frame& frame, std::span<char> packet,
                                   ClientSession* client, Output& out) {
  const std::string_view payload = view(packet.subspan(wire::kHeaderSize));
  if (scanner_.take(frame, payload) == PacketKind::kBroken) return ServerVerdict::kProtocolError;
  forward_ = for_client(client);
  switch (kind) {
    case PacketKind::kError:
      on_error(frame, packet, out);
      return ServerVerdict::kMore;
    case PacketKind::kOk:
    case PacketKind::kRowsEnd:
      return result_done(kind, frame, packet, client, out) ? ServerVerdict::kMore : ServerVerdict::kProtocolError;
    case PacketKind::kPrepareOk: {
      wire::Prepared prepared;
      if (!wire::read_prepared(payload, prepared)) return ServerVerdict::kProtocolError;
      if (statement_) keep(statement_, prepared.statement);
      if (forward_) {
        client->prepared(client_number_, statement_, prepared.parameters);
        wire::store_u32(packet.data() + wire::kHeaderSize + wire::kStatementAt, client_number_);
      }
      break;
    }
    case PacketKind::kRow:
      collect(payload);
      break;
    case PacketKind::kColumn:
      columns_.emplace_back(payload);
      break;
    case PacketKind::kColumnsEnd:
      status_ = scanner_.status();
      break;
    default:
      break;
  }
  if (forward_) {
    pass(packet, out);
  }
  return ServerVerdict::kMore;
}

void ServerSession::on_error(const wire::Frame& frame, std::span<char> packet, Output& out) {
  wire::Error error;
  const std::string_view payload = view(packet.subspan(wire::kHeaderSize));
  if (!wire::read_error(payload, error)) error.sqlstate = "HY000";
  failed_ = true;
  syntax_error_ = error.code == 1064;
  // 1290 is said of other options, too.
  const bool read_only = error.message.find("read-only") != std::string_view::npos;
  events_.refused_write |=
      error.code == wire::error::kReadOnlyMode || (error.code == wire::error::kReadOnlyOption && read_only);
  // A step that fails leaves open what was, and says of it no more than was known.
  if (!hidden()) {
    after_error_ = true;
    error_in_doubt_ = verdict_ != nullptr &&
                      (!(status_ & wire::status::kAutocommit) || verdict_->call || verdict_->statement_count > 1);
  }
  if (error.code == wire::error::kServerShutdown || error.code == wire::error::kConnectionKilled) fatal(error);
  if (hidden()) {
    hidden_failed_ = true;
    hidden_error_ = payload;
    return;
  }
  if (!forward_) return;
  // What becomes of the client's work is said when the connection is gone, see ClientSession::server_lost().
  if (error.code == wire::error::kServerShutdown && !columns_end_owed_) {
    cut_off_ = true;
    return;
  }
  pass_held(status_, out);
  if (timed_out_ && error.code == wire::error::kQueryInterrupted)
    wire::error_packet(out.own(), static_cast<std::uint8_t>(frame.sequence + delta_),
                       {3024, "HY000", "Query execution was interrupted, statementTimeout was reached"});
  else
    pass(packet, out);
}

// OK, or what ends rows: the server's word on what there is now.
bool ServerSession::result_done(PacketKind kind, const wire::Frame& frame, std::span<char> packet,
                                ClientSession* client, Output& out) {
  const std::string_view payload = view(packet.subspan(wire::kHeaderSize));
  wire::Ok ok;
  const bool eof_form =
      static_cast<std::uint8_t>(payload[0]) == wire::kEofHeader && !(capabilities_ & client_flag::kDeprecateEof);
  if (eof_form ? !wire::read_eof(payload, ok.warnings, ok.status) : !wire::read_ok(payload, capabilities_, ok))
    return false;
  follow_savepoint(ok.status);
  status_ = ok.status;
  after_error_ = error_in_doubt_ = false;
  apply(ok.state);
  if (!hidden()) ++events_.statements_done;
  warned_ = warned_ || ok.warnings > 0;
  if (!forward_) {
    // Of a client that has left.
    if (ok.last_insert_id != 0 || (!hidden() && verdict_ != nullptr && verdict_->inserts)) {
      insert_id_owner_ = kNobody;
      insert_id_unknown_ = true;
    }
    return true;
  }

  const auto sequence = [&] { return static_cast<std::uint8_t>(frame.sequence + delta_); };
  client->on_result(*this, kind == PacketKind::kOk, ok, rows_);
  if (kind != PacketKind::kOk && !(verdict_ != nullptr && verdict_->shows_diagnostics)) {
    found_client_ = client->serial();
    found_query_ = client->found_query_;
  }
  rows_ = 0;
  const std::uint32_t theirs = client->capabilities();
  const bool old = !(theirs & client_flag::kDeprecateEof);
  // A cursor has no rows here: then what ends the columns ends it all.
  if (ok.status & wire::status::kCursorExists) columns_end_owed_ = false;
  pass_held(ok.status, out);
  last_sequence_ = sequence();
  const bool header_eof = static_cast<std::uint8_t>(payload[0]) == wire::kEofHeader;
  if (header_eof && old) {
    if (eof_form)
      pass(packet, out);
    else
      wire::eof(out.own(), sequence(), ok.warnings,
                static_cast<std::uint16_t>(ok.status & ~wire::status::kStateChanged));
    return true;
  }
  // The rest is the same for both ends unless there is a state.
  const bool same = eof_form || ok.state.empty();
  if (same && !(ok.status & wire::status::kStateChanged)) {
    pass(packet, out);
    return true;
  }
  scratch_.clear();
  wire::StateReader reader(ok.state);
  for (wire::StateChange change; reader.next(change);)
    if (client->tracking_.hears_of(change)) wire::append_state(scratch_, change);
  ok.state = scratch_;
  wire::ok(out.own(), sequence(), theirs, ok, static_cast<std::uint8_t>(payload[0]));
  return true;
}

}  // namespace dbproxy::session::mysql
