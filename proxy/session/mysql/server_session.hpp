// ServerSession: what the proxy knows about one server connection that is logged in, and what its packets mean.
//
// Pure: it is given the bytes that were read, changes sequence numbers in them where it has to, and says what goes to
// the client. At most one request is outstanding: not every server takes a second one before it has answered the first.
// The server's trackers and status flags tell what a request has changed; the request's verdict says what they do not
// show. One thread.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/session/mysql/settings.hpp"
#include "proxy/session/mysql/statement.hpp"
#include "proxy/session/mysql/user_variables.hpp"
#include "proxy/session/output.hpp"
#include "proxy/wire/mysql/messages.hpp"
#include "proxy/wire/mysql/result_scanner.hpp"

namespace dbproxy::session::mysql {

class ClientSession;

// Largest packet of the kinds that must be seen whole; rows have no such bound.
inline constexpr std::size_t kMaxServerMessage = 4u << 20;
inline constexpr std::size_t kMaxCollected = 32u << 20;
// Statements kept prepared on one server connection; the least recently used goes. max_prepared_stmt_count is 16,382
// for all of a server.
inline constexpr std::size_t kMaxPreparedPerServer = 200;

enum class ServerVerdict {
  kMore,           // all that could be used was used
  kReady,          // nothing is outstanding
  kReplayFailed,   // the client's settings could not be put here: see replay_error(); the connection is to be closed
  kProtocolError,  // the server broke the protocol: the connection is of no more use
};

// Counted by the worker after each call.
struct ServerEvents {
  std::uint32_t statements_done = 0;    // results of what clients asked
  std::uint32_t queries_done = 0;       // requests of clients
  std::uint32_t transactions_done = 0;  // of these, the ones after which no transaction was open
  bool fatal = false;                   // the server said that it will close
  std::uint16_t fatal_code = 0;
  std::string fatal_sqlstate;
  std::string fatal_message;
  std::string fatal_error;        // the whole packet, where it was not passed on
  std::uint32_t replays = 0;      // of settings, for clients
  bool refused_write = false;     // because it is read-only, as far as it tells
  bool programs_changed = false;  // a client has made, changed or dropped what HazardNames are about
};

class ServerSession {
 public:
  // `capabilities`: agreed on with the server. `settings`: what the log-in made of it.
  ServerSession(SettingsInterner& interner, SettingsPtr settings, std::uint32_t capabilities, bool mariadb)
      : interner_(&interner),
        settings_(std::move(settings)),
        base_(settings_),
        capabilities_(capabilities),
        mariadb_(mariadb) {}

  // Uses as much of `bytes` as it can and sets `consumed`; what goes to the client is added to `out` as views of
  // `bytes`, or written there. `client` is null when none is attached: then everything is read and dropped.
  ServerVerdict feed(std::span<char> bytes, std::size_t& consumed, ClientSession* client, Output& out);

  // Trackers on. Hidden; first after log-in and after reset().
  void start(Output& to_server);
  bool needs_start() const { return needs_start_; }
  // Variables of a client that is not pinned by them: reset() comes before another client.
  bool left_behind() const { return left_behind_; }
  // A client may have set a role, which no reset takes back: not for another client.
  bool keeps_role() const { return keeps_role_; }
  // A statement of the proxy's own; the answer is hidden. Only when quiet().
  void query(std::string_view sql, Output& to_server);
  // The same, and its rows are kept for take_rows(): at most 32 MB of them, else it has failed.
  using Rows = std::vector<std::vector<std::optional<std::string>>>;
  void query_rows(std::string_view sql, Output& to_server);
  Rows take_rows() { return std::exchange(collected_, {}); }
  // COM_RESET_CONNECTION, hidden: everything that clients left is gone, but for the schema. start() has to follow.
  void reset(Output& to_server);
  bool hidden_query_failed() const { return hidden_failed_; }
  void clear_hidden_failure() { hidden_failed_ = false; }
  const std::string& hidden_error() const { return hidden_error_; }  // the ERR's payload
  // What there is now is what new clients find: once, when start() and initQuery are done.
  void set_base() { base_ = settings_; }
  const Settings& base() const { return *base_; }

  // User variables of a client, which nobody else may find: unset, hidden.
  bool has_variables() const { return !variables_.empty(); }
  void unset_variables(Output& to_server);

