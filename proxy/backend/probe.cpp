#include "proxy/backend/probe.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <vector>

#include "proxy/backend/postgres_login.hpp"
#include "proxy/backend/probe_connection.hpp"
#include "proxy/wire/postgres/frame.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::backend {
namespace {

namespace wire = dbproxy::wire::postgres;

// Without it there is no answer.
constexpr std::string_view kWho =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('max_connections'),"
    " pg_catalog.current_setting('superuser_reserved_connections'),"
    " pg_catalog.current_setting('reserved_connections', true),"
    " pg_catalog.to_regprocedure('pg_catalog.aurora_replica_status()') IS NOT NULL";
// The others may fail: Aurora does not know the first's functions, some services revoke the second's.
constexpr std::string_view kLag =
    "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() OR pg_catalog.pg_last_wal_receive_lsn()"
    " OPERATOR(pg_catalog.=) pg_catalog.pg_last_wal_replay_lsn() THEN 0 ELSE EXTRACT(EPOCH FROM"
    " pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.pg_last_xact_replay_timestamp()) END";
constexpr std::string_view kIdentity =
    "SELECT system_identifier, timeline_id FROM pg_catalog.pg_control_system(), pg_catalog.pg_control_checkpoint()";
// Of what it writes now. The last checkpoint's may be older: the one of a promotion can take minutes.
constexpr std::string_view kTimeline =
    "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN"
    " pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8) END";
// All members of a cluster have the same system_identifier, and not every service lets it be asked for. When the server
// began, to the microsecond, is its own, and anybody may ask.
constexpr std::string_view kStart =
    "SELECT pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())::pg_catalog.int8,"
    " pg_catalog.to_char(pg_catalog.pg_postmaster_start_time(), 'US')";
constexpr std::string_view kMembers =
    "SELECT server_id, session_id OPERATOR(pg_catalog.=) 'MASTER_SESSION_ID', EXTRACT(EPOCH FROM"
    " pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) last_update_timestamp),"
    " replica_lag_in_msec OPERATOR(pg_catalog./) 1000 FROM pg_catalog.aurora_replica_status()";

// Any user sees whose sessions there are. Names in hexadecimal: nothing in them can be read as SQL. What kind of
// process it is, and since when it is there, is shown of the user's own sessions, and to some users of all: of the
// others those with a user and a database count, which few are that take no connection. Sidecars tell of theirs within
// a second or two: until then a session of their users is nobody else's.
std::string strangers_sql(const SessionQuestion& sessions) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string of_users = "usename OPERATOR(pg_catalog.=) ANY (ARRAY[";
  for (const std::string& user : sessions.users) {
    if (&user != &sessions.users.front()) of_users += ',';
    of_users += "pg_catalog.convert_from(pg_catalog.decode('";
    for (const char c : user) {
      of_users += kHex[static_cast<unsigned char>(c) >> 4];
      of_users += kHex[c & 15];
    }
    of_users += "', 'hex'), 'UTF8')";
  }
  of_users += "])";
  std::string out =
      "SELECT pg_catalog.count(*) FILTER (WHERE application_name OPERATOR(pg_catalog.<>) 'dbproxy-monitor' AND " +
      of_users + "), pg_catalog.count(*) FILTER (WHERE NOT (" + of_users +
      " AND backend_start IS NOT NULL AND backend_start OPERATOR(pg_catalog.>) (pg_catalog.clock_timestamp()"
      " OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs => 2)))) FROM pg_catalog.pg_stat_activity"
      " WHERE usesysid IS NOT NULL AND datid IS NOT NULL"
      " AND (backend_type IS NULL OR backend_type OPERATOR(pg_catalog.=) 'client backend')"
      " AND pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND pid OPERATOR(pg_catalog.<>) ALL ('{";
  for (const std::uint32_t id : sessions.known) {
    if (out.back() != '{') out += ',';
    out += std::to_string(id);
  }
  return out + "}'::pg_catalog.int4[])";
}

// Of those of other users it is not said since when they are there.
std::string sought_sql(const SessionQuestion& sessions) {
  std::string out =
      "SELECT pid FROM pg_catalog.pg_stat_activity WHERE (backend_start IS NULL OR backend_start"
      " OPERATOR(pg_catalog.<=) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.make_interval(secs "
      "=> " +
      std::to_string(sessions.older_than) + "))) AND pid OPERATOR(pg_catalog.=) ANY ('{";
  for (const SoughtSession& each : sessions.sought) {
    if (out.back() != '{') out += ',';
    out += std::to_string(each.id);
  }
  return out + "}'::pg_catalog.int4[])";
}

