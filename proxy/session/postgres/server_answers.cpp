// The part of ServerSession that takes requests off its queue: what their answers say, and what an error undoes.
#include <charconv>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/prepare_text.hpp"
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

// The message with another name for a statement wherever its text has ours.
void rename(std::string_view whole, std::string_view ours, std::string_view theirs, std::string& out) {
  auto begin = out.size();
  out += whole;
  for (auto at = out.find(ours, begin); at != std::string::npos; at = out.find(ours, at + theirs.size())) {
    out.replace(at, ours.size(), theirs);
  }
  wire::store_u32(out.data() + begin + 1, static_cast<std::uint32_t>(out.size() - begin - 1));
}

std::size_t position_of(std::string_view whole) {
  wire::Reader reader(whole.substr(wire::kHeaderSize));
  while (const auto type = reader.u8()) {
    const auto text = reader.cstring();
    std::size_t at = 0;
    if (!reader.ok()) break;
    if (type == 'P' && std::from_chars(text.data(), text.data() + text.size(), at).ec == std::errc()) return at;
  }
  return 0;
}

// The message with the position of its error as it is in the client's own text.
void without_insertions(std::string_view whole, const std::vector<Insertion>& inserted, std::string& out) {
  wire::MessageWriter writer(out, whole[0]);
  wire::Reader reader(whole.substr(wire::kHeaderSize));
  while (const auto type = reader.u8()) {
    const auto text = reader.cstring();
    if (!reader.ok()) break;
    std::size_t at = 0;
    const bool position = type == 'P' && std::from_chars(text.data(), text.data() + text.size(), at).ec == std::errc();
    for (auto place = inserted.rbegin(); position && place != inserted.rend(); ++place) {
      std::size_t before = 0;
      for (auto other = place + 1; other != inserted.rend(); ++other) before += other->size;
      if (at > place->at + before) at -= std::min(place->size, at - place->at - before);
    }
    writer.u8(type).cstring(position ? std::to_string(at) : std::string(text));
  }
  writer.u8(0);
}

}  // namespace

bool ServerSession::on_ready(std::string_view body, ClientSession* client, Output& out, bool& forward) {
  if (body.size() != 1 || requests_.empty()) return false;
  auto kind = requests_.front().kind;
  if (kind != RequestKind::kQuery && kind != RequestKind::kSync && kind != RequestKind::kFunctionCall) return false;
  forward = !requests_.front().hidden;
  bool kept_rows = requests_.front().keeps_rows;
  bool replayed = requests_.front().replays;
  if (std::exchange(failed_in_sequence_, false)) skipping_ = true;
  settle(requests_.front(), client);
  requests_.pop();
  if (replayed) replaying_ = !requests_.empty() && requests_.front().replays;
  begun_ = false;
  sequence_ = Sequence::kOpen;
  if (kind == RequestKind::kQuery && forward) kept_.clear();
  transaction_status_ = body[0];
  if (told_) finish_discard(client, out);
  if (transaction_status_ == 'I' && requests_.empty()) {
    if (std::exchange(schema_dirty_, false)) events_.schema_changed = true;
    if (std::exchange(defaults_dirty_, false)) events_.defaults_changed = true;
  }
  copy_in_ = false;
  if (requests_.empty()) timed_out_ = moving_ = false;
  if (kept_rows) {
    if (std::exchange(listing_, false))
      settings_listed(client);
    else if (std::exchange(probing_, false))
      events_.probe_ready = true;
    else if (std::exchange(reading_settings_, false)) {
      settings_unread_ = take_settings();  // now: a DISCARD ALL may come behind it
      events_.settings_ready = true;
    } else if (std::exchange(reading_names_, false))
      events_.names_ready = true;
    else if (std::exchange(reading_channels_, false))
      events_.channels_ready = true;
    else
      events_.rows_ready = true;
    reading_rows_ = false;
    // The client went on without waiting: its answers follow.
    forward = owes_ready_ && !requests_.empty();
    if (forward) owes_ready_ = false;
    return true;
  }
  const bool hold = client != nullptr && ((catalog_changed() && may_hold_) || client->holds_ready());
  if (forward && hold && transaction_status_ == 'I' && requests_.empty() && !sync_pending_) {
    owes_ready_ = true;
    client->told('I', true);
    ++events_.queries_done;
    ++events_.transactions_done;
    forward = false;
    return true;
  }
  if (forward) {
    if (client != nullptr) client->told(transaction_status_, requests_.empty());
    ++events_.queries_done;
    if (transaction_status_ == 'I') ++events_.transactions_done;
  }
  return transaction_status_ == 'I' || transaction_status_ == 'T' || transaction_status_ == 'E';
}

