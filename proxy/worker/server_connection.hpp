// ServerConnection: one connection to a database, from connect to close, and the server pump.
//
// The pump is always armed: it reads, lets the session scan, and sends to the attached client, or drops when there is
// none. When the server is done and its client holds nothing, it goes back to its pool. One thread; owned by its
// Target.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/net/loop.hpp"
#include "proxy/net/silence.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/pool/pool.hpp"
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

template <class P>
class ServerConnection final : public net::Pollable, public net::Deferred, public pool::Server {
 public:
  using Login = typename P::ServerLogin;
  using Session = typename P::ServerSession;
  using Key = typename P::Key;

  ServerConnection(ProxyRuntime<P>& proxy, Target<P>& target, Context& context, std::shared_ptr<const Key> key,
                   pool::KeyPool& pool);
  ~ServerConnection() override;

  void connect();
  void on_event(std::uint32_t events) override;
  void on_deferred() override { pump(); }

  // Two pointers; the caller sends what the session wants sent first.
  void attach(ClientConnection<P>& client);
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
  bool spent() const { return spent_ || session_->mixed(); }
  void spend() { spent_ = true; }
  // Says good-bye to the server and ends. The pool has forgotten it already.
  void close();

  Session& session() { return *session_; }
  const Session& session() const { return *session_; }
  ClientConnection<P>* client() const { return client_; }
  Target<P>& target() { return target_; }
  const std::shared_ptr<const Key>& pool_key() const { return key_; }
  pool::KeyPool& key_pool() { return key_pool_; }
  // It is in its pool, or with a client: four times a second, time for what its engine has to look after.
  void tick() {
    check_cancel();
    if (state_ == State::kReady) side_.tick(*this);
  }

  // For the engine's side of it.
  typename P::ServerSide& side() { return side_; }
  const typename P::ServerSide& side() const { return side_; }
  ProxyRuntime<P>& proxy() { return proxy_; }
  Context& context() { return context_; }
  const net::Address& address() const { return address_; }  // the one that it is connected to
  bool ready() const { return state_ == State::kReady; }
  // What the side has put into context().to_server. When that fails, reading says so.
  void send_hidden() { channel_.send(context_.to_server); }
  // The log-in waits for another thread, and goes on: `out` is sent first.
  void pause_login() { state_ = State::kLoginPaused; }
  void resume_login(typename P::ServerWant want, std::string& out) {
    state_ = State::kLogin;
    step_login(want, out);
  }
  // For work elsewhere that may outlast it: expired when it is closed.
  std::weak_ptr<int> alive() const { return alive_; }
  // Before it was ready. `error`: what clients are told; empty: they go on waiting.
  void fail(config::HealthReason reason, std::string words, std::string error = {});
  // After it was ready. `suspicious`: what happened tells of its server, not of this connection alone.
  void lose(std::string_view why, bool suspicious = false);
  // A token for its user, made on another thread; the answer comes later, and not any more once this is closed.
  void sign_token(std::function<void(aws::Outcome<Secret>)> then);
  bool uses_token() const;
  // Of its user: the current one, or the one before, where that is what its target takes.
  const Secret& password(const config::User& user) const { return previous_ ? user.previous_password : user.password; }
  bool with_previous_password() const { return previous_; }
  Channel& channel() { return channel_; }
  // From now on its client and it are passed through to each other.
  void begin_tunnel();

 private:
  void check_cancel();
  enum class State {
    kResolving,
    kConnecting,
    kTls,
    kLogin,
    kLoginPaused,
    kInit,  // logged in; its side prepares it
    kReady,
    kTunnel,
    kCleaning,
    kClosed
  };

  void pump();
  bool note_opening();
  void note_logged_in();
  void note_gone();
  void look_up();
  void start_on(std::vector<net::Address> addresses);
  aws::TokenSubject token_subject() const;
  void connected();
  void step_login(typename P::ServerWant want, std::string& out);
  void read_login();
  void read_ready();
  void read_tunnel();
  void end_tunnel();
  void after_read();
  void initialise();
  void clean();
  void replay_failed();

  ProxyRuntime<P>& proxy_;
  Target<P>& target_;
  Context& context_;
  std::shared_ptr<const Key> key_;
  pool::KeyPool& key_pool_;
  State state_ = State::kResolving;
  Channel channel_;
  net::Silence silence_;
  std::string in_;
  std::unique_ptr<Login> login_;
  bool previous_ = false;  // it logs in with the user's previous password
  Secret token_;           // to log in with, where that is not a password
  std::optional<Session> session_;
  ClientConnection<P>* client_ = nullptr;
  std::uint32_t cancels_in_flight_ = 0;
  // Its client has vanished, or wanted this cancelled while settings were replayed, and it runs on: the cancel request
  // may have come before it began.
  bool cancel_again_ = false;
  TimePoint cancelled_at_{};
  bool cancel_after_replay_ = false;
  bool spent_ = false;
  std::string last_words_;  // the server's last error, with which it ends
  net::Timer deadline_;
  std::vector<net::Address> addresses_;
  std::size_t next_address_ = 0;
  net::Address address_;  // cancels go there, too
  ConnectionRecord::Place place_ = ConnectionRecord::kNowhere;
  typename P::ServerSide side_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace dbproxy::worker
