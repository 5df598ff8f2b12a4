// ClientSession: one logged-in client, and what its packets mean for the server connection that will carry them.
//
// Pure: given the bytes that were read, it says what goes to the server, what is answered here, and whether a server is
// needed first. What a server connection lacks for a request (the client's schema and settings, a prepared statement)
// is sent ahead of it, one step at a time: feed() then says kWait, and is called again when the server is quiet.
// Statement numbers are changed in the bytes. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "proxy/session/mysql/diagnostics.hpp"
#include "proxy/session/mysql/holdings.hpp"
#include "proxy/session/mysql/server_session.hpp"
#include "proxy/session/mysql/statement.hpp"
#include "proxy/session/mysql/tracking.hpp"
#include "proxy/session/mysql/user_variables.hpp"
#include "proxy/session/output.hpp"

namespace dbproxy::session::mysql {

// Requests are looked at whole; MySQL's own default for max_allowed_packet.
inline constexpr std::size_t kMaxRequest = 64u << 20;
// Statements that one client may have prepared: max_prepared_stmt_count's default.
inline constexpr std::size_t kMaxStatementsPerClient = 16382;

enum class ClientVerdict {
  kMore,        // all that could be used was used; `needed` says how long the packet at the front is, if known
  kNeedServer,  // attach a server connection, then call again
  kWait,        // call again when the server is quiet
  kTerminate,   // the client said good-bye
  kRefuse,      // `error` is to be sent, then the connection closed
  kChangeUser,  // COM_CHANGE_USER: change_user() is its payload; what this client had is gone once it is let in
};

struct ClientOptions {
  std::uint32_t connection_id = 0;  // as the client knows it
  const HazardNames* hazards = nullptr;
  bool exclude_variable_sets = false;  // variables that cannot be put elsewhere do not pin, and are lost
};

struct KillRequest {
  std::uint64_t id = 0;  // a connection of the proxy's clients
  bool query_only = false;
};

class ClientSession {
 public:
  // `capabilities`: agreed on with the client. `serial`: never 0, and no other client's of this worker.
  ClientSession(StatementCache& cache, SettingsInterner& interner, SettingsPtr settings, std::uint32_t capabilities,
                std::uint64_t serial)
      : cache_(&cache),
        interner_(&interner),
        settings_(std::move(settings)),
        first_settings_(settings_),
        capabilities_(capabilities),
        serial_(serial),
        multi_statements_(capabilities & wire::mysql::client::kMultiStatements) {}

  ClientVerdict feed(std::span<char> bytes, std::size_t& consumed, ServerSession* server, Output& to_server,
                     Output& to_client, const ClientOptions& options);

  // A server connection was just attached. What it needs is sent by feed().
  void attached(ServerSession& /*server*/, Output& /*to_server*/, Output& /*to_client*/) {}
  // Before it is released: the client's settings are what the connection's are now.
  void detaching(ServerSession& server) {
    if (in_step_) return;
    if (new_settings_) return take_new_settings(server);
    if (was_last_on(server))
      settings_ = server.settings();  // else it was answered here, on a connection as others left it
  }
  // Whether the server connection may go to another client now.
  bool can_release(const ServerSession& server) const {
    return server.idle() && !server.needs_start() && pins_ == 0 && !hold_ && !calc_found_rows_ && !insert_id_doubt_ &&
           unread_.empty() && !server.has_variables() && !in_step_;
  }
  // Somebody waits for the server connection that this client keeps at rest, only because it may ask for what its last
  // statement left: that is fetched. True: it is being asked for; then can_release() once it is quiet.
  bool let_go(ServerSession& server, Output& to_server);
  bool held() const { return false; }
  // What other engines have: a transaction that no server knows of yet, and time limits of the client's own.
  bool begin_deferred() const { return false; }
  static std::chrono::milliseconds time_limit(std::string_view /*name*/) { return {}; }
  // The server connection is lost under it. True: the session goes on, and an answer that was awaited is in
  // `to_client`, as an error. `last_words`: an ERR packet of the server's.
  bool server_lost(ServerSession& server, std::string_view why, std::string_view last_words, Output& to_client);
  // Nothing of a packet is passed on before all of it is there.
  bool in_mid_message() const { return false; }

