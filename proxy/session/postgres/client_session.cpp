#include "proxy/session/postgres/client_session.hpp"

#include "proxy/session/postgres/replay_guard.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

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

ClientSession::~ClientSession() = default;

ClientVerdict ClientSession::feed(std::string_view bytes, std::size_t& consumed, ServerSession* server,
                                  Output& to_server, Output& to_client, const ClientOptions& options) {
  consumed = 0;
  needed_ = 0;
  held_ = false;
  Step step{server, to_server, to_client, options};
  while (true) {
    auto rest = bytes.substr(consumed);
    if (body_left_ > 0) {
      auto piece = rest.substr(0, body_left_);
      if (piece.empty()) return ClientVerdict::kMore;
      if (body_forward_ && server != nullptr) to_server.ref(piece);
      body_left_ -= piece.size();
      consumed += piece.size();
      continue;
    }
    if (wait_for_quiet_ && server != nullptr && !server->requests_.empty()) return ClientVerdict::kWait;
    wait_for_quiet_ = false;
    // Behind a BEGIN that was kept back and is not answered yet: nothing beyond the first Sync or Query.
    if (server != nullptr && server->beginning_ && !server->sync_pending_) {
      held_ = true;
      return ClientVerdict::kWait;
    }
    auto frame = wire::scan_frame(rest);
    if (frame.scan == wire::Scan::kNeedMore) return ClientVerdict::kMore;
    if (frame.scan == wire::Scan::kBad) return refuse("08P01", "invalid message length");

    std::size_t used = frame.size;
    if (rejecting_ != Rejecting::kNo && frame.type != 'X' && rejected(step, frame.type, rest, frame.size, used)) {
      consumed += used;
      continue;
    }
    switch (frame.type) {
      case 'X':
        consumed += std::min(rest.size(), frame.size);
        return ClientVerdict::kTerminate;
      case 'd':
      case 'c':
      case 'f':
        copy(step, frame.type, rest, frame.size, used);
        break;
      case 'F':
        if (server == nullptr) return ClientVerdict::kNeedServer;
        if (!server->skipping_) {
          Verdict opaque;
          opaque.pins = bit(PinReason::kProtocol);
          note(opaque, "FunctionCall", step);
          server->requests_.push(RequestKind::kFunctionCall);
          server->sync_pending_ = false;
        }
        pass(server->skipping_ ? nullptr : &to_server, rest, frame.size, used);
        break;
      case 'B':
        if (server == nullptr) return ClientVerdict::kNeedServer;
        if (server->skipping_) {
          pass(nullptr, rest, frame.size, used);
        } else if (auto verdict = bind(step, rest, frame.size, used); verdict != ClientVerdict::kMore || used == 0) {
          return verdict;
        }
        break;
      case 'Q':
      case 'P':
      case 'D':
      case 'E':
      case 'C':
      case 'S':
      case 'H': {
        bool text = frame.type == 'Q' || frame.type == 'P';
        if (frame.size > (text ? kMaxStatement + 1024 : kMaxNames)) {
          return text ? refuse("54000", "statement is longer than 64 MB",
                               "Load large amounts of data with COPY or bind parameters.")
                      : refuse("08P01", "message is too long for its type");
        }
        if (rest.size() < frame.size) {
          needed_ = frame.size;
          return ClientVerdict::kMore;
        }
        bool local_when_free = frame.type == 'C' || frame.type == 'S' || frame.type == 'H';
        if (server == nullptr && frame.type == 'Q' && answered_here(step, rest.substr(0, frame.size))) break;
        if (server == nullptr && !local_when_free) return ClientVerdict::kNeedServer;
        auto verdict = whole_message(step, frame.type, rest.substr(0, frame.size));
        if (verdict != ClientVerdict::kMore) return verdict;
        break;
      }
      case 'p':
        return refuse("08P01", "unexpected password message");
      default:
        return refuse("08P01", std::string("invalid frontend message type ") +
                                   std::to_string(static_cast<unsigned char>(frame.type)));
    }
    consumed += used;
  }
}

// While rejecting: true when the message is dropped here.
bool ClientSession::rejected(Step& step, char type, std::string_view available, std::size_t whole_size,
                             std::size_t& used) {
  bool simple = type == 'Q' || type == 'F';
  if (rejecting_ == Rejecting::kNext) {
    step.to_client.own() += error_;
    begin_failed_ = !begin_.empty();
    error_.clear();
    rejecting_ = simple ? Rejecting::kNo : Rejecting::kUntilSync;
    if (simple) wire::ready_for_query(step.to_client.own(), local_status());
  } else if (type == 'S') {
    rejecting_ = Rejecting::kNo;
    wire::ready_for_query(step.to_client.own(), local_status());
  }
  pass(nullptr, available, whole_size, used);
  return true;
}

