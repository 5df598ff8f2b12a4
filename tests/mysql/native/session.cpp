#include "tests/mysql/native/session.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/messages.hpp"
#include "proxy/wire/mysql/reader.hpp"

namespace mysql_differential {

namespace wire = dbproxy::wire::mysql;
namespace flag = dbproxy::wire::mysql::client;
using differential::split;
using wire::Command;

namespace {

constexpr std::uint32_t kBasic = flag::kLongPassword | flag::kLongFlag | flag::kConnectWithDb | flag::kProtocol41 |
                                 flag::kTransactions | flag::kSecureConnection | flag::kMultiResults |
                                 flag::kPsMultiResults | flag::kPluginAuth;
constexpr std::string_view kNull = "\\N";
constexpr std::uint16_t kNotOwner = 1095, kNoCursor = 1421;
// MariaDB puts sql_mode back behind a procedure, and leaves the flag as the procedure had it.
constexpr std::uint16_t kNotCompared = wire::status::kStateChanged | wire::status::kAnsiQuotes;

std::uint8_t byte(Command command) {
  return static_cast<std::uint8_t>(command);
}

std::string four(std::uint32_t number) {
  std::string out(4, '\0');
  wire::store_u32(out.data(), number);
  return out;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size())
    text.replace(at, what.size(), by);
}

}  // namespace

std::string Place::own(std::string text) const {
  replace_all(text, "billing", billing);
  return text;
}

std::uint32_t capabilities_of(char name) {
  switch (name) {
    case 'B':
    case 'F':
      return kBasic | flag::kMultiStatements | flag::kFoundRows | flag::kDeprecateEof;
    case 'C':
      return kBasic | flag::kMultiStatements | flag::kFoundRows | flag::kDeprecateEof | flag::kSessionTrack;
    case 'D':
      return kBasic | flag::kLocalFiles;
    default:
      return kBasic | flag::kMultiStatements | flag::kFoundRows;
  }
}

