#include "proxy/backend/login_check.hpp"

#include "proxy/backend/mysql_login.hpp"
#include "proxy/backend/postgres_login.hpp"
#include "proxy/backend/probe_connection.hpp"
#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::backend {
namespace {

constexpr const char* kName = "dbproxy-log-in";

class LoginCheck : ProbeConnection {
 public:
  LoginCheck(const ProbeAddress& address, std::chrono::milliseconds timeout)
      : ProbeConnection(address.host, address.tls, timeout, address.policy), address_(address) {}

  ProbeOutcome postgres() {
    LoginOptions options;
    options.user = address_.user;
    options.database = address_.database;
    options.parameters = {{"application_name", kName}, {"client_encoding", "UTF8"}};
    options.password = address_.password;
    options.token = address_.token;
    options.tls = address_.tls.mode;
    options.ca_owner = address_.tls.ca_owner;
    options.direct_tls = address_.tls.direct;
    options.unix_socket = local();
    Login login(std::move(options));
    std::string bye;
    wire::postgres::terminate(bye);
    return run(login, bye, {}, [&](Want want, std::string& out) {
      if (want == Want::kStartTls) return login.tls_established(out, connection_.end_point());
      const auto& challenge = login.scram_challenge();
      return login.keys_derived(keys_.keys(address_.user, address_.password, challenge.salt, challenge.iterations),
                                out);
    });
  }

  ProbeOutcome mysql() {
    mysql::LoginOptions options;
    options.user = address_.user;
    options.schema = address_.database;
    options.password = address_.password;
    options.clear_password = address_.token;
    options.attributes = {{"program_name", kName}};
    options.tls = address_.tls.mode;
    options.unix_socket = local();
    mysql::Login login(std::move(options));
    std::string bye;
    wire::mysql::command(bye, wire::mysql::Command::kQuit);
    return run(login, bye, "mysqld.sock", [&](mysql::Want, std::string& out) { return login.tls_established(out); });
  }

 private:
  bool local() const { return address_.host.starts_with('/'); }

  template <class Machine, class Step>
  ProbeOutcome run(Machine& login, const std::string& bye, const std::string& socket, Step&& step) {
    outcome_.ok = (connection_.connect(host_, address_.port, socket) || connection_failed()) && log_in(login, step);
    if (outcome_.ok) connection_.send(bye);
    return outcome_;
  }

  const ProbeAddress& address_;
  ScramKeyCache keys_;
};

}  // namespace

ProbeOutcome check_login(config::EngineFamily engine, const ProbeAddress& address, std::chrono::milliseconds timeout) {
  LoginCheck check(address, timeout);
  return engine == config::EngineFamily::kMysql ? check.mysql() : check.postgres();
}

}  // namespace dbproxy::backend