ClientVerdict ClientSession::whole_message(Step& step, char type, std::string_view whole) {
  auto server = step.server;
  if (type == 'S') {
    sync(step, whole);
    return ClientVerdict::kMore;
  }
  if (server != nullptr && server->skipping_) return ClientVerdict::kMore;
  if (server != nullptr && server->copy_in_ && type != 'H') {
    return refuse("08P01", "unexpected message during COPY from the client");
  }
  switch (type) {
    case 'Q':
      return query(step, whole);
    case 'P':
      return parse(step, whole);
    case 'D':
      return describe(step, whole);
    case 'C':
      return close(step, whole);
    case 'E': {
      auto& entry = server->requests_.push(RequestKind::kExecute);
      entry.settings_expected = execute_sets_;
      entry.block_expected = execute_runs_;
      server->sync_pending_ = true;
      step.to_server.ref(whole);
      return ClientVerdict::kMore;
    }
    default:  // Flush
      if (server != nullptr && !server->copy_in_) step.to_server.ref(whole);
      return ClientVerdict::kMore;
  }
}

void ClientSession::sync(Step& step, std::string_view whole) {
  auto server = step.server;
  if (server == nullptr) {
    wire::ready_for_query(step.to_client.own(), local_status());
    return;
  }
  if (server->copy_in_) return;  // the server would ignore it
  server->requests_.push(RequestKind::kSync);
  server->sync_pending_ = false;
  server->skipping_ = false;
  step.to_server.ref(whole);
}

// CopyData, CopyDone, CopyFail. After an error the server has forgotten the copy; what still comes is dropped here
// when no server is attached or when it waits for a Sync.
void ClientSession::copy(Step& step, char type, std::string_view available, std::size_t whole_size, std::size_t& used) {
  auto server = step.server;
  bool wanted = server != nullptr && !server->skipping_ && !server->requests_.empty();
  if (wanted && type != 'd') {
    server->copy_in_ = false;
    server->requests_.push(RequestKind::kCopyEnd);
  }
  pass(wanted ? &step.to_server : nullptr, available, whole_size, used);
}

