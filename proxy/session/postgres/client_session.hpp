// ClientSession: one logged-in client, and what its messages mean for the server connection that will carry them.
//
// Pure: given the bytes that were read, it says what goes to the server, what is answered here, and whether a server
// is needed first. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "proxy/session/output.hpp"
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/session/postgres/start_settings.hpp"
#include "proxy/session/postgres/statement.hpp"

namespace dbproxy::session::postgres {

// Bind's two names, Describe, Close, Execute.
inline constexpr std::size_t kMaxNames = 16u << 10;
// Statements kept prepared on one server connection; the least recently used goes.
inline constexpr std::size_t kMaxPreparedPerServer = 1000;
// Names that one client may have.
inline constexpr std::size_t kMaxNamesPerClient = 20000;

enum class ClientVerdict {
  kMore,        // all that could be used was used; `needed` says how long the message at the front is, if known
  kNeedServer,  // attach a server connection, then call again
  kWait,        // call again when the server is quiet
  kTerminate,   // the client said good-bye
  kRefuse,      // `error` is to be sent, then the connection closed
};

struct ClientOptions {
  ClassifyOptions classify;
  bool sequence_pinning = false;
  bool deferred_begin = false;
  // Another server connection of this pool listens for those who LISTEN, as long as they speak UTF8: see channels().
  bool share_listen = false;
};

class ClientSession {
 public:
  ClientSession(StatementCache& cache, SettingsPtr settings) : cache_(&cache), settings_(std::move(settings)) {}
  ~ClientSession();

  // Uses as much of `bytes` as it can and sets `consumed`. `server` is null when none is attached. Views of `bytes` are
  // added to `to_server`; answers of the proxy's own to `to_client`.
  ClientVerdict feed(std::string_view bytes, std::size_t& consumed, ServerSession* server, Output& to_server,
                     Output& to_client, const ClientOptions& options);

  // A server connection was just attached: what must be sent before anything else, so that it has this client's
  // settings. Facts about the server that changed are told to the client.
  void attached(ServerSession& server, Output& to_server, Output& to_client);
  // Before it is released: the client's settings are what the connection's are now.
  void detaching(ServerSession& server) {
    if (!std::exchange(at_start_, false)) settings_ = server.settings();
    settle_readings();
  }

  // While attached: what was changed so far is known, and is this session's whatever becomes of the connection.
  void settings_read(ServerSession& server);

  // Before anything is sent: what RESET and DISCARD ALL go back to. `own`: by tracked_name(), what this client set
  // itself; all of it is among its settings.
  void started_with(SettingsInterner& interner, Settings::Values own);
  // Part of a message has been passed on and the rest has not come yet.
  bool in_mid_message() const { return body_left_ > 0 && body_forward_; }

  // Whether the server connection may go to another client now.
  bool can_release(const ServerSession& server) const { return settled(server) && server.settings_known(); }
  // Whether nothing but settings that have to be read back keeps it from that.
  bool wants_settings(const ServerSession& server) const { return settled(server) && !server.settings_known(); }
  // kWait was said because of what is at the front of its bytes: call feed() again when replaying() is over.
  bool held() const { return held_ || waits_; }

