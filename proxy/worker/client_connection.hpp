// ClientConnection: one client from accept to close, and the client pump.
//
// Reads only while it can pass on: not while it waits for a server connection, and not while its server is slow. Idle,
// it holds no buffer. One thread; owned by its ProxyRuntime.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/base/log.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/worker/channel.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/engine.hpp"
#include "proxy/worker/target.hpp"

namespace dbproxy::worker {

inline constexpr Duration kLoginTimeout = std::chrono::seconds(60);  // PostgreSQL's authentication_timeout

template <class P>
class ClientConnection final : public net::Pollable, public net::Deferred, public pool::Waiter {
 public:
  using Login = typename P::ClientLogin;
  using Session = typename P::ClientSession;
  using Key = typename P::Key;
  // kTunnel: a replication connection, one to one with a server connection that no other client ever gets.
  enum class State { kTls, kLogin, kGreeting, kRunning, kTunnel, kClosing, kClosed };

  ClientConnection(ProxyRuntime<P>& proxy, std::shared_ptr<EndpointRuntime> endpoint, Context& context, int fd,
                   bool unix_socket);
  ~ClientConnection() override;

  void start();
  void on_event(std::uint32_t events) override;
  void on_deferred() override { pump(); }

  // A server connection that it waited for.
  void attached(ServerConnection<P>& server);
  // The server has answered a statement or more.
  void work_went_on(bool transaction_ended);
  // It has waited for a server connection for long: what the engine has for that, once for each wait.
  void tell_waiting(const std::string& notice);
  // None can be had for its pool: the error says why.
  void refused(std::string error);
  // Everything that was asked is answered; the server may be released.
  void server_ready();
  TimePoint active_at() const { return active_at_; }
  // The server connection is gone. `last_words`: the server's own last error, a whole message; or empty.
  void server_lost(typename P::ServerSession& server, std::string_view why, std::string_view last_words);
  // The same, because the server does not take this client's settings: `error` says so in the engine's words.
  void settings_refused(const std::string& error);
  // Log-in: it needs a server connection of another key than it seemed.
  void greet_with(std::shared_ptr<const Key> other);
  // From the server pump. False: the client is gone.
  bool send(session::Output& output);
  bool has_unsent() const { return channel_.has_unsent(); }
  // What came through the tunnel.
  void tunnelled(std::string_view bytes);
  bool said_goodbye() const { return said_goodbye_; }
  void resume() { context_.loop.defer(*this); }
  // Somebody who may do so wants what it asked last cancelled.
  void cancel();

  // Ends it with these words, now if it is between transactions, else when it gets there.
  void retire(Trouble trouble, std::string_view message);
  void close() { close(false); }

  State state() const { return state_; }
  // Why it keeps its server connection; 0: it does not.
  std::uint32_t pins() const;
  Session* session() { return session_ ? &*session_ : nullptr; }
  const Session* session() const { return session_ ? &*session_ : nullptr; }
  ServerConnection<P>* server() const { return server_; }
  const std::shared_ptr<const Key>& pool_key() const { return key_; }
  Target<P>* target() const { return target_; }
  const EndpointRuntime& endpoint() const { return *endpoint_; }
  const std::string& name() const { return peer_; }
  bool tls() const { return channel_.stream().tls(); }
  TimePoint pinned_since() const { return pinned_since_; }
  // When what it asked came, and since when a server is at it.
  TimePoint since_query() const { return query_started_; }
  TimePoint since_served() const { return served_at_; }
  // The target went away: choose again, now if it waits there.
  void forget_target();
  // Another target would do better: choose again with the next transaction.
  void move_on() {
    if (server_ == nullptr && !waiting()) return go_to(nullptr);
    moving_on_ = true;
  }
  bool moving_on() const { return moving_on_; }
  // It has waited for as long as connectionBorrowTimeoutSeconds allows.
  void borrow_timed_out(const std::string& error);
  // It is silent inside of a transaction, and has been for that long.
  bool idle_in_transaction(Duration time) const;
  // Others wait for what its transaction holds.
  void end_for_others();
  // The snapshot may hold other time-outs than before.
  void new_timeouts() {
    if (state_ == State::kTunnel) return arm_tunnel();
    if (state_ != State::kRunning) return;
    arm_running();
    work_began();
  }
  // Pins that came or went since the last time are counted and logged.
  void count_pins();