void Session::add(std::string_view word, std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  if (!answer_.empty()) answer_ += "; ";
  answer_ += word;
  if (!bytes.empty()) answer_ += ' ';
  for (const char c : bytes) {
    if (c >= ' ' && c <= '~') {
      answer_ += c;
    } else {
      answer_ += "\\x";
      answer_ += kDigits[static_cast<unsigned char>(c) >> 4];
      answer_ += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
}

// What stands in the place of such a function has another length, and inside of expressions its value in the name.
std::string Session::cleaned(std::string_view payload) const {
  if (payload.starts_with(std::string_view("\3def\0\0\0", 7)))
    for (const std::string_view name :
         {"ROW_COUNT()", "FOUND_ROWS()", "warning_count", "error_count", "CONNECTION_ID()"})
      if (payload.find(name) != std::string_view::npos) return std::string(name);
  if (payload.find("has no open cursor") != std::string_view::npos) return "no open cursor";
  std::string text(payload);
  // A row that MariaDB counted in whatever ran before.
  if (const auto at = text.find("for column "); at != std::string::npos)
    if (const auto row = text.find(" at row ", at); row != std::string::npos) text.resize(row);
  // A parameter alone: its definition is as whoever executed the statement before has left it.
  constexpr std::string_view kParameter("\3def\0\0\0\1?\0\x0c", 11);
  constexpr std::size_t kFlagsAt = kParameter.size() + 2 + 4 + 1;
  if (text.starts_with(kParameter) && text.size() > kFlagsAt) text[kFlagsAt] = static_cast<char>(text[kFlagsAt] & 0x7f);
  replace_all(text, place_->billing, "BILLING");
  replace_all(text, place_->schema, "HERE");
  return text;
}

std::uint16_t Session::add_end(std::string_view payload, std::uint16_t but) {
  const auto number = [this](std::string_view name, std::uint64_t value) {
    answer_.append(" ").append(name).append("=") += std::to_string(value);
  };
  wire::Error error;
  if (wire::read_error(payload, error)) {
    // Of a statement or a connection that is not there servers name the function that noticed, or a number.
    const bool bare = error.code == wire::error::kUnknownStatement || error.code == wire::error::kNoSuchThread ||
                      error.code == kNotOwner || error.code == kNoCursor;
    add("error " + std::to_string(error.code) + " " + std::string(error.sqlstate), bare ? "" : cleaned(error.message));
    return 0;
  }
  if (static_cast<std::uint8_t>(payload[0]) == wire::kEofHeader && payload.size() < 9 &&
      !(connection_->capabilities() & flag::kDeprecateEof)) {
    std::uint16_t warnings = 0, status = 0;
    wire::read_eof(payload, warnings, status);
    add("eof");
    if (!(but & wire::status::kOutParameters)) number("warnings", warnings);
    number("status", status & ~(kNotCompared | but));
    return status;
  }
  wire::Ok ok;
  if (!wire::read_ok(payload, connection_->capabilities(), ok)) {
    add("malformed", payload);
    return 0;
  }
  add("ok", cleaned(ok.info));
  number("rows", ok.affected_rows);
  number("id", ok.last_insert_id);
  number("warnings", ok.warnings);
  number("status", ok.status & ~kNotCompared);
  std::vector<std::string> told;
  wire::StateReader reader(ok.state);
  for (wire::StateChange change; reader.next(change);) {
    // After a prepared statement of another schema MySQL says once more which one the session is in.
    if (change.type == wire::StateType::kSchema && std::exchange(schema_, change.value) == change.value) continue;
    // What begins to be tracked is told at once; the proxy is told of it anyway, and not once more.
    if (sets_tracking_ && change.type != wire::StateType::kStateChange) continue;
    told.push_back(std::to_string(static_cast<int>(change.type)) + std::string(change.name) + "=" +
                   cleaned(change.value));
  }
  std::sort(told.begin(), told.end());
  for (const auto& each : told) add("told", each);
  return ok.status;
}

void Session::definitions(std::uint64_t count) {
  for (; count > 0; --count) add("column", cleaned(connection_->read()));
}

bool Session::rows(bool parameters) {
  for (;;) {
    const auto row = connection_->read();
    if (static_cast<std::uint8_t>(row[0]) == wire::kErrorHeader ||
        wire::ends_rows(static_cast<std::uint8_t>(row[0]), row.size(), connection_->capabilities()))
      return parameters ? (add_end(row, wire::status::kMoreResults | wire::status::kOutParameters), true)
                        : (add_end(row) & wire::status::kMoreResults) != 0;
    add("row", cleaned(row));
  }
}

void Session::results() {
  for (bool more = true; more;) {
    const std::string first(connection_->read());
    const auto kind = static_cast<std::uint8_t>(first[0]);
    if (kind == wire::kOkHeader || kind == wire::kErrorHeader) {
      more = add_end(first) & wire::status::kMoreResults;
      continue;
    }
    if (kind == wire::kLocalInfileHeader) {
      add("file", first.substr(1));
      connection_->send("1\n2\n300\n");
      connection_->send({});
      continue;
    }
    const auto count = wire::Reader(first).lenenc();
    add("columns " + std::to_string(count));
    definitions(count);
    bool parameters = false;
    if (!(connection_->capabilities() & flag::kDeprecateEof)) {
      // Its flags are those of the statement's end, which nobody knows yet who is not the server, but of a cursor.
      std::uint16_t warnings = 0, status = 0;
      wire::read_eof(connection_->read(), warnings, status);
      if (status & wire::status::kCursorExists) {
        add("cursor");
        return;
      }
      parameters = status & wire::status::kOutParameters;
    }
    more = rows(parameters);
  }
}

void Session::prepare(const std::string& name, std::string_view text) {
  close_statement(name);
  send(byte(Command::kStmtPrepare), text);
  const std::string first(connection_->read());
  if (static_cast<std::uint8_t>(first[0]) == wire::kErrorHeader) {
    add_end(first);
    return;
  }
  if (first.size() == 7) return add("prepared nothing", first);  // as MySQL 8.0.15 does, see result_scanner.cpp
  wire::Prepared prepared;
  if (!wire::read_prepared(first, prepared)) throw std::runtime_error("not an answer to a prepare");
  add("prepared columns=" + std::to_string(prepared.columns) + " parameters=" + std::to_string(prepared.parameters) +
      " warnings=" + std::to_string(prepared.warnings));
  for (const std::uint16_t count : {prepared.parameters, prepared.columns}) {
    definitions(count);
    if (count > 0 && !(connection_->capabilities() & flag::kDeprecateEof)) connection_->read();
  }
  statements_[name] = {prepared.statement, prepared.parameters, false, text.starts_with("CALL"), 0};
}

bool Session::execute(const std::string& name, const std::vector<std::string>& values, bool cursor) {
  const auto it = statements_.find(name);
  if (it == statements_.end()) return false;  // an error in words that each server has others for
  Statement& statement = it->second;
  std::string body = four(statement.number);
  body += static_cast<char>(cursor ? 1 : 0);
  body += four(1);
  if (statement.parameters > 0) {
    std::string nulls((statement.parameters + 7) / 8, '\0'), bytes;
    for (std::size_t i = 0; i < statement.parameters; ++i) {
      const std::string_view value = i < values.size() ? std::string_view(values[i]) : kNull;
      if (i < 32 && (statement.sent & (1u << i))) continue;
      if (value == kNull)
        nulls[i / 8] = static_cast<char>(nulls[i / 8] | (1 << (i % 8)));
      else
        wire::append_lenenc_bytes(bytes, value);
    }
    body += nulls;
    body += static_cast<char>(statement.typed ? 0 : 1);
    if (!statement.typed)
      for (std::size_t i = 0; i < statement.parameters; ++i) body += std::string_view("\xfd\0", 2);
    body += bytes;
    // MySQL 8.0.15 dies of a second CALL with OUT parameters to which no types are sent.
    statement.typed = !statement.call;
    statement.sent = 0;
  }
  send(byte(Command::kStmtExecute), body);
  results();
  return true;
}

void Session::close_statement(const std::string& name) {
  const auto it = statements_.find(name);
  if (it == statements_.end()) return;
  send(byte(Command::kStmtClose), four(it->second.number));
  statements_.erase(it);
}

void Session::command(std::string_view text) {
  const auto words = split(text, " ");
  const std::string& word = words[0];
  const auto argument = [&](std::size_t i) { return i < words.size() ? words[i] : std::string(); };
  const auto schema = [&](const std::string& name) { return name == "own" ? place_->schema : name; };
  const auto statement = [&]() -> Statement* {
    const auto it = statements_.find(argument(1));
    return it == statements_.end() ? nullptr : &it->second;
  };
  if (word == "reset") {
    send(byte(Command::kResetConnection), {});
    const std::string payload(connection_->read());
    if (static_cast<std::uint8_t>(payload[0]) == wire::kOkHeader) statements_.clear();
    add_end(payload);
    return;
  } else if (word == "db") {
    send(byte(Command::kInitDb), schema(argument(1)));
    wire::Ok ok;
    const std::string payload(connection_->read());
    // MySQL counts the warnings of the statement before, or not.
    if (wire::read_ok(payload, connection_->capabilities(), ok))
      add("ok status=" + std::to_string(ok.status & ~kNotCompared));
    else
      add_end(payload);
    return;
  } else if (word == "ping") {
    send(byte(Command::kPing), {});
  } else if (word == "option") {
    send(byte(Command::kSetOption), std::string_view(argument(1) == "1" ? "\1\0" : "\0\0", 2));
    const auto payload = connection_->read();
    add(static_cast<std::uint8_t>(payload[0]) == wire::kErrorHeader ? "refused" : "option");
    return;
  } else if (word == "user") {
    statements_.clear();
    const auto refused =
        connection_->change_user(place_->accounts.at(argument(1) == "other" ? 1 : 0), schema(argument(2)));
    if (!refused) return add("changed");
    add_end(*refused);
    connection_.reset();
    return;
  } else if (word == "fields") {
    send(byte(Command::kFieldList), argument(1) + '\0');
    rows();
    return;
  } else if (word == "long") {
    if (Statement* known = statement(); known != nullptr) {
      const auto number = static_cast<std::uint16_t>(std::atoi(argument(2).c_str()));
      if (number >= known->parameters) return;
      std::string body = four(known->number) + std::string(2, '\0');
      wire::store_u16(body.data() + 4, number);
      send(byte(Command::kStmtSendLongData), body + argument(3));
      known->sent |= 1u << number;
    }
    return;
  } else if (word == "sreset" || word == "fetch") {
    Statement* known = statement();
    if (known == nullptr) return;
    if (word == "sreset") {
      known->sent = 0;
      send(byte(Command::kStmtReset), four(known->number));
    } else {
      send(byte(Command::kStmtFetch),
           four(known->number) + four(static_cast<std::uint32_t>(std::atoi(argument(2).c_str()))));
      rows();
      return;
    }
  } else if (word == "kill") {
    send(byte(Command::kProcessKill), four(static_cast<std::uint32_t>(std::strtoul(argument(1).c_str(), nullptr, 10))));
    // MySQL warns of this command, which nobody can ask for any more.
    const std::string payload(connection_->read());
    if (static_cast<std::uint8_t>(payload[0]) == wire::kOkHeader) return add("ok");
    add_end(payload);
    return;
  } else {
    throw std::runtime_error("unknown command " + word);
  }
  add_end(connection_->read());
}

void Session::carry_out(const Step& step) {
  const auto parts = split(step.text, " | ");
  const std::vector<std::string> values(parts.begin() + 1, parts.end());
  switch (step.kind) {
    case ':':
      send(byte(Command::kQuery), step.text);
      return results();
    case '?':
      prepare("", parts[0]);
      execute("", values, false);
      return close_statement("");
    case '+': {
      const auto colon = step.text.find(": ");
      return prepare(step.text.substr(0, colon), std::string_view(step.text).substr(colon + 2));
    }
    case '*': {
      const bool cursor = parts[0].starts_with("cursor ");
      execute(cursor ? parts[0].substr(7) : parts[0], values, cursor);
      return;
    }
    case '-':
      return close_statement(step.text);
    case '~':
      return command(step.text);
    default:  // $ and !
      if (step.kind == '$') send(byte(Command::kQuit), {});
      if (step.kind == '!' && !step.text.empty()) send(byte(Command::kQuery), step.text);
      connection_.reset();
      statements_.clear();
  }
}

void Session::log_in() {
  statements_.clear();
  connection_ = std::make_unique<Connection>(place_->port);
  const auto refused = connection_->log_in(place_->accounts.at(0), place_->schema, capabilities_of(name_));
  if (!refused) return;
  add_end(*refused);
  connection_.reset();
}

std::string Session::play(Step step) {
  answer_.clear();
  step.text = place_->own(std::move(step.text));
  sets_tracking_ = step.text.find("session_track_") != std::string::npos;
  try {
    if (!connection_) log_in();
    if (connection_) carry_out(step);
  } catch (const Closed&) {
    add("closed");
    connection_.reset();
  } catch (const NoAnswer&) {
    add("no answer");
    connection_.reset();
  } catch (const std::exception& error) {
    add(error.what());
    connection_.reset();
  }
  return std::move(answer_);
}

bool Session::was_ended() {
  if (!connection_) return true;
  const bool ended = connection_->ends();
  connection_.reset();
  return ended;
}

}  // namespace mysql_differential
