#include "proxy/backend/probe.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <vector>

#include "proxy/backend/blocking_connection.hpp"
#include "proxy/backend/postgres_login.hpp"
#include "proxy/wire/postgres/frame.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::backend {
namespace {

namespace wire = dbproxy::wire::postgres;

// Without it there is no answer.
constexpr std::string_view kWho =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('max_connections'),"
    " pg_catalog.current_setting('superuser_reserved_connections'),"
    " pg_catalog.current_setting('reserved_connections', true)";
// These may fail: Aurora does not know the first's functions, some services revoke the second's.
constexpr std::string_view kLag =
    "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() OR pg_catalog.pg_last_wal_receive_lsn()"
    " OPERATOR(pg_catalog.=) pg_catalog.pg_last_wal_replay_lsn() THEN 0 ELSE EXTRACT(EPOCH FROM"
    " pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.pg_last_xact_replay_timestamp()) END";
constexpr std::string_view kIdentity = "SELECT system_identifier FROM pg_catalog.pg_control_system()";

constexpr std::size_t kMaxAnswer = 64 * 1024;

using Row = std::vector<std::string>;  // NULL is empty

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

class Probe {
 public:
  Probe(const std::string& host, const config::ServerTls& tls, const Secret& password, ScramKeyCache& keys,
        std::chrono::milliseconds timeout)
      : host_(host), tls_(tls), password_(password), keys_(keys), connection_(timeout) {}

  ProbeOutcome run(std::uint16_t port, LoginOptions options) {
    if (!connection_.connect(host_, port)) return connection_failed();
    const std::string user = options.user;
    Login login(std::move(options));
    if (!log_in(login, user)) return outcome_;
    for (const auto& [name, value] : login.parameters())
      if (name == "server_version") outcome_.server_version = value;
    if (ask()) {
      outcome_.ok = true;
      std::string bye;
      wire::terminate(bye);
      connection_.send(bye);
    }
    return outcome_;
  }

 private:
  ProbeOutcome connection_failed() {
    outcome_.reason =
        connection_.unreachable() ? config::HealthReason::kUnreachable : config::HealthReason::kConnectionFailed;
    outcome_.detail = connection_.error();
    return outcome_;
  }
  bool failed(std::string detail) {
    outcome_.reason = config::HealthReason::kConnectionFailed;
    outcome_.detail = std::move(detail);
    return false;
  }

  bool log_in(Login& login, const std::string& user) {
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
          want = login.tls_established(out, connection_.end_point());
          break;
        case Want::kDeriveKeys: {
          const auto& challenge = login.scram_challenge();
          want = login.keys_derived(keys_.keys(user, password_, challenge.salt, challenge.iterations), out);
          break;
        }
        case Want::kDone:
          return true;
        case Want::kFailed:
          failed(login.failure().message);
          outcome_.sqlstate = login.failure().sqlstate;
          if (login.failure().is_auth_failure()) outcome_.reason = config::HealthReason::kAuthFailure;
          return false;
      }
    }
  }

  // All questions in one packet; each is a transaction of its own, so that one may fail.
  bool ask() {
    std::string out;
    for (const std::string_view question : {kWho, kLag, kIdentity}) wire::query(out, question);
    if (!connection_.send(out)) return connection_failed(), false;
    std::array<Row, 3> rows;
    for (Row& row : rows)
      if (!answer(row)) return false;
    const Row& who = rows[0];
    if (who.size() != 4) return failed("the server did not say who it is: " + refusal_);
    outcome_.in_recovery = who[0] == "t";
    outcome_.max_connections = to_number(who[1]);
    outcome_.reserved = to_number(who[2]) + to_number(who[3]);
    if (!rows[1].empty()) outcome_.lag_seconds = std::max(0.0, std::strtod(rows[1][0].c_str(), nullptr));
    if (!rows[2].empty()) outcome_.system_identifier = rows[2][0];
    outcome_.sqlstate.clear();
    return true;
  }

  // Up to ReadyForQuery; the last row is kept. An ErrorResponse leaves no row, unless the session ends with it.
  bool answer(Row& row) {
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
        row.clear();
        if (!read_row(body, row)) return failed("the server's answer is malformed");
      } else if (frame.type == 'E') {
        const wire::ErrorFields fields = wire::read_error(body);
        outcome_.sqlstate = fields.sqlstate;
        refusal_ = fields.message;
        row.clear();
      }
      input_.erase(0, frame.size);
      if (frame.type == 'Z') return true;
    }
  }

  const std::string& host_;
  const config::ServerTls& tls_;
  const Secret& password_;
  ScramKeyCache& keys_;
  BlockingConnection connection_;
  ProbeOutcome outcome_;
  std::string input_;
  std::string refusal_;  // the server's last error, in its words
};

}  // namespace

ProbeOutcome probe(const std::string& host, std::uint16_t port, const config::ServerTls& tls, const std::string& user,
                   const Secret& password, ScramKeyCache& keys, const std::string& database,
                   std::chrono::milliseconds timeout) {
  LoginOptions options;
  options.user = user;
  options.database = database;
  options.parameters = {{"application_name", "dbproxy-monitor"}, {"client_encoding", "UTF8"}};
  options.password = password;
  options.tls = tls.mode;
  options.direct_tls = tls.direct;
  options.unix_socket = !host.empty() && host[0] == '/';
  return Probe(host, tls, password, keys, timeout).run(port, std::move(options));
}

}  // namespace dbproxy::backend
