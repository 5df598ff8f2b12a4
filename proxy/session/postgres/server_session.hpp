// ServerSession: what the proxy knows about one server connection that is logged in, and what its messages mean.
//
// Pure: it is given the bytes that were read and says what goes to the client. The worker owns the sockets, attaches
// and detaches a ClientSession, and asks can_release() when the server is idle. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "proxy/session/output.hpp"
#include "proxy/session/postgres/requests.hpp"
#include "proxy/session/postgres/settings.hpp"
#include "proxy/session/postgres/start_settings.hpp"

namespace dbproxy::session::postgres {

class ClientSession;

// Largest message of the kinds that must be seen whole; rows and copy data have no such bound.
inline constexpr std::size_t kMaxServerMessage = 4u << 20;

enum class ServerVerdict {
  kMore,           // all that could be used was used
  kReady,          // ReadyForQuery, and nothing is outstanding
  kReplayFailed,   // see replay(): what the client asked has not run, and what follows must not be read
  kProtocolError,  // the server broke the protocol: the connection is of no more use
};

// Rows of the proxy's own queries, at most so many bytes of them.
inline constexpr std::size_t kMaxKeptRows = 8u << 20;

// Counted by the worker after each call.
struct ServerEvents {
  std::uint32_t statements_done = 0;    // CommandComplete for what a client asked
  std::uint32_t queries_done = 0;       // ReadyForQuery for what a client asked
  std::uint32_t transactions_done = 0;  // of these, the ones after which no transaction was open
  bool fatal = false;                   // the server said FATAL or PANIC: it will close
  bool refused_write = false;           // it is in recovery, as far as it tells, and said 25006
  std::uint32_t pins = 0;
  bool rows_ready = false;        // query_rows() is done: see take_rows()
  bool probe_ready = false;       // the same of probe()
  bool settings_ready = false;    // the same of read_settings()
  bool names_ready = false;       // the same of read_names()
  bool channels_ready = false;    // the same of read_channels()
  bool schema_changed = false;    // names may stand for something else, for this connection or for all
  bool defaults_changed = false;  // ALTER DATABASE or ALTER ROLE: sessions that begin later may begin otherwise
  bool lost_init = false;         // RESET or DISCARD ALL ran: initQuery is to be run again
  std::string fatal_sqlstate;     // of the last FATAL
  std::string fatal_message;
  std::string fatal_error;  // the whole message, which was not passed on
};

class ServerSession {
 public:
  ServerSession(SettingsInterner& interner, SettingsPtr settings)
      : interner_(&interner), settings_(std::move(settings)), base_(settings_) {}

  // Uses as much of `bytes` as it can and sets `consumed`; what goes to the client is added to `out` as views of
  // `bytes`. `client` is null when none is attached: then everything is read and dropped.
  ServerVerdict feed(std::string_view bytes, std::size_t& consumed, ClientSession* client, Output& out);

  // Queries of the proxy's own; the answers are hidden. `may_fail`: it changes nothing if it does.
  void query(std::string_view sql, Output& to_server, bool may_fail = false);
  // The settings of the client whose requests follow in the same write; nothing else may be outstanding. They are one
  // transaction block: if it fails, the server refuses what follows (replay_guard.hpp), feed() says kReplayFailed, and
  // the connection is to be closed: its client gets replay_error(), an ErrorResponse.
  void replay(std::string_view sql, Output& to_server);
  bool replaying() const { return replaying_; }  // not answered yet
  const std::string& replay_error() const { return replay_error_; }
  // The same as query(), and its rows are kept. One at a time. That it failed is told by take_rows(), not by
  // hidden_query_failed().
  void query_rows(std::string_view sql, Output& to_server);
  // The same for what is left of an attached client's session; it is no reading of the catalogue.
  void probe(std::string_view sql, Output& to_server);
  // The same for the channels that this connection listens to; after that it listens to none.
  void read_channels(Output& to_server);
  // The same for the prepared statements that do not begin with `prefix`: for ClientSession::names_read().
  void read_names(std::string_view prefix, Output& to_server);
  bool reading_names() const { return reading_names_; }
  // Statements may stand there under names that a client chose.
  bool may_have_names() const { return may_have_names_; }
  struct Rows {
    std::string messages;  // DataRow messages, whole
    bool failed = false;
    bool too_long = false;  // and thrown away
    std::string error;      // the server's words
    std::string response;   // the whole ErrorResponse
  };
  // Settings that are not reported: what a client's statement may have changed is unknown until it is read back, which
  // has to be done before the client's settings can be put on another connection. Any transaction must have ended.
  bool settings_known() const { return unknown_.empty() && !unlisted_; }
  // The same, and nothing that was asked for is still to come.
  bool settings_settled() const { return settings_known() && read_.empty() && !listing_; }
  // Those by which a text is read (decides_meaning()): nothing that may change them is unknown or under way.
  bool reading_known() const;
  // What was sent just now may change settings, told or not: that is told with the next ReadyForQuery, no sooner.
  void settings_move() { moving_ = true; }
  void read_settings(Output& to_server);
  // When that is done. Not empty: they are still unknown, and why.
  std::string settings_read() { return std::exchange(settings_unread_, {}); }
  // These may have been changed by what was sent just now, `in_transaction`: until that is rolled back.
  void touch(const Verdict& verdict, bool in_transaction);
  // What a client finds that sets nothing is what there is now; once, when initQuery has run. Before: read_set_names(),
  // a query_rows(), then touch_set_names() with its rows and initQuery's verdict, then read_settings().
  void read_set_names(Output& to_server);
  void touch_set_names(const Rows& rows, const Verdict& init);
  void set_base();
  // initQuery ran again.
  void back_to_base();
  const Settings& base() const { return *base_; }
  Rows take_rows() { return std::exchange(rows_, {}); }