// DISCARD ALL has brought the connection's own start. The client's is put in force when it is attached again; it hears
// of that now.
void ServerSession::finish_discard(ClientSession* client, Output& out) {
  const auto told = std::exchange(told_, {});
  if (client == nullptr) return;
  client->settings_ = client->settings_at_start(settings_);
  client->at_start_ = true;
  client->tell_changes(told, client->settings_, out);
}

bool ServerSession::on_command_complete(std::string_view body, ClientSession* client) {
  if (requests_.empty()) return false;
  auto& front = requests_.front();
  bool by_execute = front.kind == RequestKind::kExecute;
  if (!by_execute && front.kind != RequestKind::kQuery) return false;
  auto tag = body.substr(0, body.find('\0'));
  copy_in_ = false;
  sequence_ = front.ends_block && (tag == "COMMIT" || tag == "ROLLBACK") ? Sequence::kEnded : Sequence::kOpen;
  // The tag is the server's own word for what ran, whatever the text looked like.
  switch (tag.empty() ? '\0' : tag[0]) {
    case 'S':
      if (tag == "SET" && !front.settings_expected) events_.pins |= bit(PinReason::kSetVariable);
      break;
    case 'R':
      if (tag == "RESET") events_.lost_init = true;
      if (tag == "ROLLBACK" && back_by_rollback_) maybe_back_ = true;
      break;
    case 'L':
      if (tag == "LISTEN") {
        events_.pins |= bit(PinReason::kListen);
        may_listen_ = true;
      }
      if (tag == "LOAD") events_.pins |= bit(PinReason::kLoad);
      break;
    case 'P':
      if (tag == "PREPARE") {
        events_.pins |= bit(PinReason::kSqlPrepare);
        may_have_names_ = true;
      }
      break;
    case 'D':
      if (tag == "DO" && !front.block_expected) events_.pins |= bit(PinReason::kOpaque);
      if (tag == "DISCARD ALL" || tag == "DEALLOCATE ALL") {
        forget_prepared();
        if (client != nullptr && !by_execute && !front.hidden) client->forget_names();
        if (tag == "DISCARD ALL") {
          if (client != nullptr) {
            client->discarded_all();
            if (client->start_) told_ = settings_;
          }
          discarded_all();
          events_.pins = 0;
          events_.lost_init = true;
        }
      }
      break;
    case 'A':
      if (tag == "ALTER DATABASE" || tag == "ALTER ROLE") defaults_dirty_ = true;
      break;
    case 'C':
      if (tag == "CALL" && !front.block_expected) events_.pins |= bit(PinReason::kOpaque);
      break;
    default:
      break;
  }
  if (schema_dirty_ &&
      (tag.starts_with("ALTER") || tag.starts_with("DROP") || tag.starts_with("CREATE") || tag.starts_with("SELECT")))
    events_.schema_changed = true;
  if (!front.hidden) ++events_.statements_done;
  if (front.hidden) {
    events_.pins = 0;
    events_.lost_init = false;
  } else if (client != nullptr) {
    if (events_.pins != 0) client->pin(events_.pins, events_.pins & bit(PinReason::kOpaque));
    client->command_done(tag);
  }
  if (by_execute) {
    if (front.replays) {
      begun_ = beginning_;
      replaying_ = beginning_ = false;
    }
    settle(front, client);
    requests_.pop();
  }
  return true;
}

