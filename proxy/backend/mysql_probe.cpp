#include "proxy/backend/mysql_probe.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
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

constexpr std::size_t kMaxAnswer = 256 * 1024;

struct Table {
  std::vector<std::string> names;
  std::vector<std::optional<std::string>> row;  // the last
};

class Probe : ProbeConnection {
 public:
  Probe(const std::string& host, const config::ServerTls& tls, std::chrono::milliseconds timeout,
        const config::EndpointPolicy& policy)
      : ProbeConnection(host, tls, timeout, policy) {}

  Outcome run(std::uint16_t port, LoginOptions options, const SessionQuestion& sessions) {
    const bool sees_them = sessions.users == std::vector<std::string>{options.user};
    Outcome out;
    Login login(std::move(options));
    outcome_.ok = (connection_.connect(host_, port, "mysqld.sock") || connection_failed()) &&
                  log_in(login, [&](Want, std::string& to_server) { return login.tls_established(to_server); });
    if (outcome_.ok) {
      capabilities_ = login.capabilities();
      out.greeting = login.greeting();
      outcome_.ok = ask() && (!sees_them || strangers(sessions));
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
    if (who.row.size() != 4) return failed("the server did not say who it is: " + refusal_);
    outcome_.in_recovery = who.row[0].value_or("0") != "0" || who.row[1].value_or("0") != "0";
    outcome_.max_connections = number(who.row[2].value_or(""));
    outcome_.server_version = who.row[3].value_or("");
    if (!outcome_.in_recovery) return true;
    for (const std::string_view sql : kLag) {
      Table lag;
      if (!question(sql, lag)) return false;
      for (std::size_t i = 0; i < lag.row.size() && i < lag.names.size(); ++i)
        if (std::find(kLagColumns.begin(), kLagColumns.end(), lag.names[i]) != kLagColumns.end() && lag.row[i])
          outcome_.lag_seconds = std::max(0.0, std::strtod(lag.row[i]->c_str(), nullptr));
      if (!lag.row.empty()) break;
    }
    outcome_.sqlstate.clear();
    return true;
  }

  bool strangers(const SessionQuestion& sessions) {
    std::string sql =
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = SUBSTRING_INDEX(USER(), '@', 1)"
        " AND ID NOT IN (CONNECTION_ID()";
    for (const std::uint32_t id : sessions.known) sql += ", " + std::to_string(id);
    Table count;
    if (!question(sql + ")", count)) return false;
    if (count.row.size() == 1 && count.row[0]) outcome_.strangers = number(*count.row[0]);
    outcome_.sqlstate.clear();
    return true;
  }

  static std::uint32_t number(const std::string& text) {
    std::uint32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  }

  // The last row is kept. An ERR leaves none.
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
        table.row.clear();
        while (!reader.rest().empty() && reader.ok()) table.row.emplace_back(reader.nullable_bytes());
        return reader.ok();
      case wire::PacketKind::kError: {
        wire::Error error;
        if (!wire::read_error(payload, error)) return false;
        outcome_.sqlstate = error.sqlstate;
        refusal_ = error.message;
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
};

}  // namespace

Outcome probe(const std::string& host, std::uint16_t port, const config::ServerTls& tls, const std::string& user,
              const Secret& password, std::chrono::milliseconds timeout, const config::EndpointPolicy& policy,
              bool token, const SessionQuestion& sessions) {
  LoginOptions options;
  options.user = user;
  options.password = password;
  options.clear_password = token;
  options.attributes = {{"program_name", "dbproxy-monitor"}};
  options.tls = tls.mode;
  options.unix_socket = !host.empty() && host[0] == '/';
  return Probe(host, tls, timeout, policy).run(port, std::move(options), sessions);
}

}  // namespace dbproxy::backend::mysql
