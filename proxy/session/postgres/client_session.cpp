#include "proxy/session/postgres/client_session.hpp"

#include <algorithm>

#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

namespace {

constexpr std::size_t kFunctionCallHead = wire::kHeaderSize + 4;

// The functions that drivers call this way: lo_open and its kin, by the object ids that PostgreSQL has given them for
// ever (pg_proc.dat). What they leave ends with the transaction.
bool calls_large_object(std::string_view message) {
  static constexpr std::uint32_t kKnown[] = {715, 764, 765,  767,  952,  953,  954,  955,  956,  957,
                                             958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460};
  const auto function = wire::Reader(message.substr(wire::kHeaderSize)).u32();
  return std::find(std::begin(kKnown), std::end(kKnown), function) != std::end(kKnown);
}

}  // namespace

ClientSession::~ClientSession() = default;

ClientVerdict ClientSession::feed(std::string_view bytes, std::size_t& consumed, ServerSession* server,
                                  Output& to_server, Output& to_client, const ClientOptions& options) {
  consumed = 0;
  needed_ = 0;
  held_ = waits_ = false;
  share_listen_ = options.share_listen && speaks_utf8();
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
    if (server != nullptr &&
        (notifications_first_ || server->reading_names_ || (server->owes_ready_ && holds_ready()))) {
      waits_ = true;
      return ClientVerdict::kWait;
    }
    if (wait_for_quiet_ && !rest.empty()) {
      wait_for_quiet_ = server != nullptr && !server->requests_.empty();
      waits_ =
          wait_for_quiet_ && !server->copy_in_;  // a copy waits for its data: look again when the server has spoken
      if (waits_) return ClientVerdict::kWait;
    }
    // Behind a BEGIN that was kept back and is not answered yet: nothing beyond the first Sync or Query.
    if (server != nullptr && server->beginning_ && !server->sync_pending_) {
      held_ = true;
      return ClientVerdict::kWait;
    }
    // It has kept its connection over a DISCARD ALL.
    if (at_start_ && server != nullptr && server->quiet() && !rest.empty()) {
      at_start_ = false;
      replay_settings(*server, to_server, to_client);
    }
    auto frame = wire::scan_frame(rest);
    if (frame.scan == wire::Scan::kNeedMore) return ClientVerdict::kMore;
    if (frame.scan == wire::Scan::kBad) return refuse("08P01", "invalid message length");

    // DISCARD ALL has been committed when it is done, and what comes behind it in its sequence finds the session as it
    // was at the start: so it goes on as if it began there.
    if (std::exchange(discard_sent_, false) && frame.type != 'S' && server != nullptr && !server->requests_.empty()) {
      wire::sync(to_server.own());
      auto& entry = server->requests_.push(RequestKind::kSync);
      entry.hidden = entry.sequence_goes_on = true;
      server->sync_pending_ = false;
      wait_for_quiet_ = waits_ = true;
      return ClientVerdict::kWait;
    }

    std::size_t used = frame.size;
    if (rejecting_ != Rejecting::kNo && frame.type != 'X' && rejected(step, frame.type, rest, frame.size, used)) {
      consumed += used;
      continue;
    }
    if (server == nullptr && frame.type == 'P') {
      if (const auto whole_sequence = sequence_here(step, rest); whole_sequence > 0) {
        consumed += whole_sequence;
        continue;
      }
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
        if (rest.size() < std::min(frame.size, kFunctionCallHead)) {
          needed_ = kFunctionCallHead;
          return ClientVerdict::kMore;
        }
        if (!server->skipping_) {
          Verdict opaque;
          if (!calls_large_object(rest)) opaque.pins = bit(PinReason::kProtocol);
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
  if (type == 'H' && rejecting_ == Rejecting::kNext) {  // asks nothing: libpq sends one behind each Sync of a pipeline
    pass(nullptr, available, whole_size, used);
    return true;
  }
  if (std::exchange(lost_untold_, false) && rejecting_ == Rejecting::kNext && !begin_.empty())
    return ends_lost(step, type, available, whole_size, used);
  if (rejecting_ == Rejecting::kNext) {
    reject_next(step, type);
  } else if (type == 'S') {
    rejecting_ = Rejecting::kNo;
    say_ready(step.to_client);
  }
  pass(nullptr, available, whole_size, used);
  return true;
}

void ClientSession::reject_next(Step& step, char type) {
  step.to_client.own() += error_;
  begin_failed_ = !begin_.empty();
  error_.clear();
  rejecting_ = type == 'Q' || type == 'F' || type == 'S' ? Rejecting::kNo : Rejecting::kUntilSync;
  if (rejecting_ == Rejecting::kNo) say_ready(step.to_client);
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
      entry.ends_block = execute_ends_ && whole[wire::kHeaderSize] == '\0';
      server->sync_pending_ = true;
      step.to_server.ref(whole);
      discard_sent_ = execute_discards_;
      if (std::exchange(execute_forgets_, false)) forget_names_by(*server);
      if (!after_execute_.empty()) set_start_after_execute(step);
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
    say_ready(step.to_client);
    return;
  }
  if (server->copy_in_) return;  // the server would ignore it
  server->requests_.push(RequestKind::kSync);
  server->sync_pending_ = false;
  if (std::exchange(execute_discards_, false) || holds_ready() || names_due_) wait_for_quiet_ = true;
  server->skipping_ = false;
  execute_forgets_ = false;
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

ClientVerdict ClientSession::refuse(std::string_view sqlstate, std::string_view message, std::string_view hint) {
  error_.clear();
  wire::error_response(error_, {.severity = "FATAL", .sqlstate = sqlstate, .message = message, .hint = hint});
  return ClientVerdict::kRefuse;
}

}  // namespace dbproxy::session::postgres
