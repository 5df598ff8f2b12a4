// Two clients that share one server connection, as the worker drives them: leftovers are kept, a server is attached
// when a client needs one and given back when it may be. For fuzz targets; any contract that breaks aborts.
#pragma once

#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::fuzz {

namespace session = dbproxy::session::postgres;
namespace wire = dbproxy::wire::postgres;

class World {
 public:
  static constexpr int kClients = 2;

  World() {
    options_.deferred_begin = true;
    options_.share_listen = true;
    open_server();
    for (int i = 0; i < kClients; ++i) open_client(i);
  }
  ~World() { close_server(); }

  void client_sends(int who, std::string_view bytes) {
    auto& client = clients_[static_cast<std::size_t>(who)];
    client.unread.append(bytes);
    pump_client(who);
  }

  void client_vanishes(int who) {
    const bool held = attached_ == who;
    if (held) close_server();
    open_client(who);
    if (held) {
      open_server();
      pump_clients();
    }
  }

  // The connection is lost; whoever is on it goes on, or ends.
  void server_vanishes() {
    const int who = attached_;
    dbproxy::session::Output out;
    if (who >= 0 && !client_of(who)->server_lost(*server_, "vanished", "", out)) {
      close_server();
      open_client(who);
    } else {
      out.append_to(told_, 0);
      close_server();
    }
    open_server();
    pump_clients();
  }

  // False when the session says that the server broke the protocol; then all starts afresh.
  bool server_sends(std::string_view bytes) {
    from_server_.append(bytes);
    while (true) {
      std::size_t consumed = 0;
      dbproxy::session::Output out;
      session::ClientSession* client = attached_ < 0 ? nullptr : client_of(attached_);
      const auto verdict = server_->feed(from_server_, consumed, client, out);
      if (consumed > from_server_.size()) std::abort();
      out.append_to(told_, 0);
      from_server_.erase(0, consumed);
      const auto events = server_->take_events();
      if (verdict != session::ServerVerdict::kProtocolError) settle_channels(events);
      if (verdict == session::ServerVerdict::kProtocolError) {
        const int who = attached_;
        close_server();
        if (who >= 0) open_client(who);
        open_server();
        pump_clients();
        return false;
      }
      if (verdict == session::ServerVerdict::kReplayFailed) {  // its client ends with it, and nothing more is read
        const int who = attached_;
        close_server();
        if (who >= 0) open_client(who);
        open_server();
        break;
      }
      if (verdict == session::ServerVerdict::kMore) break;
      release();
    }
    pump_clients();
    return true;
  }

  // What was sent to the server since the last call.
  std::string take_to_server() { return std::exchange(to_server_, {}); }
  bool has_to_server() const { return !to_server_.empty(); }
  // Bytes of the client are left that its session does not take yet.
  bool waits(int who) const { return !clients_[static_cast<std::size_t>(who)].unread.empty(); }
  // How often a fresh server connection was opened: a double of the server starts afresh with it.
  int generation() const { return generation_; }
  int attached() const { return attached_; }
  const session::ServerSession& server() const { return *server_; }
  std::string take_told() { return std::exchange(told_, {}); }

 private:
  struct Client {
    std::unique_ptr<session::ClientSession> session;
    std::string unread;
  };

  session::ClientSession* client_of(int who) { return clients_[static_cast<std::size_t>(who)].session.get(); }

  void open_client(int who) {
    auto& client = clients_[static_cast<std::size_t>(who)];
    client.session = std::make_unique<session::ClientSession>(cache_, settings_);
    client.session->started_with(interner_, {{"application_name", "a"}, {"work_mem", "3MB"}});
    client.unread.clear();
  }

  void open_server() {
    server_.emplace(interner_, settings_);
    from_server_.clear();
    to_server_.clear();
    ++generation_;
  }

  void close_server() {
    if (server_) server_->forget_client();
    server_.reset();
    attached_ = -1;
  }

  // As the worker does when a client waits to hear that its transaction is over.
  void settle_channels(const session::ServerEvents& events) {
    auto* client = attached_ < 0 ? nullptr : client_of(attached_);
    if (client == nullptr) return;
    if (events.channels_ready) client->channels_read(*server_);
    if (events.names_ready) {
      dbproxy::session::Output out;
      client->names_read(*server_, out, options_);
      out.append_to(to_server_, 0);
    }
    if (!server_->owes_ready() || server_->reading_rows()) return;
    dbproxy::session::Output out;
    if (client->listen_due()) {
      server_->read_channels(out);
      out.append_to(to_server_, 0);
    } else {
      client->channels_are_listened_to();
      server_->release_ready(out);
      out.append_to(told_, 0);
      release();
    }
  }

  void release() {
    if (attached_ >= 0 && client_of(attached_)->wants_names(*server_)) {
      dbproxy::session::Output out;
      client_of(attached_)->read_names(*server_, out);
      out.append_to(to_server_, 0);
    }
    if (attached_ < 0 || !client_of(attached_)->can_release(*server_)) return;
    if (!server_->idle()) std::abort();
    client_of(attached_)->detaching(*server_);
    attached_ = -1;
  }

  void pump_clients() {
    for (int who = 0; who < kClients; ++who) pump_client(who);
  }

  void pump_client(int who) {
    auto& client = clients_[static_cast<std::size_t>(who)];
    for (int round = 0; round < 100; ++round) {
      if (client.unread.empty()) return;
      dbproxy::session::Output to_server, to_client;
      std::size_t consumed = 0;
      session::ServerSession* server = attached_ == who ? &*server_ : nullptr;
      const auto verdict = client.session->feed(client.unread, consumed, server, to_server, to_client, options_);
      if (consumed > client.unread.size()) std::abort();
      if (server == nullptr && !to_server.empty()) std::abort();
      to_server.append_to(to_server_, 0);
      to_client.append_to(told_, 0);
      client.unread.erase(0, consumed);
      switch (verdict) {
        case session::ClientVerdict::kMore:
          release();
          return;
        case session::ClientVerdict::kWait:
          return;
        case session::ClientVerdict::kNeedServer:
          if (server != nullptr) std::abort();
          if (attached_ >= 0 || !server_->idle()) return;
          attach(who);
          break;
        case session::ClientVerdict::kTerminate:
        case session::ClientVerdict::kRefuse:
          if (verdict == session::ClientVerdict::kRefuse && client.session->error().empty()) std::abort();
          client_vanishes(who);
          return;
      }
    }
    std::abort();  // no progress
  }

  void attach(int who) {
    attached_ = who;
    dbproxy::session::Output to_server, to_client;
    client_of(who)->attached(*server_, to_server, to_client);
    client_of(who)->notifications_are_here(&*server_);
    to_server.append_to(to_server_, 0);
    to_client.append_to(told_, 0);
  }

  session::StatementCache cache_{"fuzz_"};
  session::SettingsInterner interner_;
  session::SettingsPtr settings_ =
      interner_.intern({{"application_name", "a"}, {"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}});
  session::ClientOptions options_;
  std::optional<session::ServerSession> server_;
  std::array<Client, kClients> clients_;
  std::string from_server_, to_server_, told_;
  int attached_ = -1;
  int generation_ = 0;
};

}  // namespace dbproxy::fuzz