  std::uint32_t pins() const { return pins_; }
  // `leaves`: as Verdict has it.
  void pin(std::uint32_t reasons, std::uint32_t leaves = 0);
  // Unpinning: whether to ask the server now what is left of that which pins. When something has ended that may have
  // been all of it; `anything`: when anything at all was done since the last time.
  bool wants_probe(const ServerSession& server, bool anything) const;
  // Sends the probe, hidden; what the client sends meanwhile comes behind it.
  void probe(ServerSession& server, Output& to_server);
  // Its answer: pins that have no reason any more are gone. False: it could not be asked, and nothing has changed.
  bool probed(const ServerSession::Rows& rows);
  const std::string& pin_statement() const { return pin_statement_; }  // digest of what pinned it first
  std::size_t needed() const { return needed_; }
  const std::string& error() const { return error_; }
  const SettingsPtr& settings() const { return settings_; }
  // A setting of this client that is a time, as far as it set it; 0: none.
  std::chrono::milliseconds time_limit(std::string_view name) const;
  // In a transaction block that no server knows of yet.
  bool begin_deferred() const { return !begin_.empty(); }
  // Queries that were answered without a server, since the last call.
  std::uint32_t take_answered_here() { return std::exchange(answered_here_, 0); }
  std::uint64_t queries() const { return queries_; }
  // What is at the front of the client's bytes cannot be carried: `error` (an ErrorResponse) is its answer, and the
  // rest of its extended-query sequence is skipped, as a server would. Only while no server is attached.
  void reject(std::string error) {
    rejecting_ = Rejecting::kNext;
    error_ = std::move(error);
  }
  // Something of the rejected request is still to be answered or skipped.
  bool rejecting() const { return rejecting_ != Rejecting::kNo; }
  // The connection is gone, and whatever ran on it; `why` is for people. True: the client has been told, by errors that
  // drivers know (40001, or 08007 where the outcome is unknown), or will be as soon as it asks; its session goes on
  // without a server. False: it cannot, since some of the session was on that connection alone, or since the server's
  // FATAL, `last_words`, is about this client.
  bool server_lost(ServerSession& server, std::string_view why, std::string_view last_words, Output& to_client);
  // Channels (client_listens.cpp). LISTEN and UNLISTEN run on the server connection at hand, so that the server says
  // what came of them. When their transaction is over and before the client hears of it, they are read back, and the
  // worker sees to it that this client gets what is sent to its channels, whatever server connection it has, or none.
  using Channels = std::set<std::string, std::less<>>;
  const Channels& channels() const { return channels_; }
  bool listening() const { return !channels_.empty(); }
  // Its ReadyForQuery outside of a transaction waits until the worker has dealt with its channels.
  bool holds_ready() const { return listen_due_ || listening(); }
  bool listen_due() const { return listen_due_; }
  // ServerSession::read_channels() was answered. False: they could not be read, and what is there pins.
  bool channels_read(ServerSession& server);
  // Until then, nobody may hear that the transaction is over.
  void channels_are_listened_to() { channels_new_ = false; }
  // Just attached: nothing is sent until the worker has handed out all notifications that came of those who had this
  // server connection before.
  bool waits_for_notifications() const { return notifications_first_; }
  void notifications_are_here(ServerSession* server) {
    notifications_first_ = false;
    if (server != nullptr) server->spoke_for_ = process_id_;
  }
  // The process id that the client was told, which its own notifications have.
  void set_process_id(std::uint32_t id) { process_id_ = id; }
  std::uint32_t process_id() const { return process_id_; }

  // PREPARE in SQL, or a statement that stands on the server under this client's own name (client_names.cpp): before
  // the connection goes to another client, the names are read, their statements become like those of the protocol, and
  // are deallocated there. Meanwhile nothing more of the client is used.
  bool wants_names(const ServerSession& server) const {
    return names_due_ && server.idle() && !in_mid_message() && !held_ && !notifications_first_;
  }
  void read_names(ServerSession& server, Output& to_server) { server.read_names(cache_->prefix(), to_server); }
  // They were. False: they could not be, and pin.
  bool names_read(ServerSession& server, Output& to_server, const ClientOptions& options);

  // DISCARD ALL went through: every prepared statement is gone.
  void discarded_all();
  // Text of the statement that is running or ran last, for debug logging; empty unless asked for.
  bool keep_text = false;
  std::string last_text;

 private:
  friend class ServerSession;
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Names = std::unordered_map<std::string, NamedStatement, Hash, std::equal_to<>>;

  // One call of feed(): where things go.
  struct Step {
    ServerSession* server;
    Output& to_server;
    Output& to_client;
    const ClientOptions& options;
  };
  // kMore: the message was used.
  bool rejected(Step& step, char type, std::string_view available, std::size_t whole_size, std::size_t& used);
  ClientVerdict whole_message(Step& step, char type, std::string_view whole);
  ClientVerdict query(Step& step, std::string_view whole);
  ClientVerdict parse(Step& step, std::string_view whole);
  ClientVerdict bind(Step& step, std::string_view available, std::size_t whole_size, std::size_t& used);
  ClientVerdict describe(Step& step, std::string_view whole);
  ClientVerdict close(Step& step, std::string_view whole);
  void sync(Step& step, std::string_view whole);
  void copy(Step& step, char type, std::string_view available, std::size_t whole_size, std::size_t& used);
  void pass(Output* to_server, std::string_view available, std::size_t whole_size, std::size_t& used);
  ClientVerdict refuse(std::string_view sqlstate, std::string_view message, std::string_view hint = {});
  void answer(Step& step, char type, NamedStatement* slot, StatementPtr previous);
  bool use_unnamed(Step& step);
  bool settled(const ServerSession& server) const {
    return server.idle() && pins_ == 0 && !listen_due_ && !names_due_ && !notifications_first_ && !in_mid_message() &&
           !held_;
  }
  bool speaks_utf8() const {
    const auto* encoding = settings_ ? settings_->find("client_encoding") : nullptr;
    return encoding != nullptr && *encoding == "UTF8";
  }
  void show_channels(Step& step, const Verdict& verdict);
  bool note_unlistened(Step& step, const Verdict& verdict, std::string_view text, bool simple);

