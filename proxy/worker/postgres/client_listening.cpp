// The part of ClientSide that gets notifications from a connection which listens for many clients: listener.hpp.
#include <algorithm>

#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/postgres/listener.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {
namespace {

// Kept for a client that is in a transaction, or does not read.
constexpr std::size_t kMaxUndelivered = std::size_t{8} << 20;

// Of a NotificationResponse: header and process id.
constexpr std::ptrdiff_t kBeforeNames = 9;

// As PostgreSQL has it: notifications come between transactions.
bool between_transactions(const Client& client) {
  if (client.session()->begin_deferred()) return false;
  return client.server() == nullptr || client.server()->session().idle();
}

}  // namespace

void ClientSide::processed(Client& client) {
  auto& session = *client.session();
  answered(client);
  if (!undelivered_.empty() && between_transactions(client)) {
    client.context().to_client.own() += undelivered_;
    undelivered_.clear();
  }
  // Notifications of whoever had this server connection before are told by its process id only: they have to be
  // through before this client can be the one that speaks by it.
  if (!session.waits_for_notifications() || waits_ != Waits::kNot || client.server() == nullptr) return;
  if (listener_ == nullptr) return session.notifications_are_here(nullptr);  // lost: the client is about to end
  waits_ = Waits::kToUse;
  listener_->side().listener()->update(client, session.channels());
}

bool ClientSide::settle_channels(Client& client, Server& server) {
  auto& session = *client.session();
  if (waits_ == Waits::kToHear) return false;
  if (waits_ == Waits::kNot) {
    if (session.listen_due()) {
      server.session().read_channels(client.context().to_server);
      server.send_hidden();
      return false;
    }
    if (session.listening() || listener_ != nullptr) {
      if (!session.listening()) {
        stop_listening(client);
      } else {
        if (listener_ == nullptr) listener_ = &server.side().listener_for(server);
        waits_ = Waits::kToHear;
        listener_->side().listener()->update(client, session.channels());
        if (waits_ == Waits::kToHear) return false;
      }
    }
  }
  waits_ = Waits::kNot;
  session.channels_are_listened_to();
  client.context().to_client.own() += undelivered_;
  undelivered_.clear();
  return true;
}

void ClientSide::listener_done(Client& client) {
  const auto waited = waits_;
  waits_ = Waits::kNot;
  if (client.state() != Client::State::kRunning) return;
  auto server = client.server();
  if (waited == Waits::kToUse) {
    client.session()->notifications_are_here(server != nullptr ? &server->session() : nullptr);
    client.resume();
  } else if (waited == Waits::kToHear && server != nullptr) {
    waits_ = Waits::kMayHear;
    server->side().tell_ready(*server);
    // Its own pump goes on by itself.
    if (server != listener_ && client.server() == server) client.server_ready();
  }
}

void ClientSide::notified(Client& client, std::string_view message) {
  if (client.state() != Client::State::kRunning) return;
  const auto* encoding = client.session()->settings()->find("client_encoding");
  const bool ascii =
      std::none_of(message.begin() + kBeforeNames, message.end(), [](char c) { return (c & 0x80) != 0; });
  if (!ascii && encoding != nullptr && *encoding != "UTF8") {
    stop_listening(client);
    return client.retire(Trouble::kGoingAway,
                         "terminating connection: a notification cannot be told in the client_encoding that was set "
                         "after LISTEN");
  }
  if (undelivered_.size() + client.channel().unsent() > kMaxUndelivered) {
    stop_listening(client);
    undelivered_.clear();
    return client.retire(Trouble::kGoingAway, "terminating connection: too many notifications wait for this client");
  }
  undelivered_ += message;
  if (between_transactions(client)) flush_notifications(client);
}

void ClientSide::flush_notifications(Client& client) {
  if (undelivered_.empty()) return;
  auto& out = client.context().to_client;
  out.own() += undelivered_;
  undelivered_.clear();
  client.send(out);  // when that breaks, its own event says so
  out.clear();
}

void ClientSide::answered(Client& client) {
  if (listener_ != nullptr && !client.session()->listening() && !client.session()->listen_due()) stop_listening(client);
}

void ClientSide::listener_lost(Client& client) {
  listener_ = nullptr;
  client.retire(Trouble::kGoingAway,
                "terminating connection: notifications may have been missed, because the connection that listens was "
                "lost");
}

void ClientSide::stop_listening(Client& client) {
  if (auto listener = std::exchange(listener_, nullptr)) listener->side().listener()->forget(client);
  waits_ = Waits::kNot;
}

}  // namespace dbproxy::worker::postgres
