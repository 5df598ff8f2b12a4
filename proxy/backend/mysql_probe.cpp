#include "proxy/backend/mysql_probe.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <vector>

#include "proxy/backend/blocking_connection.hpp"
#include "proxy/backend/mysql_login.hpp"
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

class Probe {
 public:
  Probe(const std::string& host, const config::ServerTls& tls, std::chrono::milliseconds timeout)
      : host_(host), tls_(tls), connection_(timeout) {}

  Outcome run(std::uint16_t port, LoginOptions options) {
    if (!connection_.connect(host_, port, "mysqld.sock")) return connection_failed();
    Login login(std::move(options));
    if (!log_in(login)) return outcome_;
    capabilities_ = login.capabilities();
    outcome_.greeting = login.greeting();
    if (!ask()) return outcome_;
    outcome_.base.ok = true;
    std::string bye;
    wire::command(bye, wire::Command::kQuit);
    connection_.send(bye);
    return outcome_;
  }

 private:
  Outcome connection_failed() {
    outcome_.base.reason =
        connection_.unreachable() ? config::HealthReason::kUnreachable : config::HealthReason::kConnectionFailed;
    outcome_.base.detail = connection_.error();
    return outcome_;
  }
  bool failed(std::string detail) {
    outcome_.base.reason = config::HealthReason::kConnectionFailed;
    outcome_.base.detail = std::move(detail);
    return false;
  }

  bool log_in(Login& login) {
    std::string out;
    Want want = login.start(out);
    for (;;) {
      if (!out.empty() && !connection_.send(out)) return connection_failed(), false;
      out.clear();
      switch (want) {
        case Want::kRead: {
          std::size_t consumed = 0;
          want = login.feed(input_, consumed, out);
          input_.erase(0, consumed);
          if (want == Want::kRead && out.empty() && !connection_.receive(input_)) return connection_failed(), false;
          break;
        }
        case Want::kStartTls:
          if (!connection_.start_tls(tls_, host_)) return connection_failed(), false;
          want = login.tls_established(out);
          break;
        case Want::kDone:
          return true;
        case Want::kFailed:
          failed(login.failure().message);
          outcome_.base.sqlstate = login.failure().sqlstate;
          if (login.failure().is_auth_failure()) outcome_.base.reason = config::HealthReason::kAuthFailure;
          return false;
      }
    }
  }

  // One after the other: not every server takes a question before it has answered the one before.
  bool ask() {
    Table who;
    if (!question(kWho, who)) return false;
    if (who.row.size() != 4) return failed("the server did not say who it is: " + refusal_);
    outcome_.base.in_recovery = who.row[0].value_or("0") != "0" || who.row[1].value_or("0") != "0";
    outcome_.base.max_connections = number(who.row[2].value_or(""));
    outcome_.base.server_version = who.row[3].value_or("");
    if (!outcome_.base.in_recovery) return true;
    for (const std::string_view sql : kLag) {
      Table lag;
      if (!question(sql, lag)) return false;
      for (std::size_t i = 0; i < lag.row.size() && i < lag.names.size(); ++i)
        if (std::find(kLagColumns.begin(), kLagColumns.end(), lag.names[i]) != kLagColumns.end() && lag.row[i])
          outcome_.base.lag_seconds = std::max(0.0, std::strtod(lag.row[i]->c_str(), nullptr));
      if (!lag.row.empty()) break;
    }
    outcome_.base.sqlstate.clear();
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
    if (!connection_.send(out)) return connection_failed(), false;
    wire::ResultScanner scanner(wire::Answer::kResults, capabilities_);
    std::size_t taken = 0;
    while (!scanner.done()) {
      const wire::Frame frame = wire::scan_frame(input_);
      if (frame.known && (taken + frame.size() > kMaxAnswer || frame.continued()))
        return failed("the server's answer is too long");
      if (!frame.known || frame.size() > input_.size()) {
        if (!connection_.receive(input_)) return connection_failed(), false;
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
        outcome_.base.sqlstate = error.sqlstate;
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

  const std::string& host_;
  const config::ServerTls& tls_;
  BlockingConnection connection_;
  std::uint32_t capabilities_ = 0;
  Outcome outcome_;
  std::string input_;
  std::string refusal_;  // the server's last error, in its words
};

}  // namespace

Outcome probe(const std::string& host, std::uint16_t port, const config::ServerTls& tls, const std::string& user,
              const Secret& password, std::chrono::milliseconds timeout) {
  LoginOptions options;
  options.user = user;
  options.password = password;
  options.attributes = {{"program_name", "dbproxy-monitor"}};
  options.tls = tls.mode;
  options.unix_socket = !host.empty() && host[0] == '/';
  return Probe(host, tls, timeout).run(port, std::move(options));
}

}  // namespace dbproxy::backend::mysql
