#include "proxy/worker/postgres/client_side.hpp"

#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/session/postgres/start_settings.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {

using session::postgres::PinReason;

namespace {

// As the server would report it: at most 63 bytes, nothing but printable ASCII.
std::string clean_application_name(std::string_view name) {
  std::string out(name.substr(0, 63));
  for (char& c : out) {
    if (c < 32 || c > 126) c = '?';
  }
  return out;
}

}  // namespace

void ClientSide::wants(Client& client, Login& login, Login::Want) {
  auto& clients = client.proxy().shared().clients_by_id;
  auto it = clients.find(login.cancel_process_id());
  if (it != clients.end() && it->second->side().cancel_key().matches(login.cancel_key())) it->second->cancel();
  client.close();
}

namespace {

std::shared_ptr<const Key> key_of(Proxy& proxy, const std::string& user, const std::string& database,
                                  wire::postgres::Parameters parameters) {
  std::sort(parameters.begin(), parameters.end());
  std::string text = user + '\0' + database;
  for (const auto& [name, value] : parameters) text += '\0' + name + '\0' + value;
  return proxy.pool_key(text, [&] {
    const bool replication = std::any_of(parameters.begin(), parameters.end(),
                                         [](const auto& parameter) { return parameter.first == "replication"; });
    return Key{{text, user, database, replication}, std::move(parameters)};
  });
}

}  // namespace

std::shared_ptr<const Key> ClientSide::authenticated(Proxy& proxy, const Login& login) {
  parameters_ = login.parameters();
  auto start = session::postgres::split_start_up(parameters_);
  application_name_.clear();
  std::erase_if(start.own, [this](const auto& item) {
    if (item.first != "application_name") return false;
    application_name_ = clean_application_name(item.second);
    return true;
  });
  std::erase_if(parameters_, [](const auto& item) { return item.first == "application_name"; });
  if (!login.replication().empty()) {
    // It has the server to itself, and its name is the server's business: synchronous standbys are chosen by it.
    if (application_name_.empty()) {
      application_name_ = clean_application_name(proxy.context().options.default_application_name);
    }
    if (!application_name_.empty()) parameters_.emplace_back("application_name", application_name_);
    start = {.only_at_start = parameters_, .own = {}};
  }
  asked_start_ = std::move(start.own);
  long_cancel_key_ = login.long_cancel_key();
  return key_of(proxy, login.user(), login.database(), std::move(start.only_at_start));
}

Step ClientSide::before_greeting(Client& client, Login&) {
  if (asked_start_.empty()) return Step::kDone;
  if (client.proxy().side().start_settings(*client.pool_key(), asked_start_) != nullptr) return Step::kDone;
  if (asked_ == client.server()) return Step::kWait;
  asked_ = client.server();
  client.server()->session().probe(session::postgres::check_start_sql(asked_start_), client.context().to_server);
  return Step::kSent;
}

void ClientSide::start_checked(Client& client, const session::postgres::ServerSession::Rows& rows) {
  asked_ = nullptr;
  if (rows.failed) {
    auto fields = wire::postgres::read_error(std::string_view(rows.response).substr(wire::postgres::kHeaderSize));
    if (fields.sqlstate == "55P02") {
      // "cannot be set after connection start", or not at all: a connection that begins with all of it will show.
      asked_start_.clear();
      const auto& key = *client.pool_key();
      return client.greet_with(key_of(client.proxy(), key.user, key.database, parameters_));
    }
    std::string error;
    wire::postgres::error_response(error, {.severity = "FATAL",
                                           .sqlstate = fields.sqlstate,
                                           .message = fields.message,
                                           .detail = fields.detail,
                                           .hint = fields.hint});
    return client.finish(error);
  }
  auto values = session::postgres::read_start(rows.messages, asked_start_);
  if (!values) {
    return client.finish(
        Protocol::error(Trouble::kLoginTimeout, "the server does not tell the settings of this start"));
  }
  client.proxy().side().learn_start_settings(*client.pool_key(), asked_start_, std::move(*values));
  client.resume();
}