  std::uint32_t pins() const { return pins_; }
  void pin(std::uint32_t reasons) { pins_ |= reasons; }
  const std::string& pin_statement() const { return pin_statement_; }  // digest of what pinned it first
  std::size_t needed() const { return needed_; }
  const std::string& error() const { return error_; }
  // The number of an ERR packet that comes now.
  std::uint8_t error_sequence() const { return error_sequence_; }
  const SettingsPtr& settings() const { return settings_; }
  std::uint32_t capabilities() const { return capabilities_; }
  std::uint64_t serial() const { return serial_; }
  std::uint64_t queries() const { return queries_; }
  // What outlives COM_RESET_CONNECTION and COM_CHANGE_USER.
  struct Lasting {
    bool multi_statements = false;  // COM_SET_OPTION's word, or what its capabilities say
    std::uint64_t found_rows = 0;   // MySQL's FOUND_ROWS()
  };
  Lasting lasting() const { return {multi_statements_, found_query_ == 0 ? first_found_rows_ : found_rows_}; }
  void take_over(const Lasting& before) {
    multi_statements_ = before.multi_statements;
    first_found_rows_ = before.found_rows;
  }
  std::uint32_t take_answered_here() { return std::exchange(answered_here_, 0); }
  const std::string& change_user() const { return change_user_; }

  // KILL and COM_PROCESS_KILL: carried out by the worker, which then says how it went (0: OK, else 1094, 1095, …).
  std::optional<KillRequest> take_kill() { return std::exchange(kill_, std::nullopt); }
  void answer_kill(std::uint16_t code, Output& to_client);

  // The request at the front cannot be carried: `error` (an ERR packet with the number 1) is its answer.
  void reject(std::string error) {
    rejecting_ = true;
    error_ = std::move(error);
  }
  bool rejecting() const { return rejecting_; }

  // Text of the statement that is running or ran last, for debug logging; empty unless asked for.
  bool keep_text = false;
  std::string last_text;

 private:
  friend class ServerSession;
  struct Step {
    ServerSession* server;
    Output& to_server;
    Output& to_client;
    const ClientOptions& options;
  };
  // kMore: the packet was used.
  ClientVerdict request(Step& step, std::span<char> packet, std::string_view payload);
  ClientVerdict query(Step& step, std::span<char> packet, std::string_view payload);
  ClientVerdict prepare(Step& step, std::span<char> packet, std::string_view text);
  ClientVerdict execute(Step& step, std::span<char> packet, std::string_view payload);
  ClientVerdict of_statement(Step& step, std::span<char> packet, std::string_view payload,
                             wire::mysql::Command command);
  ClientVerdict close(Step& step, std::string_view payload);
  ClientVerdict simple(Step& step, std::span<char> packet, wire::mysql::Answer answer, bool changes_schema = false);
  ClientVerdict reset(Step& step, std::span<char> packet);
  void ping(Step& step, std::span<char> packet);
  ClientVerdict set_option(Step& step, std::string_view payload);
  bool local_file(Step& step, std::span<char> packet);

  // What the server lacks. kMore: nothing. `runs`: the statement is carried out then, not only prepared. `missing`: a
  // statement that is to be prepared next, under settings of its own.
  ClientVerdict steps(Step& step, const Verdict& asks, bool changes_schema = false, bool runs = true,
                      const Statement* missing = nullptr);
  std::uint32_t statement_number(std::uint32_t told) const;
  // The same, and `runs` is prepared: `there`.
  ClientVerdict steps_to(Step& step, const StatementPtr& runs, const Verdict& asks, ServerSession::Prepared*& there);
  void keep_apart(const Step& step, std::uint32_t number, StatementPtr& statement) const;
  ServerSession& ask(Step& step, ServerSession::Purpose purpose, wire::mysql::Answer answer, const Verdict& verdict);
  bool could_let_go(const ServerSession& server) const;
  void fetched(ServerSession& server, ServerSession::Purpose purpose);
  // User variables, in client_variables.cpp: whether what the server lacks of those that a text may use is put there,
  // or asked for first; those that a text that was sent may set; what was asked for.
  bool puts_variables(Step& step, const Verdict& asks);
  UserVariables missing_variables(const ServerSession& server, const Verdict& asks) const;
  void note_variables(ServerSession& server, const Verdict& verdict);
  void variables_fetched(ServerSession& server);
  void pin_by_variables(ServerSession& server);
  bool answer_kept(Step& step, std::string_view text, const LexOptions& lex, bool binary, bool& values);
  // What the server would show of warnings and errors is this client's.
  bool diagnostics_on(const ServerSession& server) const {
    return was_last_on(server) && server.diagnostics_owner_ == serial_;
  }
  void send(Step& step, std::span<char> packet);
  bool rejected(Step& step);
  // What a client finds whose transaction was lost while it rested; see client_lost.cpp.
  bool ends_lost(Step& step, std::string_view text);
  void forget_lost();
  // Its last request here failed, and nobody has said yet whether that has ended its transaction.
  bool in_doubt(const ServerSession* server) const {
    return server != nullptr && server->after_error_ && was_last_on(*server);
  }
  // Its last request was this client's last, so that what that left is there.
  bool was_last_on(const ServerSession& server) const {
    return server.last_client_ == serial_ && server.last_query_ == queries_;
  }
  void local_ok(Step& step, std::uint16_t warnings = 0);
  void local_error(Step& step, std::uint16_t code, std::string_view sqlstate, std::string_view message);
  void note(ServerSession& server, const Verdict& verdict, std::string_view text, const LexOptions& lex,
            std::string_view schema);
  void exclude(ServerSession& server);
  // What a text asks for that the server does not know, or not as this client does.
  struct Known {
    bool rows = false;                // what ROW_COUNT() and FOUND_ROWS() were
    bool diagnostics = false;         // @@warning_count and @@error_count
    std::uint32_t connection_id = 0;  // 0: as the server says
    bool any() const { return rows || diagnostics || connection_id != 0; }
  };
  std::string substituted(std::string_view sql, const LexOptions& lex, const Known& known) const;
  std::optional<std::string> known_value(const Token& token, Tokenizer& ahead, const Known& known) const;
  bool kills(std::string_view text, const ClientOptions& options);
  LexOptions lex(const Step& step) const;

