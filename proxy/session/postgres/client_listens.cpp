// The part of ClientSession that knows its channels: what LISTEN and UNLISTEN came to.
//
// What is listened to since the last reading stands on the server connection itself. Of what was listened to before,
// nothing does: so an UNLISTEN of that would leave no trace there, and whether its transaction went through would not
// be known. Within a transaction block it is therefore followed by a LISTEN to a name that nobody can guess.
#include <algorithm>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/listens.hpp"
#include "proxy/session/postgres/one_column.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

// They stand on no server connection: where they can be asked for, they are put there, and read back like any other.
void ClientSession::show_channels(Step& step, const Verdict& verdict) {
  auto& server = *step.server;
  if (!verdict.lists_channels || !listening() || told_status_ != 'I' || server.sync_pending_) return;
  if (!server.requests_.empty() && (!server.replaying_ || server.beginning_)) return;
  server.query(listen_sql(channels_), step.to_server);
  listen_due_ = true;
}

// Before the text is sent. False: it has to wait until the server has answered what went before.
bool ClientSession::note_unlistened(Step& step, const Verdict& verdict, std::string_view text, bool simple) {
  if (!verdict.unlistens || !listening()) return true;
  auto& server = *step.server;
  if (simple && !server.requests_.empty()) {
    wait_for_quiet_ = waits_ = true;
    return false;
  }
  if (told_status_ == 'E') return true;  // it will be refused
  std::string marker;
  if (!simple || told_status_ != 'I') {  // of a BEGIN that was kept back the server has not told
    marker = cache_->prefix() + "u" + std::to_string(++last_marker_);
    if (simple) {
      marker_sql_ = listen_sql({marker});
    } else {
      after_execute_ = {listen_sql({marker})};
    }
  }
  for (auto& channel : unlistened(text, classify_options(step).standard_conforming_strings)) {
    unlistened_.push_back({marker, std::move(channel)});
  }
  listen_due_ = true;
  return true;
}

bool ClientSession::channels_read(ServerSession& server) {
  const auto rows = server.take_rows();
  listen_due_ = false;
  auto gone = std::exchange(unlistened_, {});
  const auto names = rows.failed || rows.too_long ? std::nullopt : read_one_column(rows.messages);
  if (!names || names->size() + channels_.size() > kMaxChannels) {
    pins_ |= bit(PinReason::kListen);
    return false;
  }
  server.may_listen_ = false;
  const auto committed = [&](const std::string& marker) {
    return marker.empty() || std::find(names->begin(), names->end(), marker) != names->end();
  };
  for (const auto& one : gone) {
    if (!committed(one.marker)) continue;
    if (one.channel.empty()) {
      channels_.clear();
    } else {
      channels_.erase(one.channel);
    }
  }
  for (const auto& name : *names) {
    if (!name.starts_with(cache_->prefix())) channels_.emplace(name);
  }
  pins_ &= ~bit(PinReason::kListen);
  channels_new_ = true;
  return true;
}

void ClientSession::command_failed() {
  probe_due_ = probe_due_ || unsettled_;
  std::erase_if(unlistened_, [](const auto& one) { return one.marker.empty(); });
}

void ServerSession::read_channels(Output& to_server) {
  query("SELECT c FROM pg_catalog.pg_listening_channels() AS c; UNLISTEN *", to_server);
  requests_.back().keeps_rows = true;
  reading_rows_ = reading_channels_ = true;
  rows_ = {};
}

// To a client that listens by this very connection: its own notifications, of the transaction that began to listen,
// or all, where it is pinned. What it gets by the shared connection it does not get twice.
void ServerSession::on_notification(std::string_view whole, const ClientSession* client, Output& out) {
  if (collecting_) {
    notifications_ += whole;
    return;
  }
  if (client == nullptr) return;
  wire::Reader reader(whole.substr(wire::kHeaderSize));
  auto process_id = reader.u32();
  const auto channel = reader.cstring();
  if (!reader.ok() || client->channels().contains(channel)) return;
  const bool pinned = (client->pins() & (bit(PinReason::kListen) | bit(PinReason::kOpaque))) != 0;
  const bool own = process_id == process_id_;
  if (!pinned && !(client->listen_due() && own)) return;
  if (own && client->process_id() != 0) process_id = client->process_id();
  wire::MessageWriter(out.own(), 'A').u32(process_id).bytes(whole.substr(wire::kHeaderSize + sizeof process_id));
}

}  // namespace dbproxy::session::postgres