  // A client's statement may have changed functions, triggers, views …, and the catalogue was not read since.
  bool catalog_changed() const { return changes_ != changes_known_; }
  // The rows of the last query_rows() tell what every change before it has made.
  void catalog_is_known() { changes_known_ = changes_read_; }
  // Makes a client that changed the catalogue wait for ReadyForQuery until the worker has read it again, so that
  // whoever hears of the change is judged by the new one. While owes_ready(), the worker must call query_rows() or
  // release_ready().
  void hold_after_catalog_change() { may_hold_ = true; }
  bool owes_ready() const { return owes_ready_; }
  bool reading_rows() const { return reading_rows_; }
  void release_ready(Output& to_client);

  // Its own, as notifications name it.
  void set_process_id(std::uint32_t id) { process_id_ = id; }
  // Whose notifications those are that come from this connection: the process id that its client was told.
  std::uint32_t spoke_for() const { return spoke_for_; }
  // A LISTEN went through, and has not been read_channels() since.
  bool may_listen() const { return may_listen_; }
  // From now on notifications are kept for the worker, which shares them out among clients; or no longer.
  void collect_notifications(bool on) { collecting_ = on; }
  // NotificationResponse messages, whole.
  std::string take_notifications() { return std::exchange(notifications_, {}); }

  // For a client that left: ends an extended-query sequence or a COPY that it did not end. False: nothing to send.
  bool finish_sequence(Output& to_server);

  // 'I' idle, 'T' in a transaction, 'E' in a failed one; as of the last ReadyForQuery.
  char transaction_status() const { return transaction_status_; }
  // Nothing outstanding, no transaction, no copy, no unfinished extended-query sequence.
  bool idle() const { return quiet() && transaction_status_ == 'I'; }
  // The same, but a transaction may be open.
  bool quiet() const { return requests_.empty() && !sync_pending_ && !skipping_ && !copy_in_ && !owes_ready_; }
  // Something was asked that is not answered yet; silence is the server's.
  bool asked() const { return !requests_.empty(); }
  // A simple query came in a sequence that its client had not ended by Sync, outside of a transaction block. PostgreSQL
  // 18 then fails the next statement, whoever's that is ("StartTransactionCommand: unexpected state STARTED").
  bool mixed() const { return mixed_; }
  // A part of a message has been passed on to the client, and the rest has not come yet.
  bool in_mid_message() const { return body_left_ > 0 && body_forward_; }
  // What runs now is being cancelled because of statementTimeout: that is what the client shall read.
  void expect_timeout() { timed_out_ = true; }
  bool hidden_query_failed() const { return hidden_query_failed_; }
  void clear_hidden_failure() { hidden_query_failed_ = false; }

  const SettingsPtr& settings() const { return settings_; }
  ServerEvents take_events() { return std::exchange(events_, {}); }
  std::size_t prepared_count() const { return prepared_.size(); }

  // The client is gone or goes: entries no longer point into it. Requests already sent stay outstanding.
  void forget_client();

 private:
  friend class ClientSession;

  struct Prepared {
    StatementPtr statement;
    std::uint64_t used = 0;
    std::uint64_t parsed = 0;  // StatementCache::tick() when it was sent
    bool stale = false;        // must be closed before it is prepared again
  };