  void replay_settings(ServerSession& server, Output& to_server, Output& to_client);
  bool answered_here(Step& step, std::string_view whole);
  std::string_view do_here(Step& step, std::string_view text);
  std::size_t sequence_here(Step& step, std::string_view bytes);
  SettingsPtr settings_at_start(const SettingsPtr& now) const;
  void tell_changes(const SettingsPtr& told, const SettingsPtr& now, Output& to_client) const;
  void discard_here(Step& step);
  bool may_go_back(const Verdict& verdict, std::string_view text) const;
  void send_query(Step& step, std::string_view whole, std::string_view text, const Verdict& verdict);
  void set_start_after_execute(Step& step);
  void run_hidden(Step& step, std::string_view sql, bool keeps_unnamed);
  // While it lives, what is prepared is read as `named` was (client_reading.cpp).
  class AsRead {
   public:
    AsRead(ClientSession& client, Step& step, const NamedStatement& named);
    ~AsRead();
    AsRead(const AsRead&) = delete;
    AsRead& operator=(const AsRead&) = delete;

   private:
    ClientSession& client_;
    Step& step_;
    std::vector<std::string> after_;
  };
  void remember_reading(const ServerSession& server, NamedStatement& named);
  void settle_readings();
  bool reading_known(const ServerSession& server) const;
  std::string reading_sql(const ServerSession& server, const NamedStatement& named) const;
  bool may_prepare(Step& step, const NamedStatement& named);
  bool may_prepare(Step& step, const Verdict& verdict);
  bool stands_there(const Step& step, const NamedStatement& named) const;
  void send_begin(ServerSession& server, Output& to_server);
  // What ReadyForQuery says while no server is attached.
  char local_status() const { return begin_.empty() ? 'I' : begin_failed_ ? 'E' : 'T'; }
  // What may end a transaction waits for the replay before it.
  bool hold(const Step& step, std::string_view text);
  void say_ready(Output& to_client);
  // The server's ReadyForQuery is passed on.
  void told(char status, bool all) {
    told_status_ = status;
    if (all) may_have_ended_ = false;
    if (status == 'I') settled_since_attached_ = true;
  }
  bool note_bound_setting(Step& step, const Statement& statement, std::optional<std::string_view> setting);
  void note_end(std::string_view text, std::uint32_t statement_count);
  bool survives(const ServerSession& server) const;
  bool ends_lost(Step& step, char type, std::string_view available, std::size_t whole_size, std::size_t& used);
  StatementPtr statement_of(std::string_view name) const;  // that a Bind of this name means; null: none
  std::string_view text_of(char type, std::string_view available, std::size_t whole_size) const;
  void reject_next(Step& step, char type);
  std::uint32_t without_read_back(std::uint32_t reasons);
  void note(const Verdict& verdict, std::string_view text, const Step& step);
  void look_at_path(std::string_view search_path);
  void command_done(std::string_view tag);
  void command_failed();
  ClassifyOptions classify_options(const Step& step) const;
  // In force for what is sent next: behind a replay this client's own, of which the server has not told yet.
  const SettingsPtr& settings_now(const ServerSession* server) const {
    return server == nullptr || server->replaying() ? settings_ : server->settings();
  }
  std::uint32_t reading_of(const Step& step) const;
  void prepare_on(Step& step, const NamedStatement& named);
  void replace_prepared(ServerSession& server, const StatementPtr& statement, Output& to_server);
  void make_room(ServerSession& server, Output& to_server);
  void forget_names();
  void put_name(Step& step, NamedStatement& named, bool whole, bool simple);
  void put_prepared(Step& step, NamedStatement& named, ErrorText error_text);
  void shadow_names(Step& step, const Verdict& verdict, std::string_view text, bool simple, int depth = 0);
  void shadow_executed(Step& step, NamedStatement& named, bool simple, int depth);
  struct NamesSeen {
    bool listed = false, opaque = false;
  };
  NamesSeen names_seen(const Step& step, const Verdict& said, std::string_view text) const;
  bool show_names(Step& step, const Verdict& said, std::string_view text);
  bool begin_settled(Step& step);
  void hide_prepared(Step& step);
  void forget_names_by(ServerSession& server);
  bool describes_execute(Step& step, const Statement& statement);
  void executes(Step& step, const NamedStatement& named);
  std::string_view executed_text(std::string_view name) const;
  void names_may_be_there(ServerSession& server);
  // The server may have statements of which nothing is known here.
  bool names_unknown() const { return names_due_ || (pins_ & bit(PinReason::kSqlPrepare)) != 0; }
  bool renames_executed(Step& step, const Verdict& verdict);
  void send_renamed(Step& step, std::string_view text, const Verdict& verdict);
  void force_error(ServerSession& server, Output& to_server, ErrorText text, NamedStatement* slot);
  void release_slot(NamedStatement* slot);
  NamedStatement* slot(std::string_view name);

