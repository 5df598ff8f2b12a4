// The part of ClientSession that knows what each message means that is seen whole, or as far as its names go.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/transaction_text.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

// The value of parameter `number`, from 1, of a Bind whose names have been read. None: NULL, or not there.
std::optional<std::string_view> bound_value(wire::Reader& reader, std::uint16_t number) {
  reader.bytes(std::size_t{reader.u16()} * 2);
  const auto count = reader.u16();
  if (number > count) return std::nullopt;
  std::optional<std::string_view> value;
  for (std::uint16_t i = 0; i < number; ++i) {
    const auto size = reader.u32();
    value.reset();
    if (size != ~std::uint32_t{0}) value = reader.bytes(size);
  }
  return reader.ok() ? value : std::nullopt;
}

}  // namespace

ClientVerdict ClientSession::query(Step& step, std::string_view whole) {
  auto text = whole.substr(wire::kHeaderSize);
  if (text.empty() || text.back() != '\0') return refuse("08P01", "invalid string in message");
  text = text.substr(0, text.find('\0'));
  if (hold(step, text)) return ClientVerdict::kWait;
  auto verdict = classify(text, classify_options(step));
  if (!show_names(step, verdict, text)) return ClientVerdict::kWait;
  const bool names = verdict.executes_prepared || verdict.deallocate;
  if (names && verdict.statement_count > 1 && !begin_settled(step)) return ClientVerdict::kWait;
  if (names && !may_prepare(step, verdict)) return ClientVerdict::kWait;
  if (!note_unlistened(step, verdict, text, true)) return ClientVerdict::kWait;
  show_channels(step, verdict);
  // What the text's first statement makes, its second may use: no HazardSet knows it.
  if (verdict.may_report_catalog_change && verdict.statement_count > 1) {
    verdict.pins |= bit(PinReason::kOpaque);
    verdict.leaves |= bit(PinReason::kOpaque);
  }
  note(verdict, text, step);
  note_end(text, verdict.statement_count);
  const bool renamed = renames_executed(step, verdict);
  if (!renamed) shadow_names(step, verdict, text, true);
  auto& server = *step.server;
  unnamed_.current.reset();
  server.unnamed_.reset();
  // A BEGIN that was kept back goes ahead without a Sync, and makes a block.
  if (server.sync_pending_ && server.transaction_status_ == 'I' && !server.beginning_) server.mixed_ = true;
  server.sync_pending_ = false;
  if (renamed) {
    send_renamed(step, text, verdict);
  } else {
    send_query(step, whole, text, verdict);
  }
  if (!marker_sql_.empty()) {
    server.query(std::exchange(marker_sql_, {}), step.to_server, true);
  }
  if (verdict.discard_all) wait_for_quiet_ = true;  // what comes behind it is noted when it is done
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
  if (!show_names(step, statement->verdict, text)) return ClientVerdict::kWait;
  show_channels(step, statement->verdict);
  server.sync_pending_ = true;

  if (name.empty()) {
    auto& entry = server.requests_.push(RequestKind::kParse);
    entry.slot = &unnamed_;
    entry.previous = unnamed_.current;
    ++unnamed_.pending;
    unnamed_.current = statement;
    unnamed_.since = server.unnamed_parsed_ = cache_->tick();
    server.unnamed_ = statement;
    step.to_server.ref(whole);
    return ClientVerdict::kMore;
  }

  if (names_.size() >= kMaxNamesPerClient && names_.find(name) == names_.end()) {
    return refuse("54000", "too many prepared statements in this session", "Close the ones that are no longer needed.");
  }
  auto named = slot(name);
  const bool failed =
      server.transaction_status_ == 'E' && server.requests_.empty() && !runs_in_failed_transaction(text);
  if (named->current && failed && !named->materialized) {
    // The server looks at the transaction before it looks at the name.
    server.requests_.push(RequestKind::kParse);
    server.unnamed_.reset();
    wire::parse(step.to_server.own(), "", text, types);
    return ClientVerdict::kMore;
  }
  // Whether the name is taken is not known while the server may still refuse the Parse that took it. Not so within one
  // sequence: there whatever follows a refusal is skipped.
  if (named->current && !named->materialized && server.undecided(*named)) {
    held_ = true;
    return ClientVerdict::kWait;
  }
  if (named->current && !named->materialized) {
    // The server reads the text before it looks at the name.
    server.requests_.push(RequestKind::kParse).hidden = true;
    server.unnamed_.reset();
    wire::parse(step.to_server.own(), "", text, types);
    force_error(server, step.to_server, ErrorText::kStatementExists, named);
    return ClientVerdict::kMore;
  }
  if (names_unknown() || named->materialized) {
    // SQL may have made a statement of this name on the server: there it goes, too, so that the server sees to it.
    auto& entry = server.requests_.push(RequestKind::kParse);
    entry.slot = named;
    entry.previous = named->current;
    ++named->pending;
    named->current = statement;
    named->prepare.clear();
    named->since = cache_->tick();
    remember_reading(server, *named);
    named->materialized = true;
    step.to_server.ref(whole);
    return ClientVerdict::kMore;
  }
  // What stands there under this text was parsed when names may have stood for something else. In a failed transaction
  // Parse is refused before the name is looked at, and nothing is lost by that.
  named->since = cache_->tick();
  remember_reading(server, *named);
  if (!failed) replace_prepared(server, statement, step.to_server);
  auto& entry = server.requests_.push(RequestKind::kParse);
  entry.slot = named;
  ++named->pending;
  if (!failed) entry.statement = statement;
  named->current = statement;
  named->prepare.clear();
  wire::parse(step.to_server.own(), statement->name, text, types);
  return ClientVerdict::kMore;
}