constexpr std::size_t kMaxAnswer = 64 * 1024;
constexpr std::size_t kMaxRows = 128;

using Row = std::vector<std::string>;  // NULL is empty
using Rows = std::vector<Row>;

bool read_row(std::string_view body, Row& row) {
  wire::Reader reader(body);
  const std::uint16_t columns = reader.u16();
  for (std::uint16_t i = 0; i < columns && reader.ok(); ++i) {
    const std::uint32_t length = reader.u32();
    row.emplace_back(length == 0xffffffff ? std::string_view{} : reader.bytes(length));
  }
  return reader.ok();
}

std::uint32_t to_number(const std::string& text) {
  std::uint32_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

double to_seconds(const std::string& text) {
  return std::max(0.0, std::strtod(text.c_str(), nullptr));
}

}  // namespace

class ProbeSession::Connection : ProbeConnection {
 public:
  Connection(const ProbeAddress& address, ScramKeyCache& keys, std::chrono::milliseconds timeout)
      : ProbeConnection(address.host, address.tls, timeout, address.policy), address_(address), keys_(keys) {}
  ~Connection() {
    if (!usable_) return;
    connection_.set_timeout(std::chrono::milliseconds(0));
    std::string bye;
    wire::terminate(bye);
    connection_.send(bye);
  }

  // Logged in, and every question so far was answered.
  bool usable() const { return usable_; }

  ProbeOutcome begin(const SessionQuestion& sessions) {
    if (!connection_.connect(address_.host, address_.port)) return connection_failed(), outcome_;
    LoginOptions options;
    options.user = address_.user;
    options.database = address_.database;
    options.parameters = {{"application_name", "dbproxy-monitor"}, {"client_encoding", "UTF8"}};
    options.password = address_.password;
    options.token = address_.token;
    options.tls = address_.tls.mode;
    options.ca_owner = address_.tls.ca_owner;
    options.direct_tls = address_.tls.direct;
    options.unix_socket = !address_.host.empty() && address_.host[0] == '/';
    Login login(std::move(options));
    const bool in = log_in(login, [&](Want want, std::string& out) {
      if (want == Want::kStartTls) return login.tls_established(out, connection_.end_point());
      const auto& challenge = login.scram_challenge();
      return login.keys_derived(keys_.keys(address_.user, address_.password, challenge.salt, challenge.iterations),
                                out);
    });
    if (!in) return outcome_;
    for (const auto& [name, value] : login.parameters())
      if (name == "server_version") outcome_.server_version = value;
    return ask(sessions);
  }

  ProbeOutcome again(std::chrono::milliseconds timeout, const SessionQuestion& sessions) {
    connection_.set_timeout(timeout);
    return ask(sessions);
  }

 private:
  ProbeOutcome ask(const SessionQuestion& sessions) {
    usable_ = false;
    outcome_.ok = false;
    outcome_.reason = config::HealthReason::kNone;
    outcome_.detail.clear();
    outcome_.sqlstate.clear();
    outcome_.strangers.reset();
    outcome_.others.reset();
    outcome_.found.reset();
    usable_ = outcome_.ok = who() && (!tells_of_members_ || members()) &&
                            (sessions.users.empty() || strangers(sessions)) &&
                            (sessions.sought.empty() || sought(sessions));
    return outcome_;
  }

  // All questions in one packet; each is a transaction of its own, so that one may fail.
  bool who() {
    std::string out;
    for (const std::string_view question : {kWho, kLag, kIdentity, kTimeline, kStart}) wire::query(out, question);
    if (!connection_.send(out)) return connection_failed();
    std::array<Rows, 5> answers;
    for (Rows& rows : answers)
      if (!answer(rows)) return false;
    const auto& [said, lag, identity, timeline, start] = answers;
    if (said.size() != 1 || said[0].size() != 5) {
      return failed("the server did not say who it is: " + refusal_);
    }
    outcome_.in_recovery = said[0][0] == "t";
    outcome_.max_connections = to_number(said[0][1]);
    outcome_.reserved = to_number(said[0][2]) + to_number(said[0][3]);
    tells_of_members_ = said[0][4] == "t" || !address_.topology_query.empty();
    if (lag.size() == 1 && !lag[0].empty()) outcome_.lag_seconds = to_seconds(lag[0][0]);
    if (identity.size() == 1 && identity[0].size() == 2) {
      outcome_.system_identifier = identity[0][0];
      outcome_.timeline = to_number(identity[0][1]);
    }
    if (timeline.size() == 1 && timeline[0].size() == 1 && !timeline[0][0].empty()) {
      std::from_chars(timeline[0][0].data(), timeline[0][0].data() + timeline[0][0].size(), outcome_.timeline, 16);
    }
    outcome_.server.clear();
    if (start.size() == 1 && start[0].size() == 2 && !start[0][0].empty()) {
      outcome_.server = outcome_.system_identifier + '/' + start[0][0] + '.' + start[0][1];
    }
    outcome_.sqlstate.clear();
    return true;
  }

