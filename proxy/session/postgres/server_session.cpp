#include "proxy/session/postgres/server_session.hpp"

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

ServerVerdict ServerSession::feed(std::string_view bytes, std::size_t& consumed, ClientSession* client, Output& out) {
  consumed = 0;
  bool ready = false;
  while (true) {
    auto rest = bytes.substr(consumed);
    if (body_left_ > 0) {
      auto piece = rest.substr(0, body_left_);
      if (piece.empty()) break;
      if (body_keep_) {
        keep(piece);
      } else if (body_forward_ && client != nullptr) {
        out.ref(piece);
      }
      body_left_ -= piece.size();
      consumed += piece.size();
      continue;
    }
    auto frame = wire::scan_frame(rest);
    if (frame.scan == wire::Scan::kNeedMore) break;
    if (frame.scan == wire::Scan::kBad) return ServerVerdict::kProtocolError;
    if (frame.type == 'D' || frame.type == 'd') {
      // Rows and copy data are never looked into and never waited for.
      if (requests_.empty()) return ServerVerdict::kProtocolError;
      body_forward_ = !requests_.front().hidden && !setting_start_;
      body_keep_ = requests_.front().keeps_rows;
      body_left_ = frame.size;
      continue;
    }
    if (frame.size > kMaxServerMessage) return ServerVerdict::kProtocolError;
    if (rest.size() < frame.size) break;
    auto whole = rest.substr(0, frame.size);
    bool forward = true;
    bool was_local = false;
    if (!message(frame.type, whole, client, out, forward)) return ServerVerdict::kProtocolError;
    if (!replay_error_.empty()) return ServerVerdict::kReplayFailed;
    if (forward && client != nullptr && !(timed_out_ && frame.type == 'E' && say_timeout(whole, out))) out.ref(whole);
    consumed += frame.size;
    if (!requests_.empty())
      was_local = requests_.front().kind == RequestKind::kLocal || requests_.front().kind == RequestKind::kCopyEnd;
    if (was_local) emit_local(client, out);
    if (frame.type == 'Z' && requests_.empty()) ready = true;
  }
  return ready && quiet() ? ServerVerdict::kReady : ServerVerdict::kMore;
}

// The tag of a SET that was put into the client's text.
bool ServerSession::is_inserted_set(std::string_view body) {
  if (!expect(RequestKind::kQuery) || !requests_.front().sets_start) return false;
  const auto tag = body.substr(0, body.find('\0'));
  if (tag != "SET" && tag != "RESET") return false;
  const auto number = sets_seen_++;
  return number < inserted_.sets.size() && inserted_.sets[number];
}

// The server reads everything up to CopyDone or CopyFail as part of the copy, and ignores each Sync in between.
// What a client that did not wait has sent behind those counts again: its Sync ends the sequence.
void ServerSession::on_copy_in() {
  copy_in_ = true;
  bool ignored = false;
  for (std::size_t i = 1; i < requests_.size();) {
    const auto kind = requests_.at(i).kind;
    if (kind == RequestKind::kCopyEnd) copy_in_ = false;
    if (!copy_in_ && (kind == RequestKind::kSync || kind == RequestKind::kQuery)) return;
    if (copy_in_ && kind == RequestKind::kSync) {
      requests_.erase(i);
      ignored = true;
    } else {
      ++i;
    }
  }
  if (ignored && requests_.front().kind == RequestKind::kExecute) sync_pending_ = true;
}

// Looks at one whole message; false when it cannot come here. `forward` says whether a client sees it.
bool ServerSession::message(char type, std::string_view whole, ClientSession* client, Output& out, bool& forward) {
  auto body = whole.substr(wire::kHeaderSize);
  if (!requests_.empty()) forward = !requests_.front().hidden;
  auto finish = [&](RequestKind kind) {
    if (!expect(kind)) return false;
    settle(requests_.front(), client);
    requests_.pop();
    return true;
  };
  switch (type) {
    case 'Z':
      return on_ready(body, client, out, forward);
    case 'C':
      if (std::exchange(setting_start_, false)) {
        forward = false;
        return true;
      }
      if (is_inserted_set(body)) {
        forward = false;
        return true;
      }
      return on_command_complete(body, client);
    case 'E':
      return on_error(whole, client, out, forward);
    case '1':
      return finish(RequestKind::kParse);
    case '2':
      return finish(RequestKind::kBind);
    case '3':
      return finish(RequestKind::kClose);
    case 'n':
      return finish(RequestKind::kDescribe);
    case 'T':
      if (expect(RequestKind::kQuery) && requests_.front().sets_start) {
        wire::Reader reader(body);
        reader.u16();
        setting_start_ = reader.cstring() == kSetsStart;
        forward = forward && !setting_start_;
      }
      return expect(RequestKind::kQuery) || finish(RequestKind::kDescribe);
    case 't':
      return expect(RequestKind::kDescribe);
    case 's':
      sequence_ = Sequence::kOpen;
      return finish(RequestKind::kExecute);
    case 'I':
      sequence_ = Sequence::kOpen;
      return expect(RequestKind::kQuery) || finish(RequestKind::kExecute);
    case 'V':
      return expect(RequestKind::kFunctionCall);
    case 'G':
      if (!expect(RequestKind::kQuery) && !expect(RequestKind::kExecute)) return false;
      on_copy_in();
      return true;
    case 'H':
    case 'c':
      return expect(RequestKind::kQuery) || expect(RequestKind::kExecute);
    case 'S': {
      wire::Reader reader(body);
      auto name = reader.cstring();
      auto value = reader.cstring();
      if (!reader.ok()) return false;
      settings_ = interner_->with(settings_, name, value);
      if (client != nullptr && name == "search_path" && !replaying_) client->look_at_path(value);
      if (!requests_.empty() && requests_.front().sequence_goes_on) forward = true;
      if (told_) forward = false;
      return true;
    }
    case 'A':
      on_notification(whole, client, out);
      forward = false;
      return true;
    case 'N':
      if (!requests_.empty()) on_notice(whole, client, out, forward);
      return true;
    default:
      return false;
  }
}

}  // namespace dbproxy::session::postgres