  // For the engine's side of it.
  ProxyRuntime<P>& proxy() { return proxy_; }
  Context& context() { return context_; }
  Channel& channel() { return channel_; }
  typename P::ClientSide& side() { return side_; }
  const typename P::ClientSide& side() const { return side_; }
  bool unix_socket() const { return unix_socket_; }
  // The log-in has got so far; `out` is sent first.
  void step_login(typename Login::Want want, std::string& out);
  void finish(std::string_view error);
  // In place of a greeting.
  void refuse_deleted(std::string_view words);

 private:
  void pump();
  bool begin_direct_tls();
  void read_login();
  void log_login(log::Level level, std::string_view event, log::Fields more = {}) const;
  void count_login(LoginResult result);
  void verify_token();
  void authenticated();
  void want_greeting();
  void greet(typename P::Greeting greeting);
  void begin_tunnel();
  void read_tunnel();
  void arm_tunnel();
  void on_tunnel_timer();
  void end_tunnel(std::string error);
  void use(ServerConnection<P>& server);
  void read_queries();
  // What is in `bytes` is used as far as possible; returns how much. False in `go_on`: do not read more now.
  std::size_t process(typename P::Bytes bytes, bool& go_on);
  bool acquire();
  void change_user();
  void go_to(Target<P>* target);
  void release_server();
  void work_began();
  void forget_limits();
  TimePoint next_limit() const;
  void watch_limits();
  void watch_deferred();
  std::chrono::milliseconds idle_limit() const;
  void on_limit();
  void end_over_limit(TimeLimit limit, Trouble trouble, std::string_view message);
  void count_limit(TimeLimit limit);
  void on_timer();
  void arm_running();
  std::string error(Trouble trouble, std::string_view message, std::string_view hint = {}) const;
  void close(bool said_goodbye);
  void leave_server(bool said_goodbye);

  ProxyRuntime<P>& proxy_;
  std::shared_ptr<EndpointRuntime> endpoint_;
  Context& context_;
  State state_ = State::kLogin;
  bool unix_socket_;
  bool fresh_ = false;  // attached, and nothing has been sent yet
  bool first_byte_seen_ = false;
  bool retire_between_ = false;
  bool moving_on_ = false;
  bool told_waiting_ = false;
  bool said_all_ = false;  // closing: our side of the connection has ended
  Channel channel_;
  std::string in_;
  std::string peer_;
  std::unique_ptr<Login> login_;
  std::shared_ptr<int> verifying_;  // somebody looks at the token of its log-in
  std::optional<Session> session_;
  typename P::FrameTracker answers_;  // in a tunnel: of the server
  bool asked_ = false;                // in a tunnel: something since the server was ready
  bool said_goodbye_ = false;         // in a tunnel: it did
  std::shared_ptr<const Key> key_;
  Target<P>* target_ = nullptr;
  ServerConnection<P>* server_ = nullptr;
  typename P::ClientSide side_;
  std::uint32_t pins_seen_ = 0;
  TimePoint accepted_at_, active_at_, query_started_{}, served_at_{}, pinned_since_{};
  // Since when, for limits on time; none where nothing runs or nothing is limited.
  TimePoint statement_since_{}, transaction_since_{}, idle_since_{}, limit_at_{};
  std::chrono::milliseconds own_idle_limit_{};  // of a transaction that is not begun on a server: the client's setting
  std::string retire_error_;
  net::Timer timer_;
  net::Timer limit_timer_;
};

}  // namespace dbproxy::worker