// What this client asked for, as the server has it, over what it found.
session::postgres::SettingsPtr ClientSide::with_start(Client& client, session::postgres::SettingsPtr settings,
                                                      session::postgres::Settings::Values& own) {
  auto& interner = client.proxy().shared().settings;
  if (!asked_start_.empty()) {
    if (const auto* values = client.proxy().side().start_settings(*client.pool_key(), asked_start_)) own = *values;
  }
  auto tracked = settings->tracked();
  for (const auto& [name, value] : own) {
    const auto same = [&wanted = name](const auto& item) {
      return session::postgres::equals_folded(item.first, wanted);
    };
    const auto reported = std::find_if(settings->values().begin(), settings->values().end(), same);
    if (reported != settings->values().end()) {
      settings = interner.with(settings, std::string(reported->first), value);
    } else {
      std::erase_if(tracked, same);
      tracked.emplace_back(name, value);
    }
  }
  settings = interner.with(settings, "application_name", application_name_);
  own.emplace_back("application_name", application_name_);
  return interner.with_tracked(settings, std::move(tracked));
}

void ClientSide::greet(Client& client, const Login&, session::postgres::SettingsPtr settings,
                       std::optional<session::postgres::ClientSession>& session, std::string& out) {
  auto& shared = client.proxy().shared();
  auto& context = client.context();
  // What `options` or the role says counts where the packet does not; the default only where nobody says anything.
  auto told = settings->find("application_name");
  if (application_name_.empty() && told != nullptr) application_name_ = *told;
  if (application_name_.empty()) application_name_ = clean_application_name(context.options.default_application_name);
  session::postgres::Settings::Values own;
  settings = with_start(client, std::move(settings), own);
  session.emplace(shared.statements, settings);
  session->started_with(shared.settings, std::move(own));
  // With such a search_path every CREATE TABLE makes a temporary one, which no statement's text shows.
  const auto temporary = [](const auto& item) { return item.second.find("pg_temp") != std::string::npos; };
  if (std::any_of(parameters_.begin(), parameters_.end(), temporary)) {
    session->pin(session::postgres::bit(PinReason::kTemporaryObject), session::postgres::bit(PinReason::kOpaque));
  }
  asked_start_ = {};
  parameters_ = {};
  cancel_key_ = shared.new_cancel_key(client, long_cancel_key_, context);
  session->set_process_id(cancel_key_.process_id());
  for (const auto& [name, value] : settings->values()) wire::postgres::parameter_status(out, name, value);
  wire::postgres::backend_key_data(out, cancel_key_.process_id(), cancel_key_.secret());
  wire::postgres::ready_for_query(out, 'I');
}

void ClientSide::greet_tunnel(Client& client, Server& server, std::string& out) {
  cancel_key_ = client.proxy().shared().new_cancel_key(client, long_cancel_key_, client.context());
  for (const auto& [name, value] : server.side().greeting()->values())
    wire::postgres::parameter_status(out, name, value);
  wire::postgres::backend_key_data(out, cancel_key_.process_id(), cancel_key_.secret());
  wire::postgres::ready_for_query(out, 'I');
}

const std::string& ClientSide::application_name(const session::postgres::ClientSession* session) const {
  const auto* now = session != nullptr ? session->settings()->find("application_name") : nullptr;
  return now != nullptr ? *now : application_name_;
}

void ClientSide::closed(Client& client) {
  stop_listening(client);
  client.proxy().shared().clients_by_id.erase(cancel_key_.process_id());
}

void ClientSide::settings_unread(Client& client, std::string_view why) {
  client.session()->pin(session::postgres::bit(PinReason::kSetVariable));
  log::info(
      "session", "settings cannot be read back",
      {{"proxy", client.proxy().name()}, {"client", client.name()}, {"user", client.pool_key()->user}, {"why", why}});
  client.count_pins();
}

void ClientSide::probed(Client& client, const session::postgres::ServerSession::Rows& rows) {
  auto& session = *client.session();
  bool told = session.probed(rows);
  client.proxy().stats().probes[!told ? 2 : session.pins() != 0 ? 1 : 0]->add();
  if (session.keep_text) {
    log::info("session", "probed",
              {{"proxy", client.proxy().name()},
               {"client", client.name()},
               {"left", session::postgres::pin_names(session.pins())},
               {"error", told ? "" : rows.error}});
  }
  client.count_pins();
}

}  // namespace dbproxy::worker::postgres