StatementPtr ClientSession::statement_of(std::string_view name) const {
  if (name.empty()) return unnamed_.current;
  const auto found = names_.find(name);
  return found == names_.end() ? StatementPtr() : found->second.current;
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
  const auto it = name.empty() ? names_.end() : names_.find(name);
  std::optional<std::string_view> setting;
  {
    const StatementPtr bound = statement_of(name);
    if (bound && bound->verdict.setting_parameter != 0) {
      setting = bound_value(reader, bound->verdict.setting_parameter);
      if (!reader.ok() && available.size() < std::min(whole_size, kMaxNames)) {
        used = 0;
        needed_ = std::min(whole_size, kMaxNames);
        return ClientVerdict::kMore;
      }
      if (!reader.ok()) setting.reset();
    }
  }
  if (server.replaying()) {
    const StatementPtr bound = statement_of(name);
    if (hold(step, bound ? bound->text() : "end")) return ClientVerdict::kWait;
  }
  if (const StatementPtr bound = statement_of(name)) {
    if (!show_names(step, bound->verdict, bound->text())) return ClientVerdict::kWait;
    if (it != names_.end() && !may_prepare(step, it->second)) return ClientVerdict::kWait;
    if (!may_prepare(step, bound->verdict)) return ClientVerdict::kWait;
    if (!name.empty()) show_channels(step, bound->verdict);
  }
  server.sync_pending_ = true;
  ++queries_;

  StatementPtr target;
  NamedStatement* named = nullptr;
  bool in_place = false;  // stands there under the client's own name
  if (name.empty()) {
    if (!use_unnamed(step)) {
      force_error(server, step.to_server, ErrorText::kNoUnnamedStatement, nullptr);
      pass(nullptr, available, whole_size, used);
      return ClientVerdict::kMore;
    }
    target = unnamed_.current;
  } else if (it != names_.end() && it->second.current) {
    target = it->second.current;
    named = &it->second;
    ++named->pending;  // by the entry below; from here on, as the statement may drop its own name
    in_place = named->materialized;
    if (!in_place) prepare_on(step, *named);
  }
  if (target) {
    target->refresh(step.options.classify);
    if (server.catalog_changed()) {
      note(target->strict_verdict(), target->text(), step);
    } else if (!note_bound_setting(step, *target, setting)) {
      note(target->verdict, target->text(), step);
    }
    note_unlistened(step, target->verdict, target->text(), false);
    note_end(target->text(), 1);
    shadow_names(step, target->verdict, target->text(), false);
    execute_sets_ = execute_sets_ || target->verdict.sets;
    if (portal.empty()) execute_ends_ = ends_block(target->text());
    execute_runs_ = execute_runs_ || target->verdict.runs_block;
    execute_discards_ = execute_discards_ || target->verdict.discard_all;
    if (may_go_back(target->verdict, target->text())) {
      const auto places = going_back(target->text(), target->read_as().standard_conforming_strings,
                                     [this](std::string_view executed) { return executed_text(executed); });
      if (!places.empty()) after_execute_ = set_start_sql(places.front(), own_, {});
    }
    if (keep_text) last_text = target->text();
  }
  auto& entry = server.requests_.push(RequestKind::kBind);
  if (!in_place) entry.statement = target;
  entry.slot = named;  // so that an error can say the client's own name
  if (target && target->verdict.deallocate_all) execute_forgets_ = true;
  if (!target || name.empty() || in_place) {
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
  if (const auto it = names_.find(name); kind == 'S' && it != names_.end() && !may_prepare(step, it->second))
    return ClientVerdict::kWait;
  server.sync_pending_ = true;
  StatementPtr target;
  NamedStatement* named = nullptr;
  if (kind == 'S' && name.empty()) {
    if (unnamed_.current && describes_execute(step, *unnamed_.current)) server.unnamed_.reset();
    if (!use_unnamed(step)) {
      force_error(server, step.to_server, ErrorText::kNoUnnamedStatement, nullptr);
      return ClientVerdict::kMore;
    }
  } else if (kind == 'S') {
    if (auto it = names_.find(name); it != names_.end() && it->second.current) {
      if (!it->second.materialized) target = it->second.current;
      const bool again = target && describes_execute(step, *target);
      if (const auto there = server.prepared_.find(target ? target->id : 0); again && there != server.prepared_.end())
        there->second.stale = true;
      named = &it->second;
    }
  }
  if (target) prepare_on(step, *named);
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
    bool real = closing == nullptr ? names_unknown() : closing->materialized;
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
    if (names_unknown()) probe_due_ = true;
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

}  // namespace dbproxy::session::postgres
