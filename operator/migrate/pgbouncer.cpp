#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "operator/migrate/migrate.hpp"
#include "operator/migrate/writer.hpp"

namespace dbproxy::migrate {
namespace {

constexpr std::size_t kMostBytes = std::size_t{4} << 20;

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

using Values = std::map<std::string, std::string, std::less<>>;

struct Ini {
  std::vector<std::pair<std::string, std::string>> databases;  // name → its connection string
  std::vector<std::string> users;
  Values settings;
};

Ini read(std::string_view text, std::string& error) {
  Ini out;
  std::string section;
  std::size_t line_number = 0;
  while (!text.empty() && error.empty()) {
    ++line_number;
    const auto end = text.find('\n');
    const auto line = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty() || line.front() == ';' || line.front() == '#' || line.starts_with("%include")) continue;
    if (line.front() == '[' && line.back() == ']') {
      section = line.substr(1, line.size() - 2);
      continue;
    }
    const auto equals = line.find('=');
    if (equals == std::string_view::npos || section.empty()) {
      error = "line " + std::to_string(line_number) + ": neither a section nor KEY = VALUE below one";
      return out;
    }
    std::string name(trimmed(line.substr(0, equals)));
    std::string value(trimmed(line.substr(equals + 1)));
    if (name.size() > 1 && name.front() == '"' && name.back() == '"') name = name.substr(1, name.size() - 2);
    if (section == "databases") out.databases.emplace_back(name, value);
    if (section == "users") out.users.push_back(name);
    if (section == "pgbouncer") out.settings[name] = value;
  }
  return out;
}

// host=… port=… dbname='a b': single quotes, doubled inside.
Values connection_values(std::string_view text) {
  Values out;
  while (!(text = trimmed(text)).empty()) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) break;
    const std::string name(trimmed(text.substr(0, equals)));
    text = trimmed(text.substr(equals + 1));
    std::string value;
    if (!text.empty() && text.front() == '\'') {
      std::size_t at = 1;
      for (; at < text.size(); ++at) {
        if (text[at] == '\'' && (at + 1 >= text.size() || text[at + 1] != '\'')) break;
        if (text[at] == '\'') ++at;
        value += text[at];
      }
      text.remove_prefix(std::min(text.size(), at + 1));
    } else {
      const auto end = std::min(text.find(' '), text.size());
      value = text.substr(0, end);
      text.remove_prefix(end);
    }
    out[name] = value;
  }
  return out;
}

std::optional<double> number(const Values& values, std::string_view name) {
  const auto it = values.find(name);
  if (it == values.end()) return std::nullopt;
  double out = 0;
  const auto* end = it->second.data() + it->second.size();
  const auto [at, failed] = std::from_chars(it->second.data(), end, out);
  if (failed != std::errc() || at != end || out < 0) return std::nullopt;
  return out;
}

std::string value_or(const Values& values, std::string_view name, std::string_view otherwise) {
  const auto it = values.find(name);
  return std::string(it == values.end() ? otherwise : std::string_view(it->second));
}

// A server, and what of [databases] goes there.
struct Server {
  std::string host;
  int port = 5432;
  std::vector<std::string> databases, renamed;
  std::set<std::string> users;
  std::string init_query;
};

class Proxy {
 public:
  Proxy(const Ini& ini, const Server& server, const Options& options, Result& result)
      : ini_(ini), server_(server), options_(options), result_(result) {}

  std::string write(const std::string& name, int port) {
    name_ = name;
    remarks();
    writer_.begin("DBProxy", name_, options_.name_space);
    writer_.key("spec");
    auto& out = writer_.out();
    out << YAML::BeginMap;
    writer_.field("engineFamily", "POSTGRESQL");
    if (port != 5432) writer_.field("port", port);
    const auto client_tls = value_or(ini_.settings, "client_tls_sslmode", "disable");
    const bool require_tls = client_tls == "require" || client_tls.starts_with("verify");
    const bool plain = value_or(ini_.settings, "server_tls_sslmode", "prefer") == "disable" && !is_socket();
    if (require_tls && plain) {
      writer_.remark("requireTLS is off: with server_tls_sslmode = disable the way on would be less encrypted.");
    }
    writer_.field("requireTLS", require_tls && !plain);
    seconds("client_idle_timeout", "idleClientTimeoutSeconds", 1, 28800);
    auth();
    writer_.key("targetGroups");
    out << YAML::BeginSeq << YAML::BeginMap;
    writer_.field("name", "default");
    cluster();
    pool();
    out << YAML::EndMap << YAML::EndSeq;
    limits();
    out << YAML::EndMap;
    return writer_.finish() + secrets();
  }

