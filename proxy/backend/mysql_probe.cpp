#include "proxy/backend/mysql_probe.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

#include "proxy/backend/mysql_login.hpp"
#include "proxy/backend/probe_connection.hpp"
#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/reader.hpp"
#include "proxy/wire/mysql/result_scanner.hpp"

namespace dbproxy::backend::mysql {
namespace {

namespace wire = dbproxy::wire::mysql;

// Without it there is no answer. super_read_only implies read_only.
constexpr std::string_view kWho =
    "SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only, @@GLOBAL.max_connections, @@GLOBAL.version";
// These may fail: they want a privilege that few have; each server knows one of the two, or both.
constexpr std::array<std::string_view, 2> kLag = {"SHOW REPLICA STATUS", "SHOW SLAVE STATUS"};
constexpr std::array<std::string_view, 2> kLagColumns = {"Seconds_Behind_Source", "Seconds_Behind_Master"};

// Who it is. Which of the two Aurora is: no other server knows aurora_server_id. What calls itself by a number of its
// own may be a copy with all that was in the data directory: its host and port are not.
constexpr std::string_view kNames =
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
    " ('server_uuid', 'server_uid', 'hostname', 'port', 'aurora_server_id')";
constexpr std::array<std::string_view, 4> kOfAllServers = {"server_uuid", "server_uid", "hostname", "port"};
// Of all users: what is held against max_connections.
constexpr std::string_view kConnected = "SHOW GLOBAL STATUS LIKE 'Threads_connected'";
// Whether the times are UTC or the session's is not documented: a zone's distance makes no news old, nor of the future.
constexpr std::string_view kMembers =
    "SELECT server_id, session_id = 'MASTER_SESSION_ID',"
    " LEAST(ABS(TIMESTAMPDIFF(MICROSECOND, last_update_timestamp, NOW(6))),"
    " ABS(TIMESTAMPDIFF(MICROSECOND, last_update_timestamp, UTC_TIMESTAMP(6)))) / 1000000,"
    " replica_lag_in_milliseconds / 1000 FROM information_schema.replica_host_status";

constexpr std::size_t kMaxAnswer = 256 * 1024;
constexpr std::size_t kMaxRows = 128;

using Row = std::vector<std::optional<std::string>>;

struct Table {
  std::vector<std::string> names;
  std::vector<Row> rows;
  bool refused = false;
  // Of the one row that there is to be.
  const Row& row() const {
    static const Row kNone;
    return rows.empty() ? kNone : rows.back();
  }
};

double to_seconds(const std::optional<std::string>& text) {
  return text ? std::max(0.0, std::strtod(text->c_str(), nullptr)) : 0;
}

class Probe : ProbeConnection {
 public:
  Probe(const std::string& host, const config::ServerTls& tls, std::chrono::milliseconds timeout,
        const config::EndpointPolicy& policy)
      : ProbeConnection(host, tls, timeout, policy) {}

  Outcome run(std::uint16_t port, LoginOptions options, const SessionQuestion& sessions,
              const std::string& topology_query) {
    const bool sees_them = sessions.users == std::vector<std::string>{options.user};
    Outcome out;
    Login login(std::move(options));
    outcome_.ok = (connection_.connect(host_, port, "mysqld.sock") || connection_failed()) &&
                  log_in(login, [&](Want, std::string& to_server) { return login.tls_established(to_server); });
    if (outcome_.ok) {
      capabilities_ = login.capabilities();
      out.greeting = login.greeting();
      outcome_.ok = ask() && names() && members(topology_query) && (!sees_them || strangers(sessions)) &&
                    (sessions.users.empty() || others(sessions)) &&
                    (sessions.sought.empty() || sought(sessions.sought));
    }
    out.base = outcome_;
    if (!outcome_.ok) return out;
    std::string bye;
    wire::command(bye, wire::Command::kQuit);
    connection_.send(bye);
    return out;
  }

 private:
  // One after the other: not every server takes a question before it has answered the one before.
  bool ask() {
    Table who;
    if (!question(kWho, who)) return false;
    const Row& said = who.row();
    if (said.size() != 4) return failed("the server did not say who it is: " + refusal_);
    outcome_.in_recovery = is_on(said[0]) || is_on(said[1]);
    outcome_.max_connections = number(said[2].value_or(""));
    outcome_.server_version = said[3].value_or("");
    if (!outcome_.in_recovery) return true;
    for (const std::string_view sql : kLag) {
      Table lag;
      if (!question(sql, lag)) return false;
      const Row& told = lag.row();
      for (std::size_t i = 0; i < told.size() && i < lag.names.size(); ++i)
        if (std::find(kLagColumns.begin(), kLagColumns.end(), lag.names[i]) != kLagColumns.end() && told[i])
          outcome_.lag_seconds = to_seconds(told[i]);
      if (!lag.rows.empty()) break;
    }
    outcome_.sqlstate.clear();
    return true;
  }

  bool names() {
    Table table;
    if (!question(kNames, table)) return false;
    outcome_.sqlstate.clear();
    std::map<std::string, std::string> names;
    for (const Row& row : table.rows) {
      if (row.size() == 2 && row[0]) names[*row[0]] = row[1].value_or("");
    }
    is_aurora_ = std::any_of(names.begin(), names.end(), [](const auto& each) {
      return std::find(kOfAllServers.begin(), kOfAllServers.end(), each.first) == kOfAllServers.end();
    });
    if (names["server_uuid"].empty() && names["server_uid"].empty()) return true;
    for (const auto& [name, value] : names) outcome_.server += value + '/';
    return true;
  }