// Passes on (or drops) a message of which perhaps only the beginning is here.
void ClientSession::pass(Output* to_server, std::string_view available, std::size_t whole_size, std::size_t& used) {
  auto here = available.substr(0, whole_size);
  if (to_server != nullptr) to_server->ref(here);
  body_forward_ = to_server != nullptr;
  body_left_ = whole_size - here.size();
  used = here.size();
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

ClientVerdict ClientSession::query(Step& step, std::string_view whole) {
  auto text = whole.substr(wire::kHeaderSize);
  if (text.empty() || text.back() != '\0') return refuse("08P01", "invalid string in message");
  text = text.substr(0, text.find('\0'));
  if (hold(step, text)) return ClientVerdict::kWait;
  auto verdict = classify(text, classify_options(step));
  // What the text's first statement makes, its second may use: no HazardSet knows it.
  if (verdict.may_report_catalog_change && verdict.statement_count > 1) {
    verdict.pins |= bit(PinReason::kOpaque);
    verdict.leaves |= bit(PinReason::kOpaque);
  }
  note(verdict, text, step);
  shadow_names(step, verdict, true);
  auto& server = *step.server;
  unnamed_.current.reset();
  server.unnamed_.reset();
  auto& entry = server.requests_.push(RequestKind::kQuery);
  entry.settings_expected = verdict.sets;
  entry.block_expected = verdict.runs_block;
  server.sync_pending_ = false;
  step.to_server.ref(whole);
  wait_for_quiet_ = verdict.discard_all || verdict.deallocate_all;
  ++queries_;
  if (keep_text) last_text = text;
  return ClientVerdict::kMore;
}

ClientVerdict ClientSession::parse(Step& step, std::string_view whole) {
  wire::Reader reader(whole.substr(wire::kHeaderSize));
  auto name = reader.cstring();
  auto text = reader.cstring();
  auto types = reader.bytes(std::size_t{reader.u16()} * 4);
  if (!reader.ok() || !reader.rest().empty()) return refuse("08P01", "invalid message format: Parse");
  if (hold(step, text)) return ClientVerdict::kWait;
  auto& server = *step.server;
  auto statement = cache_->intern(text, types, classify_options(step));
  server.sync_pending_ = true;

  if (name.empty()) {
    auto& entry = server.requests_.push(RequestKind::kParse);
    entry.slot = &unnamed_;
    entry.previous = unnamed_.current;
    ++unnamed_.pending;
    unnamed_.current = statement;
    server.unnamed_ = statement;
    step.to_server.ref(whole);
    return ClientVerdict::kMore;
  }

  if (names_.size() >= kMaxNamesPerClient && names_.find(name) == names_.end()) {
    return refuse("54000", "too many prepared statements in this session", "Close the ones that are no longer needed.");
  }
  auto named = slot(name);
  bool failed = server.transaction_status_ == 'E' && server.requests_.empty();
  if (named->current && failed) {
    // The server looks at the transaction before it looks at the name.
    server.requests_.push(RequestKind::kParse);
    server.unnamed_.reset();
    wire::parse(step.to_server.own(), "", text, types);
    return ClientVerdict::kMore;
  }
  if (named->current) {
    force_error(server, step.to_server, ErrorText::kStatementExists, named);
    return ClientVerdict::kMore;
  }
  if (pins_ & bit(PinReason::kSqlPrepare)) {
    // SQL may have made a statement of this name on the server: there it goes, too, so that the server sees to it.
    auto& entry = server.requests_.push(RequestKind::kParse);
    entry.slot = named;
    ++named->pending;
    named->current = statement;
    named->materialized = true;
    step.to_server.ref(whole);
    return ClientVerdict::kMore;
  }
  auto known = server.prepared_.find(statement->id);
  bool prepared = known != server.prepared_.end() && !known->second.stale;
  if (prepared && !failed) {
    known->second.used = ++server.use_counter_;
    named->current = statement;
    answer(step, '1', named, {});
    return ClientVerdict::kMore;
  }
  if (!prepared) {
    make_room(server, step.to_server);
    if (known != server.prepared_.end()) {
      wire::close_statement(step.to_server.own(), statement->name);
      auto& gone = server.requests_.push(RequestKind::kClose);
      gone.hidden = true;
      gone.statement = statement;
    }
    server.prepared_[statement->id] = {statement, ++server.use_counter_, false};
  }
  auto& entry = server.requests_.push(RequestKind::kParse);
  entry.slot = named;
  ++named->pending;
  // In a failed transaction Parse is refused before the name is looked at, and nothing is lost by that.
  if (!prepared) entry.statement = statement;
  named->current = statement;
  wire::parse(step.to_server.own(), statement->name, text, types);
  return ClientVerdict::kMore;
}

ClientVerdict ClientSession::bind(Step& step, std::string_view available, std::size_t whole_size, std::size_t& used) {
  auto body = available.substr(0, std::min(whole_size, kMaxNames)).substr(wire::kHeaderSize);
  wire::Reader reader(body);
  auto portal = reader.cstring();
  auto name = reader.cstring();
  if (!reader.ok()) {
    if (available.size() >= std::min(whole_size, kMaxNames)) return refuse("08P01", "invalid message format: Bind");
    used = 0;
    needed_ = std::min(whole_size, kMaxNames);
    return ClientVerdict::kMore;
  }
  auto& server = *step.server;
  if (server.copy_in_) return refuse("08P01", "unexpected message during COPY from the client");
  if (server.replaying()) {
    auto named = names_.find(name);
    const auto& bound = name.empty()            ? unnamed_.current
                        : named != names_.end() ? named->second.current
                                                : StatementPtr();
    if (hold(step, bound ? bound->text() : "end")) return ClientVerdict::kWait;
  }
  server.sync_pending_ = true;
  ++queries_;

  StatementPtr target;
  NamedStatement* named = nullptr;
  if (name.empty()) {
    if (!use_unnamed(step)) {
      force_error(server, step.to_server, ErrorText::kNoUnnamedStatement, nullptr);
      pass(nullptr, available, whole_size, used);
      return ClientVerdict::kMore;
    }
    target = unnamed_.current;
  } else if (auto it = names_.find(name); it != names_.end() && it->second.current) {
    target = it->second.current;
    named = &it->second;
    ++named->pending;  // by the entry below; from here on, as the statement may drop its own name
    prepare_on(server, target, step.to_server);
  }
  if (target) {
    target->refresh(step.options.classify);
    if (server.catalog_changed()) {
      note(target->strict_verdict(), target->text(), step);
    } else {
      note(target->verdict, target->text(), step);
    }
    shadow_names(step, target->verdict, false);
    execute_sets_ = execute_sets_ || target->verdict.sets;
    execute_runs_ = execute_runs_ || target->verdict.runs_block;
    if (keep_text) last_text = target->text();
  }
  auto& entry = server.requests_.push(RequestKind::kBind);
  entry.statement = target;
  entry.slot = named;  // so that an error can say the client's own name
  if (!target || name.empty()) {
    pass(&step.to_server, available, whole_size, used);
    return ClientVerdict::kMore;
  }
  // The same message with our name for the statement in the place of the client's.
  auto old_front = wire::kHeaderSize + portal.size() + 1 + name.size() + 1;
  auto& own = step.to_server.own();
  auto length = whole_size - 1 - name.size() + target->name.size();
  own += 'B';
  own.append(4, '\0');
  wire::store_u32(own.data() + own.size() - 4, static_cast<std::uint32_t>(length));
  own += portal;
  own += '\0';
  own += target->name;
  own += '\0';
  pass(&step.to_server, available.substr(old_front), whole_size - old_front, used);
  used += old_front;
  return ClientVerdict::kMore;
}

ClientVerdict ClientSession::describe(Step& step, std::string_view whole) {
  wire::Reader reader(whole.substr(wire::kHeaderSize));
  auto kind = static_cast<char>(reader.u8());
  auto name = reader.cstring();
  if (!reader.ok() || !reader.rest().empty()) return refuse("08P01", "invalid message format: Describe");
  auto& server = *step.server;
  server.sync_pending_ = true;
  StatementPtr target;
  NamedStatement* named = nullptr;
  if (kind == 'S' && name.empty()) {
    if (!use_unnamed(step)) {
      force_error(server, step.to_server, ErrorText::kNoUnnamedStatement, nullptr);
      return ClientVerdict::kMore;
    }
  } else if (kind == 'S') {
    if (auto it = names_.find(name); it != names_.end() && it->second.current) {
      target = it->second.current;
      named = &it->second;
    }
  }
  if (target) prepare_on(server, target, step.to_server);
  auto& entry = server.requests_.push(RequestKind::kDescribe);
  entry.statement = target;
  entry.slot = named;
  if (named != nullptr) ++named->pending;
  if (target) {
    wire::MessageWriter(step.to_server.own(), 'D').u8('S').cstring(target->name);
  } else {
    step.to_server.ref(whole);
  }
  return ClientVerdict::kMore;
}

ClientVerdict ClientSession::close(Step& step, std::string_view whole) {
  wire::Reader reader(whole.substr(wire::kHeaderSize));
  auto kind = static_cast<char>(reader.u8());
  auto name = reader.cstring();
  if (!reader.ok() || !reader.rest().empty()) return refuse("08P01", "invalid message format: Close");
  if (kind == 'S') {
    NamedStatement* closing = &unnamed_;
    if (!name.empty()) {
      auto it = names_.find(name);
      closing = it != names_.end() ? &it->second : nullptr;
    }
    bool real = closing == nullptr ? (pins_ & bit(PinReason::kSqlPrepare)) != 0 : closing->materialized;
    auto previous = closing != nullptr ? closing->current : StatementPtr();
    if (closing != nullptr) closing->current.reset();
    if (!real || step.server == nullptr) {
      if (step.server != nullptr) step.server->sync_pending_ = true;
      answer(step, '3', closing, std::move(previous));
      return ClientVerdict::kMore;
    }
    if (closing != nullptr) {
      closing->materialized = false;
      release_slot(closing);
    }
    if (pins_ & bit(PinReason::kSqlPrepare)) probe_due_ = true;
  } else if (step.server == nullptr) {
    wire::empty_message(step.to_client.own(), '3');  // no portal outlives its transaction
    return ClientVerdict::kMore;
  }
  if (kind == 'P' && pins_ != 0) probe_due_ = true;  // it may be a cursor WITH HOLD
  step.server->sync_pending_ = true;
  step.server->requests_.push(RequestKind::kClose);
  step.to_server.ref(whole);
  return ClientVerdict::kMore;
}

// Gives an answer of our own when its turn comes, which is now if the server owes nothing.
void ClientSession::answer(Step& step, char type, NamedStatement* changed, StatementPtr previous) {
  if (step.server == nullptr || step.server->requests_.empty()) {
    wire::empty_message(step.to_client.own(), type);
    if (changed != nullptr) release_slot(changed);
    return;
  }
  auto& entry = step.server->requests_.push(RequestKind::kLocal);
  entry.answer = type;
  entry.slot = changed;
  entry.previous = std::move(previous);
  if (changed != nullptr) ++changed->pending;
}

void ClientSession::attached(ServerSession& server, Output& to_server, Output& to_client) {
  execute_sets_ = false;
  execute_runs_ = false;
  if (server.settings_ != settings_ || !server.settings_known()) replay_settings(server, to_server, to_client);
  send_begin(server, to_server);
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

void ClientSession::restore(SettingsInterner& interner, std::string_view name, std::string_view value,
                            Output& to_client) {
  auto before = settings_;
  settings_ = interner.with(settings_, name, value);
  if (settings_ != before) wire::parameter_status(to_client.own(), name, value);
}

ClientVerdict ClientSession::refuse(std::string_view sqlstate, std::string_view message, std::string_view hint) {
  error_.clear();
  wire::error_response(error_, {.severity = "FATAL", .sqlstate = sqlstate, .message = message, .hint = hint});
  return ClientVerdict::kRefuse;
}

}  // namespace dbproxy::session::postgres