 private:
  bool is_socket() const { return server_.host.starts_with('/'); }
  void to_do(const std::string& what) { result_.to_do.push_back(name_ + ": " + what); }

  void remarks() {
    std::string databases;
    for (const auto& each : server_.databases) databases += (databases.empty() ? "" : ", ") + each;
    writer_.remark("From pgbouncer.ini: " + databases +
                   ". Any database of the server can be asked for by its own name.");
    for (const auto& each : server_.renamed) {
      writer_.remark(each + ": clients have to ask for the database by its own name.");
    }
    if (const auto mode = value_or(ini_.settings, "pool_mode", "session"); mode != "transaction") {
      writer_.remark("pool_mode = " + mode + ": transaction pooling here; what a session keeps is kept for it.");
    }
    for (const auto& [key, value] : ini_.settings) {
      const auto known = std::find_if(pgbouncer_keys().begin(), pgbouncer_keys().end(),
                                      [&key = key](const PgBouncerKey& each) { return each.name == key; });
      if (known == pgbouncer_keys().end()) writer_.remark(key + ": has no equal.");
    }
  }

  // Seconds of theirs, 0 for never, in a field of ours.
  void seconds(const char* theirs, const char* ours, double low, double high) {
    const auto found = number(ini_.settings, theirs);
    if (!found) return;
    if (*found == 0 || *found > high) {
      writer_.remark(std::string(theirs) + " = " + value_or(ini_.settings, theirs, "") + ": at most " +
                     std::to_string(static_cast<int>(high)) + " s here.");
    }
    writer_.field(ours, static_cast<int>(*found == 0 ? high : std::clamp(*found, low, high)));
  }

  void auth() {
    auto& out = writer_.out();
    const auto type = value_or(ini_.settings, "auth_type", "md5");
    users_.assign(server_.users.begin(), server_.users.end());
    for (const auto& user : ini_.users) {
      if (server_.users.count(user) == 0) users_.push_back(user);
    }
    if (users_.empty()) users_.emplace_back("replace-me");
    if (type != "scram-sha-256" && type != "md5" && type != "plain") {
      writer_.remark("auth_type = " + type + ": clients show a password here, by SCRAM-SHA-256 or MD5.");
    }
    if (ini_.settings.count("auth_query") != 0) {
      writer_.remark("auth_query: users and passwords are in Secrets here, so that log-in needs no database.");
    }
    writer_.key("auth");
    out << YAML::BeginSeq;
    for (const auto& user : users_) {
      out << YAML::BeginMap;
      writer_.key("secretRef");
      out << YAML::BeginMap;
      writer_.field("name", secret_name(user));
      out << YAML::EndMap;
      writer_.field("clientPasswordAuthType", type == "md5" ? "POSTGRES_MD5" : "POSTGRES_SCRAM_SHA_256");
      out << YAML::EndMap;
    }
    out << YAML::EndSeq;
    to_do("auth: put users and passwords (auth_file) into the Secrets, where REPLACE-ME stands");
  }

  std::string secret_name(const std::string& user) const { return object_name(name_ + "-" + user); }

  void cluster() {
    auto& out = writer_.out();
    writer_.key("dbCluster");
    out << YAML::BeginMap;
    writer_.field("endpoint", server_.host);
    writer_.field("port", server_.port);
    if (is_socket()) {
      writer_.remark("A Unix socket of the database is for --manifests only: on Kubernetes, give a host name.");
      writer_.key("tls");
      out << YAML::BeginMap;
      writer_.field("mode", "require");  // a socket counts as safe
      out << YAML::EndMap;
    } else {
      const auto mode = value_or(ini_.settings, "server_tls_sslmode", "prefer");
      const bool verifies = mode == "verify-full" || mode == "verify-ca";
      writer_.key("tls");
      out << YAML::BeginMap;
      if (mode == "disable" || mode == "require" || verifies) {
        writer_.field("mode", mode);
      } else {
        writer_.field("mode", "require");
        writer_.remark("server_tls_sslmode = " + mode + ": require here, since nothing falls back to plain text.");
      }
      if (verifies) {
        writer_.key("caRef");
        out << YAML::BeginMap;
        writer_.field("name", "database-ca");
        out << YAML::EndMap;
        to_do("tls: make the ConfigMap database-ca with the CA (server_tls_ca_file) under the key ca.pem");
      }
      out << YAML::EndMap;
    }
    out << YAML::EndMap;
  }