  // For a client that left while its file was awaited: there is none. False: nothing to send.
  bool finish_sequence(Output& to_server);
  // The client is gone: what is outstanding stays so, for nobody.
  void forget_client();
  // What runs now is being cancelled because of statementTimeout: that is what the client shall read.
  void expect_timeout() { timed_out_ = true; }

  // Nothing is outstanding.
  bool quiet() const { return !asked_; }
  // Other engines know connections on which clients' sessions got mixed up; here a doubt pins.
  static bool mixed() { return false; }
  bool asked() const { return asked_; }
  // The same, and nothing of a client's is left that its settings do not have: no transaction, no lock on tables.
  bool idle() const {
    return quiet() && !in_transaction() && !savepoint_ && !tables_locked_ && characteristics_.empty();
  }
  // After an error nobody knows, until the next OK (of a prepare, which has no flags, not): it may have rolled back.
  bool in_transaction() const { return after_error_ || (status_ & wire::mysql::status::kInTransaction); }
  // A part of a packet has been passed on to the client, and the rest has not come yet.
  bool in_mid_message() const { return body_left_ > 0 && forward_; }
  // A transaction of the client's is open here, which ends with the connection.
  bool holds_transaction() const {
    return (status_ & wire::mysql::status::kInTransaction) || error_in_doubt_ || savepoint_;
  }
  bool wants_file() const { return asked_ && scanner_.wants_file(); }
  std::uint16_t status() const { return status_; }
  const SettingsPtr& settings() const { return settings_; }
  const std::string& schema() const { return settings_->schema(); }
  std::uint32_t capabilities() const { return capabilities_; }
  bool multi_statements() const { return multi_statements_; }
  // A step before the client's own request.
  bool replaying() const { return asked_ && purpose_ >= Purpose::kReplay; }
  const std::string& replay_error() const { return hidden_error_; }
  std::size_t prepared_count() const { return prepared_.size(); }
  ServerEvents take_events() { return std::exchange(events_, {}); }

 private:
  friend class ClientSession;

  enum class Purpose : std::uint8_t {
    kClient,         // what a client asked
    kClientPrepare,  // likewise COM_STMT_PREPARE
    kClientReset,    // likewise COM_RESET_CONNECTION
    kDiagnostics,    // what the client's last statement left, so that the connection may go
    kFoundRows,      // likewise
    kInsertId,       // likewise
    kVariables,      // likewise
    kUnset,          // its user variables, likewise
    kHidden,
    kStart,
    kReset,
    kReplay,   // settings of the client whose request waits
    kSchema,   // likewise
    kOption,   // likewise, whether it may send several statements
    kPrepare,  // likewise, a statement of its own
  };
  struct Prepared {
    std::uint32_t id = 0;
    std::string types;  // as they were sent last
    std::list<const Statement*>::iterator used;
  };

  void ask(Purpose purpose, wire::mysql::Answer answer);
  void fetch(Purpose purpose, std::string_view sql, Output& to_server);  // for fetched()
  ServerVerdict whole(wire::mysql::PacketKind kind, const wire::mysql::Frame& frame, std::span<char> packet,
                      ClientSession* client, Output& out);
  ServerVerdict unsolicited(std::string_view packet);
  void fatal(const wire::mysql::Error& error);
  bool result_done(wire::mysql::PacketKind kind, const wire::mysql::Frame& frame, std::span<char> packet,
                   ClientSession* client, Output& out);
  void collect(std::string_view row);
  void on_error(const wire::mysql::Frame& frame, std::span<char> packet, Output& out);
  void apply(std::string_view state);
  void reported(std::string_view state, std::string_view name, std::string_view value);
  void columns_ended(std::uint16_t status, Output& out);
  // What follows an EOF whose flags only the end of the rows tells.
  bool holds_row() const { return columns_end_owed_ && statement_ && verdict_ != nullptr && verdict_->call; }
  void pass_held(std::uint16_t status, Output& out);
  void pass(std::span<char> packet, Output& out);
  ServerVerdict finish(ClientSession* client);
  void back_to_new();
  void follow_savepoint(std::uint16_t now);
  void gives_insert_id(std::uint64_t client, std::uint64_t id) {
    insert_id_owner_ = client;
    insert_id_ = id;
    insert_id_unknown_ = false;
  }
  bool for_client(const ClientSession* client) const {
    return client != nullptr && !orphaned_ && purpose_ <= Purpose::kClientReset;
  }
  bool hidden() const { return purpose_ > Purpose::kClientReset; }
  bool fetching() const {
    return purpose_ == Purpose::kDiagnostics || purpose_ == Purpose::kFoundRows || purpose_ == Purpose::kInsertId ||
           purpose_ == Purpose::kVariables;
  }
  // Of prepared statements.
  Prepared* find(const Statement& statement);
  Prepared& keep(const StatementPtr& statement, std::uint32_t id);
  void drop(const Statement& statement, Output& to_server);