bool ServerSession::on_error(std::string_view whole, ClientSession* client, Output& out, bool& forward) {
  auto fields = wire::read_error(whole.substr(wire::kHeaderSize));
  if (fields.severity == "FATAL" || fields.severity == "PANIC") {
    events_.fatal = true;
    events_.fatal_sqlstate = fields.sqlstate;
    events_.fatal_message = fields.message;
    // The last words: nothing will be answered any more. Whether they are for the client is to be seen.
    events_.fatal_error = whole;
    forward = false;
    return true;
  }
  copy_in_ = false;
  setting_start_ = false;
  // Not where the client itself has asked for a transaction that reads only. Servers before 14 do not tell.
  if (fields.sqlstate == "25006") {
    const auto* const standby = settings_->find("in_hot_standby");
    events_.refused_write = standby == nullptr || *standby == "on";
  }
  if (requests_.empty()) return true;  // FATAL out of the blue
  auto& front = requests_.front();
  if (client != nullptr && !front.hidden) client->command_failed();
  if (front.replays) {
    auto what = front.kind == RequestKind::kQuery
                    ? std::string("this session\'s settings cannot be put in force on a server connection: ")
                    : std::string("the transaction cannot be begun on a server connection: ");
    wire::error_response(replay_error_, {.severity = "FATAL",
                                         .sqlstate = fields.sqlstate,
                                         .message = what + std::string(fields.message),
                                         .hint = "What was asked has not been carried out. Connect again."});
    return true;
  }
  maybe_back_ = true;
  const bool shown = front.error_text != ErrorText::kDropped && front.error_text != ErrorText::kKept;
  sequence_ = shown && !(front.hidden && front.kind == RequestKind::kQuery) ? Sequence::kFailed : Sequence::kOpen;
  if (front.kind == RequestKind::kQuery || front.kind == RequestKind::kFunctionCall) {
    if (front.keeps_rows) {
      rows_.failed = true;
      rows_.error = std::string(fields.sqlstate) + ": " + std::string(fields.message);
      rows_.response = whole;
    } else if (front.hidden) {
      hidden_query_failed_ = hidden_query_failed_ || !front.may_fail;
      if (front.slot != nullptr && client != nullptr) front.slot->materialized = false;
    } else if (const auto kept = kept_.answer(fields.sqlstate, fields.message); !kept.empty()) {
      forward = false;
      out.own() += kept;
    } else if (front.sets_start && !inserted_.places.empty()) {
      forward = false;
      std::string renamed;
      bool of_prepared = false;
      if (front.statement && front.slot != nullptr) {
        rename(whole, front.statement->name, *front.slot->name, renamed);
        whole = renamed;
        of_prepared = is_of_statement(position_of(whole), fields.message, executed_, front.statement->text());
      }
      if (of_prepared) {
        out.own() += whole;
      } else {
        without_insertions(whole, inserted_.places, out.own());
      }
    }
    return true;
  }
  // Extended query: everything up to the next Sync was skipped.
  forward = front.error_text == ErrorText::kAsIs;
  if (front.error_text == ErrorText::kKept) {
    const bool own = front.slot != nullptr && front.slot->name != nullptr;
    kept_.add(own ? *front.slot->name : front.statement ? front.statement->name : std::string(), whole);
  }
  // Of an EXECUTE whose statement cannot be put there: directly it would be bound, and then fail.
  const bool bound = forward && front.hidden && front.kind == RequestKind::kParse && front.slot != nullptr &&
                     requests_.size() > 1 && requests_.at(1).kind == RequestKind::kBind && !requests_.at(1).hidden;
  if (bound && client != nullptr) wire::empty_message(out.own(), '2');
  bool ours = forward && !front.hidden && client != nullptr && front.statement && front.slot != nullptr &&
              front.slot->name != nullptr && fields.message.find(front.statement->name) != std::string_view::npos;
  if (ours) {
    forward = false;
    rename(whole, front.statement->name, *front.slot->name, out.own());
  }
  if (front.error_text == ErrorText::kStatementExists || front.error_text == ErrorText::kNoUnnamedStatement) {
    bool named = front.slot != nullptr && front.slot->name != nullptr;
    auto text = front.error_text == ErrorText::kNoUnnamedStatement
                    ? std::string("unnamed prepared statement does not exist")
                    : "prepared statement \"" + (named ? *front.slot->name : std::string()) + "\" already exists";
    // In a failed transaction the server's own words are right.
    if (fields.sqlstate == "25P02") {
      forward = true;
    } else if (client != nullptr) {
      auto state = front.error_text == ErrorText::kNoUnnamedStatement ? "26000" : "42P05";
      wire::error_response(out.own(), {.severity = "ERROR", .sqlstate = state, .message = text});
    }
  }
  if (front.kind != RequestKind::kParse && front.statement &&
      (fields.sqlstate == "0A000" || fields.sqlstate == "26000")) {
    // Its result type changed: what is parsed from now on is another statement. Or something deallocated it.
    if (fields.sqlstate == "0A000") {
      events_.schema_changed = true;
    } else if (auto it = prepared_.find(front.statement->id); it != prepared_.end()) {
      prepared_.erase(it);
    }
  }
  unnamed_.reset();
  std::size_t end = 0;
  while (end < requests_.size() && requests_.at(end).kind != RequestKind::kSync) ++end;
  skipping_ = end == requests_.size();
  failed_in_sequence_ = !skipping_ && requests_.at(end).sequence_goes_on;
  for (std::size_t i = end; i > 0; --i) undo(requests_.at(i - 1), client, i == 1);
  for (std::size_t i = 0; i < end; ++i) requests_.pop();
  return true;
}