  void pool() {
    auto& out = writer_.out();
    writer_.key("connectionPool");
    out << YAML::BeginMap;
    if (const auto most = number(ini_.settings, "max_db_connections"); most && *most > 0) {
      writer_.remark("max_db_connections: a share of the database's max_connections here, maxConnectionsPercent.");
      to_do("connectionPool: set maxConnectionsPercent; max_db_connections was " +
            value_or(ini_.settings, "max_db_connections", ""));
    }
    writer_.field("maxConnectionsPercent", 100);
    seconds("query_wait_timeout", "connectionBorrowTimeoutSeconds", 0, 300);
    if (!server_.init_query.empty()) writer_.field("initQuery", server_.init_query);
    out << YAML::EndMap;
  }

  void limits() {
    auto& out = writer_.out();
    writer_.key("limits");
    out << YAML::BeginMap;
    writer_.field("maxClients",
                  static_cast<int>(std::clamp(number(ini_.settings, "max_client_conn").value_or(100), 1.0, 1e6)));
    for (const auto& [theirs, ours] : {std::pair{"max_user_connections", "maxConnectionsPerUser"}}) {
      if (const auto found = number(ini_.settings, theirs); found && *found > 0) {
        writer_.field(ours, static_cast<int>(std::min(*found, 262143.0)));
      }
    }
    for (const auto& [theirs, ours] :
         {std::pair{"query_timeout", "statementTimeout"}, std::pair{"transaction_timeout", "transactionTimeout"},
          std::pair{"idle_transaction_timeout", "idleInTransactionSessionTimeout"}}) {
      if (const auto found = number(ini_.settings, theirs); found && *found > 0 && *found < 2e6) {
        writer_.field(ours, std::to_string(static_cast<long>(*found * 1000)) + "ms");
      }
    }
    out << YAML::EndMap;
  }

  std::string secrets() const {
    std::string out;
    for (const auto& user : users_) {
      Writer writer;
      writer.begin("Secret", secret_name(user), options_.name_space);
      writer.key("stringData");
      writer.out() << YAML::BeginMap;
      writer.field("username", user);
      writer.field("password", "REPLACE-ME");
      writer.out() << YAML::EndMap;
      out += writer.finish();
    }
    return out;
  }

  const Ini& ini_;
  const Server& server_;
  const Options& options_;
  Result& result_;
  std::string name_;
  std::vector<std::string> users_;
  Writer writer_;
};

std::vector<Server> servers_of(const Ini& ini) {
  std::vector<Server> out;
  for (const auto& [name, text] : ini.databases) {
    const auto values = connection_values(text);
    const auto host = value_or(values, "host", "/var/run/postgresql");
    const auto port = static_cast<int>(std::clamp(number(values, "port").value_or(5432), 1.0, 65535.0));
    auto it = std::find_if(out.begin(), out.end(),
                           [&](const Server& each) { return each.host == host && each.port == port; });
    if (it == out.end()) {
      out.push_back({.host = host, .port = port, .databases = {}, .renamed = {}, .users = {}, .init_query = {}});
      it = std::prev(out.end());
    }
    it->databases.push_back(name);
    if (const auto real = value_or(values, "dbname", name); real != name && name != "*") {
      it->renamed.push_back(name + " is " + real + " on the server");
    }
    if (const auto user = value_or(values, "user", ""); !user.empty()) it->users.insert(user);
    if (const auto query = value_or(values, "connect_query", ""); !query.empty()) it->init_query = query;
  }
  return out;
}

}  // namespace

Result from_pgbouncer(const Document& document, const Options& options) {
  Result result;
  if (document.text.size() > kMostBytes) {
    result.error = document.name + " is larger than 4 MiB";
    return result;
  }
  const auto ini = read(document.text, result.error);
  if (!result.error.empty()) {
    result.error = document.name + ": " + result.error;
    return result;
  }
  const auto servers = servers_of(ini);
  if (servers.empty()) {
    result.error = document.name + " has no [databases]: there is nothing to connect to";
    return result;
  }
  int port = static_cast<int>(std::clamp(number(ini.settings, "listen_port").value_or(6432), 1.0, 65000.0));
  std::set<std::string> names;
  for (const auto& server : servers) {
    auto name = object_name(server.databases.front() == "*" ? "default" : server.databases.front());
    for (int other = 2; !names.insert(name).second; ++other) {
      name = object_name(server.databases.front()).substr(0, 59) + "-" + std::to_string(other);
    }
    Proxy proxy(ini, server, options, result);
    result.manifests += proxy.write(name, port++);
  }
  return result;
}

}  // namespace dbproxy::migrate