  // What the client has been told of the sequence (or query) whose ReadyForQuery is due.
  enum class Sequence : std::uint8_t { kOpen, kFailed, kEnded };  // kEnded: its transaction, and nothing came behind

  bool message(char type, std::string_view whole, ClientSession* client, Output& out, bool& forward);
  bool on_error(std::string_view whole, ClientSession* client, Output& out, bool& forward);
  void on_notice(std::string_view whole, const ClientSession* client, Output& out, bool& forward);
  bool on_command_complete(std::string_view body, ClientSession* client);
  bool on_ready(std::string_view body, ClientSession* client, Output& out, bool& forward);
  void finish_discard(ClientSession* client, Output& out);
  void on_notification(std::string_view whole, const ClientSession* client, Output& out);
  bool say_timeout(std::string_view whole, Output& out);
  bool is_inserted_set(std::string_view body);
  void on_copy_in();
  // A Parse of this name is not answered yet, and a Sync stands behind it.
  bool undecided(const NamedStatement& named);
  void keep(std::string_view piece);
  void emit_local(ClientSession* client, Output& out);
  void touch(std::string name);
  void touch_all();
  void settings_listed(ClientSession* client);
  std::string take_settings();
  bool may_be_shown(const std::string& name) const;  // by pg_settings
  void discarded_all();
  void forget_prepared();
  void undo(Request& request, ClientSession* client, bool executed);
  void settle(Request& request, ClientSession* client);
  bool expect(RequestKind kind) const { return !requests_.empty() && requests_.front().kind == kind; }

  SettingsInterner* interner_;
  SettingsPtr settings_;
  Requests requests_;
  std::unordered_map<std::uint64_t, Prepared> prepared_;
  StatementPtr unnamed_;  // what the server's unnamed statement is, if known
  std::uint64_t unnamed_parsed_ = 0;
  std::uint64_t use_counter_ = 0;
  std::size_t body_left_ = 0;  // of a message that is being passed on (or dropped) in pieces
  bool body_forward_ = false;
  char transaction_status_ = 'I';
  bool sync_pending_ = false;        // extended-query messages were sent since the last Sync was answered
  bool skipping_ = false;            // after an error the server ignores everything up to a Sync not sent yet
  bool failed_in_sequence_ = false;  // see Request::sequence_goes_on
  Sequence sequence_ = Sequence::kOpen;
  bool copy_in_ = false;
  bool mixed_ = false;
  bool hidden_query_failed_ = false;
  bool replaying_ = false;
  bool beginning_ = false;  // of what replaying_ tells, a BEGIN that was kept back
  bool begun_ = false;      // it went through, and there was no Sync since
  bool timed_out_ = false;
  bool setting_start_ = false;  // of a query with sets_start, a statement of the proxy's own is being answered
  Insertions inserted_;         // of that query
  std::size_t sets_seen_ = 0;   // of those that inserted_ tells of
  std::string executed_;        // and its text, where that is an EXECUTE with another name in it
  KeptErrors kept_;             // ErrorText::kKept
  SettingsPtr told_;            // DISCARD ALL ran, and is not over: what the client was told before
  std::string replay_error_;
  bool body_keep_ = false;
  bool reading_rows_ = false;
  bool probing_ = false;
  std::vector<std::string> unknown_;  // tracked names
  std::vector<std::string> read_;     // those that read_settings() asked for
  bool reading_settings_ = false;
  std::string settings_unread_;              // why
  bool unlisted_ = false, listing_ = false;  // any that pg_settings shows may have been set; and they are asked for
  bool moving_ = false;                      // settings_move()
  bool reading_channels_ = false;
  bool reading_names_ = false, may_have_names_ = false;
  bool maybe_back_ = false, back_by_rollback_ = false;  // what was set may be as it was at the start
  bool read_sources_ = false;
  std::vector<std::string> not_shown_;  // names that are read and that pg_settings does not show
  SettingsPtr base_;                    // see set_base()
  std::uint64_t changes_ = 0, changes_read_ = 0, changes_known_ = 0;  // of the catalogue
  bool schema_dirty_ = false;                                         // it was changed in the transaction that is open
  bool defaults_dirty_ = false;
  bool may_hold_ = false;
  bool owes_ready_ = false;
  std::uint32_t process_id_ = 0, spoke_for_ = 0;
  bool may_listen_ = false;
  bool collecting_ = false;
  std::string notifications_;
  Rows rows_;
  ServerEvents events_;
};

}  // namespace dbproxy::session::postgres