// A warning about a text with insertions has its position moved like an error.
void ServerSession::on_notice(std::string_view whole, const ClientSession* client, Output& out, bool& forward) {
  const auto& front = requests_.front();
  if (!forward || client == nullptr || !front.sets_start || front.statement || inserted_.places.empty()) return;
  if (position_of(whole) == 0) return;
  forward = false;
  without_insertions(whole, inserted_.places, out.own());
}

void ServerSession::emit_local(ClientSession* client, Output& out) {
  while (!requests_.empty()) {
    auto& front = requests_.front();
    if (front.kind == RequestKind::kLocal) {
      if (client != nullptr && front.answer != 0) wire::empty_message(out.own(), front.answer);
    } else if (front.kind != RequestKind::kCopyEnd) {
      return;
    }
    settle(front, client);
    requests_.pop();
  }
}

// All prepared statements are gone there, but for those whose Parse comes behind that.
void ServerSession::forget_prepared() {
  const auto before = std::exchange(prepared_, {});
  unnamed_.reset();
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    const auto& request = requests_.at(i);
    if (request.kind != RequestKind::kParse || !request.statement) continue;
    if (const auto found = before.find(request.statement->id); found != before.end())
      prepared_.insert_or_assign(found->first, found->second);
  }
}

void ServerSession::undo(Request& request, ClientSession* client, bool executed) {
  if (request.kind == RequestKind::kParse && request.statement) {
    auto it = prepared_.find(request.statement->id);
    if (it != prepared_.end()) prepared_.erase(it);
  }
  if (request.kind == RequestKind::kClose && request.hidden && request.statement) {
    prepared_[request.statement->id] = {request.statement, 0, 0, true};  // still there, though nobody wants it
  }
  if (request.slot == nullptr || client == nullptr) return;
  bool changed = request.kind == RequestKind::kParse || request.kind == RequestKind::kLocal;
  if (request.hidden) request.slot->materialized = false;
  if (changed) {
    // A Parse of the unnamed statement that failed has still ended the one before.
    bool lost = executed && request.slot->name == nullptr;
    request.slot->current = lost ? StatementPtr() : request.previous;
  }
  settle(request, client);
}

void ServerSession::settle(Request& request, ClientSession* client) {
  if (request.slot == nullptr || client == nullptr) return;
  --request.slot->pending;
  client->release_slot(request.slot);
  request.slot = nullptr;
}

// Of a cancel request the server says "due to user request".
bool ServerSession::say_timeout(std::string_view whole, Output& out) {
  if (wire::read_error(whole.substr(wire::kHeaderSize)).sqlstate != "57014") return false;
  timed_out_ = false;
  wire::error_response(out.own(), {.severity = "ERROR",
                                   .sqlstate = "57014",
                                   .message = "canceling statement due to statement timeout",
                                   .hint = "The limit is limits.statementTimeout of the DBProxy."});
  return true;
}

}  // namespace dbproxy::session::postgres
