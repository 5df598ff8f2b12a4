// Listener: a server connection that listens for all clients of its pool, and shares out what it hears.
//
// It belongs to the ServerSide of that connection, which counts as active in its pool and has no client. Of clients it
// keeps which channels they want; the server is told of the union. A client is served from the moment at which the
// server has answered what it was asked for it: what was sent to its channels before that moment is not for it, what is
// sent later is. As notifications come in the order of commits and ahead of every answer, an answer to anything also
// says that whatever was committed before it was asked has been handed out. One thread.
// (PostgreSQL: async.c; protocol: "Asynchronous Operations".)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/worker/postgres/shared.hpp"

namespace dbproxy::worker::postgres {

class Listener {
 public:
  using Channels = session::postgres::ClientSession::Channels;

  explicit Listener(Server& server);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // From when client.side().listener_done() is called, this client gets what is sent to these channels; what it wants
  // no longer it does not get from now on. Whatever was committed before this call has been handed out by then.
  void update(Client& client, const Channels& channels);
  void forget(Client& client);
  // Whenever the server has said something.
  void answered(std::string_view notifications);
  // Nobody listens any more, and nothing is under way.
  bool unused() const { return clients_.empty() && next_.empty() && !busy_ && wanted_.empty(); }
  // The connection is gone: every client ends, rather than miss something.
  void lost();
  std::size_t client_count() const { return clients_.size(); }

 private:
  void ask();
  void done();
  void drop(Client& client, const Channels& keep);
  void deliver(std::string_view message);
  struct Change {
    Client* client;  // null: it has left
    Channels channels;
  };

  Server& server_;
  std::unordered_map<Client*, Channels> clients_;
  std::unordered_map<std::string, std::vector<Client*>> wanted_;  // by channel; nobody: still to be unlistened
  Channels listened_;                                             // on the server, as far as asked
  std::vector<Change> asked_, next_;
  bool busy_ = false;
};

}  // namespace dbproxy::worker::postgres