  bool members(const std::string& topology_query) {
    std::string_view sql = topology_query;
    if (sql.empty()) {
      if (!is_aurora_) return true;
      sql = kMembers;
    }
    Table table;
    if (!question(sql, table)) return false;
    outcome_.sqlstate.clear();
    if (table.refused) outcome_.detail = "it did not say who is in the cluster: " + refusal_;
    for (const Row& row : table.rows) {
      if (row.size() < 4) {
        outcome_.detail = "topologyQuery has to return id, writer, age and lag";
        break;
      }
      const std::string id = row[0].value_or("");
      if (id.empty() || id.size() > 63) continue;
      outcome_.members.push_back({id, row[1].value_or("0") != "0", to_seconds(row[2]), to_seconds(row[3])});
    }
    return true;
  }

  bool strangers(const SessionQuestion& sessions) {
    std::string sql =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = SUBSTRING_INDEX(USER(), '@', 1)"
        " AND ID NOT IN (CONNECTION_ID()";
    for (const std::uint32_t id : sessions.known) sql += ", " + std::to_string(id);
    Table count;
    if (!question(sql + ")", count)) return false;
    if (const Row& row = count.row(); row.size() == 1 && row[0]) outcome_.strangers = number(*row[0]);
    outcome_.sqlstate.clear();
    return true;
  }

  bool others(const SessionQuestion& sessions) {
    Table count;
    if (!question(kConnected, count)) return false;
    outcome_.sqlstate.clear();
    if (count.row().size() != 2 || !count.row()[1]) return true;
    const std::uint32_t all = number(*count.row()[1]);
    const auto known = static_cast<std::uint32_t>(sessions.known.size()) + 1;  // this one is, too
    outcome_.others = all - std::min(all, known);
    return true;
  }

  // Each by itself: what a list of them would be put together by is of limited length. The server runs on what a
  // session had begun when its client went, so those are ended; but for one that might be another's, after a restart.
  bool sought(const std::vector<SoughtSession>& sessions) {
    outcome_.found.emplace();
    for (const SoughtSession& each : sessions) {
      const std::string id = std::to_string(each.id);
      Table from;
      if (!question("SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = " + id, from)) return false;
      if (!outcome_.sqlstate.empty()) {
        outcome_.found.reset();
        outcome_.sqlstate.clear();
        return true;
      }
      if (from.row().size() != 1) continue;
      outcome_.found->push_back(each.id);
      if (each.port == 0 || !from.row()[0].value_or("").ends_with(":" + std::to_string(each.port))) continue;
      Table killed;
      if (!question("KILL " + id, killed)) return false;
      outcome_.sqlstate.clear();  // by then it may have ended
    }
    return true;
  }

  static std::uint32_t number(const std::string& text) {
    std::uint32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }

  // An ERR leaves no row.
  bool question(std::string_view sql, Table& table) {
    std::string out;
    wire::query(out, capabilities_, sql);
    if (!connection_.send(out)) return connection_failed();
    wire::ResultScanner scanner(wire::Answer::kResults, capabilities_);
    std::size_t taken = 0;
    while (!scanner.done()) {
      const wire::Frame frame = wire::scan_frame(input_);
      if (frame.known && (taken + frame.size() > kMaxAnswer || frame.continued()))
        return failed("the server's answer is too long");
      if (!frame.known || frame.size() > input_.size()) {
        if (!connection_.receive(input_)) return connection_failed();
        continue;
      }
      const std::string_view payload = std::string_view(input_).substr(wire::kHeaderSize, frame.length);
      if (!packet(scanner.take(frame, payload), payload, table)) return failed("the server's answer is malformed");
      taken += frame.size();
      input_.erase(0, frame.size());
    }
    return true;
  }

  bool packet(wire::PacketKind kind, std::string_view payload, Table& table) {
    wire::Reader reader(payload);
    switch (kind) {
      case wire::PacketKind::kColumn:
        for (int before = 0; before < 4; ++before) reader.lenenc_bytes();  // catalogue, schema, table twice
        table.names.emplace_back(reader.lenenc_bytes());
        return reader.ok();
      case wire::PacketKind::kRow:
        if (table.rows.size() >= kMaxRows) return false;
        table.rows.emplace_back();
        while (!reader.rest().empty() && reader.ok()) table.rows.back().emplace_back(reader.nullable_bytes());
        return reader.ok();
      case wire::PacketKind::kError: {
        wire::Error error;
        if (!wire::read_error(payload, error)) return false;
        outcome_.sqlstate = error.sqlstate;
        refusal_ = error.message;
        table.rows.clear();
        table.refused = true;
        return true;
      }
      case wire::PacketKind::kBroken:
      case wire::PacketKind::kLocalInfile:
        return false;
      default:
        return true;
    }
  }

  std::uint32_t capabilities_ = 0;
  bool is_aurora_ = false;
};

}  // namespace

bool is_on(const std::optional<std::string>& value) {
  return value && *value != "0" && *value != "OFF";
}

Outcome probe(const std::string& host, std::uint16_t port, const config::ServerTls& tls, const std::string& user,
              const Secret& password, std::chrono::milliseconds timeout, const config::EndpointPolicy& policy,
              bool token, const SessionQuestion& sessions, const std::string& topology_query) {
  LoginOptions options;
  options.user = user;
  options.password = password;
  options.clear_password = token;
  options.attributes = {{"program_name", "dbproxy-monitor"}};
  options.tls = tls.mode;
  options.unix_socket = !host.empty() && host[0] == '/';
  return Probe(host, tls, timeout, policy).run(port, std::move(options), sessions, topology_query);
}

}  // namespace dbproxy::backend::mysql