  SettingsInterner* interner_;
  SettingsPtr settings_, base_;
  UserVariables variables_;  // that there are; all of one client
  SettingsPtr replaying_;    // kReplay, kSchema: what they are when it is done
  std::uint32_t capabilities_;
  bool mariadb_;
  bool multi_statements_ = true;

  // The request.
  bool asked_ = false;
  bool orphaned_ = false;  // its client is gone
  bool forward_ = false;
  Purpose purpose_ = Purpose::kHidden;
  wire::mysql::ResultScanner scanner_;
  std::size_t body_left_ = 0;
  std::uint8_t last_sequence_ = 0;  // of what went to the client
  std::uint8_t delta_ = 0;          // what is added to sequence numbers on their way to the client
  bool ends_columns_with_body_ = false;
  std::uint8_t file_sequence_ = 0, file_delta_ = 0;  // of the packet that follows; what the client's are ahead by
  bool columns_end_owed_ = false;                    // an EOF behind columns, for a client without kDeprecateEof
  std::string held_row_;                             // the first row behind that EOF, see holds_row()
  const Verdict* verdict_ = nullptr;
  Verdict verdict_store_;
  StatementPtr statement_;                 // being prepared, or executed
  std::uint32_t client_number_ = 0;        // kClientPrepare: what the client will call it
  std::uint32_t reported_ = 0;             // of verdict_'s settings, bits
  bool changed_ = false;                   // the server says that something did
  const Settings* asked_under_ = nullptr;  // of a hidden one: what they were before it
  bool failed_ = false;
  bool syntax_error_ = false;
  std::uint64_t rows_ = 0;
  bool timed_out_ = false;
  bool only_rows_ = false;  // it reads or changes rows within a transaction, and cannot end that
  bool cut_off_ = false;    // the server ends, and said so in place of an answer

  // The session.
  bool needs_start_ = true;
  bool only_tracking_ = false;  // the rest of start() is known
  bool left_behind_ = false;
  bool keeps_role_ = false;
  std::uint16_t status_ = wire::mysql::status::kAutocommit;
  bool after_error_ = false;
  bool error_in_doubt_ = false;  // likewise, of a request that may have left a transaction open all the same
  bool savepoint_ = false;  // of a transaction that has touched no table yet: where autocommit is off no flag tells
  bool tables_locked_ = false;
  std::string characteristics_;  // of the next transaction, or of this
  static constexpr std::uint64_t kNobody = ~std::uint64_t{0};
  std::uint64_t insert_id_owner_ = 0;  // whose LAST_INSERT_ID() this connection has; 0: there has been none
  std::uint64_t insert_id_ = 0;
  bool insert_id_unknown_ = false;                    // it is not that any more
  NumberSet numbers_;                                 // that the request gives
  bool diagnostics_clear_ = false;                    // the last statement was the proxy's own, and left none
  std::uint64_t diagnostics_owner_ = 0;               // whose warnings and errors SHOW WARNINGS would show
  bool own_warnings_ = false;                         // of the proxy's own are among those of MySQL's
  bool warned_ = false;                               // the request has
  std::uint64_t last_query_ = 0;                      // how many requests that client had made by then
  std::uint64_t last_client_ = 0;                     // whose statement was the last
  std::uint64_t found_query_ = 0, found_client_ = 0;  // likewise of the last that gave rows, for FOUND_ROWS()
  bool hidden_failed_ = false;
  std::string hidden_error_;
  bool collecting_ = false;
  Rows collected_;
  std::vector<std::string> columns_;  // definitions of what is collected
  std::size_t collected_bytes_ = 0;
  std::string scratch_;
  std::unordered_map<const Statement*, std::pair<StatementPtr, Prepared>> prepared_;
  std::list<const Statement*> used_;  // the least recently used first
  std::string close_owed_;            // COM_STMT_CLOSE of those that went, for the next write
  ServerEvents events_;
};

}  // namespace dbproxy::session::mysql
