// ServerConnection: one connection to a database, from connect to close, and the server pump.
//
// The pump is always armed: it reads, lets the session scan, and sends to the attached client, or drops when there is
// none. When the server is done and its client holds nothing, it goes back to its pool. One thread; owned by its
// Target.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/backend/postgres_login.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/worker/catalog.hpp"
#include "proxy/worker/channel.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/target.hpp"

namespace dbproxy::worker {

// How a client left its server connection.
enum class Leaving {
  kVanished,     // what still runs is for nobody: it is cancelled
  kSaidGoodbye,  // Terminate came behind a query: as with PostgreSQL, that is finished first
  kInMidMessage  // the rest of a message will never come: the connection is of no more use
};

class ServerConnection final : public net::Pollable, public net::Deferred, public pool::Server {
 public:
  ServerConnection(ProxyRuntime& proxy, Target& target, Context& context, std::shared_ptr<const PoolKey> key,
                   pool::KeyPool& pool);
  ~ServerConnection() override;

  void connect();
  void on_event(std::uint32_t events) override;
  void on_deferred() override { pump(); }

  // Two pointers; the caller sends what the session wants sent first.
  void attach(ClientConnection& client);
  // The client is done with it, at a point where it may go.
  void detach();
  // The client is gone, at whatever point: cancel, roll back, discard, then back to the pool; or close.
  void orphan(std::uint32_t pins, Leaving leaving);

  // Queries on their way to the server. False: the connection broke (the client has been told).
  bool send(session::Output& output);
  bool has_unsent() const { return channel_.has_unsent(); }
  // The client can take more now.
  void resume() { context_.loop.defer(*this); }

  // Every few seconds: ends it when the server has vanished without a word.
  void check_peer();

  // Asks the server to cancel what runs now. Until that is done, the connection goes to no other client.
  void cancel();
  // The same because its statement has taken too long: its error says so.
  void cancel_over_limit();
  bool cancelling() const { return cancels_in_flight_ > 0 || cancel_after_replay_; }
  // Of no use to another client: closed instead of going back to its pool.
  bool spent() const { return spent_; }
  // Says good-bye to the server and ends. The pool has forgotten it already.
  void close();

  session::postgres::ServerSession& session() { return *session_; }
  // As they were before any client had it.
  const session::postgres::SettingsPtr& start_settings() const { return start_settings_; }
  ClientConnection* client() const { return client_; }
  Target& target() { return target_; }
  const std::shared_ptr<const PoolKey>& pool_key() const { return key_; }
  pool::KeyPool& key_pool() { return key_pool_; }
  const Catalog& catalog() const { return *catalog_; }
  // It is idle: time for the catalogue, if that is due.
  void check_catalog();
  // Its client is pinned and rests: time to see whether that is still needed.
  void check_pins();
  void probe();
  // For a client that logs in: see ClientConnection::start_checked().
  void check_start(std::string_view sql);
  // Its client has set something and would be done with it.
  void read_settings();
  // From now on its client and it are passed through to each other.
  void begin_tunnel();
  std::uint32_t process_id() const { return process_id_; }
  Channel& channel() { return channel_; }

 private:
  friend class CancelConnection;
  enum class State {
    kResolving,
    kConnecting,
    kTls,
    kLogin,
    kDeriving,
    kInit,
    kBase,
    kCatalog,
    kReady,
    kTunnel,
    kCleaning,
    kClosed
  };

  void pump();
  void start_on(std::vector<net::Address> addresses);
  void connected();
  void step_login(backend::Want want, std::string& out);
  void derive_keys();
  void read_login();
  void logged_in();
  void read_ready();
  void read_tunnel();
  void end_tunnel();
  void after_ready();
  void finished();
  void initialised();
  bool on_writer() const;
  bool wants_catalog() const;
  void read_catalog();
  void catalog_read();
  void catalog_or_ready();
  void probe_read();
  void settings_read();
  void base_read(bool names);
  void clean();
  void replay_failed();
  void fail(config::HealthReason reason, std::string words, std::string error = {});
  void lose(std::string_view why);

  ProxyRuntime& proxy_;
  Target& target_;
  Context& context_;
  std::shared_ptr<const PoolKey> key_;
  pool::KeyPool& key_pool_;
  State state_ = State::kResolving;
  Channel channel_;
  std::string in_;
  std::unique_ptr<backend::Login> login_;
  std::optional<session::postgres::ServerSession> session_;
  session::postgres::SettingsPtr start_settings_;
  ClientConnection* client_ = nullptr;
  std::uint32_t process_id_ = 0;
  std::string cancel_key_;
  std::uint32_t cancels_in_flight_ = 0;
  bool cancel_after_replay_ = false;
  bool spent_ = false;
  std::shared_ptr<Catalog> catalog_;
  int catalog_failures_ = 0;  // in a row, of readings that a change of the catalogue asked for
  std::uint32_t pins_to_discard_ = 0;
  bool needs_init_ = false;
  bool fatal_ = false;
  bool awaiting_tls_answer_ = false;
  net::Timer deadline_;
  std::vector<net::Address> addresses_;
  std::size_t next_address_ = 0;
  net::Address address_;                                   // the one that it is connected to: cancels go there, too
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);  // for answers from the offload thread
};

}  // namespace dbproxy::worker