  StatementCache* cache_;
  SettingsPtr settings_;
  SettingsInterner* interner_ = nullptr;
  SettingsPtr start_;         // all settings as they were at the start
  Settings::Values own_;      // of these, what the client itself set
  bool at_start_ = false;     // settings_ is right, and not what the connection has: DISCARD ALL ran there
  bool reading_due_ = false;  // NamedStatement::read_under of some is to be filled in
  bool in_sequence_ = false;  // what is prepared next comes in the middle of one
  std::vector<std::string> after_execute_;  // go behind the next Execute: see start_settings.hpp
  Names names_;
  NamedStatement unnamed_;
  std::uint32_t pins_ = 0;
  std::uint32_t leaves_ = 0;   // of kOpaque
  bool probe_is_old_ = false;  // DISCARD ALL came behind it
  // Of what was done since the last probe was sent.
  std::uint32_t pins_since_ = 0, leaves_since_ = 0;
  bool probe_due_ = false;
  bool unsettled_ = false;  // pinned: the end of the transaction, or an error, may undo it
  bool done_since_ = false;
  std::string pin_statement_;
  std::size_t body_left_ = 0;
  bool body_forward_ = false;
  bool execute_sets_ = false;      // a bound statement sets what is tracked
  bool execute_runs_ = false;      // a bound statement is a DO or CALL
  bool execute_ends_ = false;      // the unnamed portal is a COMMIT or ROLLBACK
  bool execute_discards_ = false;  // one is DISCARD ALL
  bool discard_sent_ = false;      // and was the last message
  bool execute_forgets_ = false;   // one is DEALLOCATE ALL
  bool held_ = false;              // until a replay of settings is answered
  bool waits_ = false;             // because of what comes next
  bool wait_for_quiet_ = false;    // nothing more is used until the server has answered everything
  enum class Rejecting : std::uint8_t { kNo, kNext, kUntilSync } rejecting_ = Rejecting::kNo;
  std::size_t needed_ = 0;
  std::uint64_t queries_ = 0;
  char told_status_ = 'I';               // of the last ReadyForQuery that the client got
  bool may_have_ended_ = false;          // the transaction that it is in, by what is not answered yet
  bool settled_since_attached_ = false;  // a transaction has ended, and the client knows
  bool lost_untold_ = false;             // what `rejecting_` is about is a transaction that was lost
  std::string begin_;                    // its text, while it is kept back
  bool begin_failed_ = false;            // an error was given to a statement of that transaction
  std::uint32_t answered_here_ = 0;
  struct Unlistened {
    std::string marker;   // "": in effect unless an error is told
    std::string channel;  // "": all
  };
  Channels channels_;
  std::vector<Unlistened> unlistened_;  // since they were read
  std::uint64_t last_marker_ = 0;
  bool share_listen_ = false;
  bool listen_due_ = false;  // the server connection may listen to something, or not to what was unlistened
  bool names_due_ = false;   // statements stand on the server under names of this client
  bool channels_new_ = false;
  bool notifications_first_ = false;
  std::string marker_sql_;  // goes behind the simple query that is being sent
  std::uint32_t process_id_ = 0;
  std::string error_;
};

}  // namespace dbproxy::session::postgres