  bool members() {
    std::string out;
    wire::query(out, address_.topology_query.empty() ? kMembers : std::string_view(address_.topology_query));
    if (!connection_.send(out)) return connection_failed();
    Rows rows;
    if (!answer(rows)) return false;
    outcome_.members.clear();
    if (!outcome_.sqlstate.empty()) {
      outcome_.detail = "it did not say who is in the cluster: " + refusal_;
      return true;
    }
    for (const Row& row : rows) {
      if (row.size() < 4) {
        outcome_.detail = "topologyQuery has to return id, writer, age and lag";
        return true;
      }
      if (row[0].empty() || row[0].size() > 63) continue;
      outcome_.members.push_back({row[0], row[1] == "t", to_seconds(row[2]), to_seconds(row[3])});
    }
    return true;
  }

  bool strangers(const SessionQuestion& sessions) {
    std::string out;
    wire::query(out, strangers_sql(sessions));
    if (!connection_.send(out)) return connection_failed();
    Rows rows;
    if (!answer(rows)) return false;
    if (rows.size() == 1 && rows[0].size() == 2) {
      outcome_.strangers = to_number(rows[0][0]);
      outcome_.others = to_number(rows[0][1]);
    }
    outcome_.sqlstate.clear();
    return true;
  }

  bool sought(const SessionQuestion& sessions) {
    std::string out;
    wire::query(out, sought_sql(sessions));
    if (!connection_.send(out)) return connection_failed();
    Rows rows;
    if (!answer(rows)) return false;
    if (outcome_.sqlstate.empty()) {
      outcome_.found.emplace();
      for (const Row& row : rows)
        if (row.size() == 1) outcome_.found->push_back(to_number(row[0]));
    }
    outcome_.sqlstate.clear();
    return true;
  }

  // Up to ReadyForQuery. An ErrorResponse leaves no row, unless the session ends with it.
  bool answer(Rows& rows) {
    for (;;) {
      const wire::Frame frame = wire::scan_frame(input_);
      if (frame.scan == wire::Scan::kBad || frame.size > kMaxAnswer) return failed("the server's answer is malformed");
      if (frame.scan == wire::Scan::kNeedMore || frame.size > input_.size()) {
        if (!connection_.receive(input_)) {
          connection_failed();
          if (!refusal_.empty()) outcome_.detail = refusal_;
          return false;
        }
        continue;
      }
      const std::string_view body = std::string_view(input_).substr(wire::kHeaderSize, frame.size - wire::kHeaderSize);
      if (frame.type == 'D') {
        Row row;
        if (!read_row(body, row) || rows.size() >= kMaxRows) return failed("the server's answer is malformed");
        rows.push_back(std::move(row));
      } else if (frame.type == 'E') {
        const wire::ErrorFields fields = wire::read_error(body);
        outcome_.sqlstate = fields.sqlstate;
        refusal_ = fields.message;
        rows.clear();
      }
      input_.erase(0, frame.size);
      if (frame.type == 'Z') return true;
    }
  }

  const ProbeAddress& address_;
  ScramKeyCache& keys_;
  bool tells_of_members_ = false;
  bool usable_ = false;
};

ProbeSession::ProbeSession(ProbeAddress address, ScramKeyCache& keys) : address_(std::move(address)), keys_(keys) {}

ProbeSession::~ProbeSession() = default;

ProbeOutcome ProbeSession::ask(std::chrono::milliseconds timeout, std::chrono::milliseconds reply,
                               const SessionQuestion& sessions) {
  const auto began = std::chrono::steady_clock::now();
  if (connection_) {
    ProbeOutcome outcome = connection_->again(std::min(timeout, reply), sessions);
    if (connection_->usable()) return outcome;
    connection_.reset();
    // One that does not answer is not asked once more; one that has ended may be there again.
    if (outcome.reason == config::HealthReason::kUnreachable) return outcome;
  }
  const auto spent = std::chrono::ceil<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  connection_ = std::make_unique<Connection>(address_, keys_, timeout - std::min(timeout, spent));
  ProbeOutcome outcome = connection_->begin(sessions);
  if (!connection_->usable()) connection_.reset();
  return outcome;
}

}  // namespace dbproxy::backend