  // From the server's session.
  void on_result(ServerSession& server, bool without_rows, const wire::mysql::Ok& ok, std::uint64_t rows);
  void on_insert_id(ServerSession& server, std::uint64_t told);
  void doubt_insert_id(ServerSession& server, std::uint64_t told);
  void prepared(std::uint32_t number, const StatementPtr& statement, std::uint16_t parameters);
  void request_done(ServerSession& server);
  void was_reset(ServerSession& server);
  void take_new_settings(const ServerSession& server);
  // An error tells of no change: what the client's request changed before it is told with the next OK, whosever.
  void told_late(const ServerSession& server, const Settings* before) {
    if (settings_.get() == before) settings_ = server.settings();
  }

  StatementCache* cache_;
  SettingsInterner* interner_;
  SettingsPtr settings_;
  SettingsPtr first_settings_;
  std::uint32_t capabilities_;
  std::uint64_t serial_;
  std::unordered_map<std::uint32_t, ClientStatement> statements_;
  std::uint32_t next_statement_ = 1;
  std::uint32_t last_prepared_ = 0;
  std::uint32_t executing_ = 0;  // the statement whose answer is awaited
  std::uint32_t pins_ = 0;
  std::uint32_t pins_before_ = 0;  // the statement that runs
  std::uint32_t excluded_ = 0;     // reasons that do not pin here
  std::string pin_statement_;
  Holdings holdings_;
  bool multi_statements_;
  bool in_step_ = false;  // something of the server's was asked ahead of the request at the front
  bool step_error_is_answer_ = false;
  bool hold_ = false;  // what the last statement left may be asked for: warnings, an error
  bool rejecting_ = false;
  bool lost_untold_ = false;  // its transaction, and the error that is to be the next answer says so
  std::uint64_t last_insert_id_ = 0;
  bool insert_id_doubt_ = false;  // only the server knows: it is asked before the connection goes
  bool was_own_insert_id_ = false, told_before_ = false;  // of the first doubt, see doubt_insert_id()
  std::uint64_t insert_id_before_ = 0;
  NumberSet gives_;  // of the request that is to be sent
  std::int64_t row_count_ = 0;
  bool row_count_here_ = true;  // it is not the server's: the last request was answered here
  std::uint64_t found_rows_ = 0, first_found_rows_ = 0;
  std::uint64_t found_query_ = 0;  // which of its requests left that
  bool new_settings_ = false;      // it has reset its session: what the server makes of a new one is its own
  Tracking tracking_;
  std::optional<Tracking> new_tracking_;  // once the request succeeds
  UserVariables variables_;
  // Those that only the server knows, which is asked before the connection goes; before the request, there were so
  // many.
  std::vector<std::string> unread_;
  std::size_t unread_before_ = 0;
  std::vector<std::string> unput_;  // of GET DIAGNOSTICS, which need not set them, without having been put there
  std::string unread_statement_;    // digest of what set the first of them
  std::uint16_t status_ = wire::mysql::status::kAutocommit;
  bool calc_found_rows_ = false;  // likewise FOUND_ROWS()
  Diagnostics kept_;              // of the last statement, whose connection has gone
  std::uint16_t warnings_ = 0;    // how many of them MySQL tells in its answer to COM_PING
  std::size_t needed_ = 0;
  std::uint8_t error_sequence_ = 1;
  std::uint64_t queries_ = 0;
  std::uint32_t answered_here_ = 0;
  std::optional<KillRequest> kill_;
  StatementPtr own_statement_;  // what runs in place of a prepared statement that asks for what is known here
  std::string error_, change_user_, scratch_, own_text_;
};

}  // namespace dbproxy::session::mysql
