#include "proxy/worker/mysql/client_side.hpp"

#include <cstdint>
#include <utility>

#include "proxy/wire/mysql/messages.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::mysql {
namespace {

constexpr std::uint16_t kNotOwner = 1095;

std::string quoted(std::string_view name) {
  std::string out = "`";
  for (char c : name) {
    out += c;
    if (c == '`') out += c;
  }
  return out += '`';
}

class Compressed final : public Filter {
 public:
  explicit Compressed(const wire::mysql::Compression& agreed) : compression_(agreed) {}
  bool encode(std::string_view plain, std::string& out) override { return compression_.compress_packets(plain, out); }
  bool decode(std::string_view received, std::size_t& consumed, std::string& out, std::size_t enough) override {
    return compression_.decompress(received, consumed, out, enough);
  }

 private:
  wire::mysql::Compression compression_;
};

}  // namespace

void ClientSide::started(Client& client, Login& login) {
  // In place of the greeting, which nobody may have seen yet.
  if (const std::string deleted = client.proxy().deleted(); !deleted.empty()) return client.refuse_deleted(deleted);
  connection_id_ = client.proxy().shared().new_connection_id(client);
  ungreeted_ = &login;
  if (!try_to_greet(client)) client.proxy().side().wait_for_greeting(client);
}

bool ClientSide::try_to_greet(Client& client) {
  auto& side = client.proxy().side();
  auto greeting = side.server_greeting(client.proxy());
  if (!greeting) return false;
  auto policy = side.login_policy(client.proxy(), client.unix_socket(), client.channel().stream().fd());
  policy.server = std::move(*greeting);
  policy.connection_id = connection_id_;
  auto& login = *std::exchange(ungreeted_, nullptr);
  login = Login(std::move(policy));
  std::string out;
  auto want = login.begin(out);
  client.step_login(want, out);
  return true;
}

std::unique_ptr<ClientSide::Login> ClientSide::change_user(Client& client, Login::Want& want, std::string& out) {
  auto& session = *client.session();
  auto& side = client.proxy().side();
  auto policy = side.login_policy(client.proxy(), client.unix_socket(), client.channel().stream().fd());
  policy.too_many_clients = false;  // it is one of them
  if (auto greeting = side.server_greeting(client.proxy())) policy.server = std::move(*greeting);
  auto login = std::make_unique<Login>(std::move(policy));
  want = login->change_user(session.change_user(), session.capabilities(), client.tls(), nonces_, out);
  asked_for_schema_ = false;
  before_ = session.lasting();
  return login;
}

std::shared_ptr<const Key> ClientSide::authenticated(Proxy& proxy, const Login& login) {
  schema_ = login.schema();
  if (!login.nonces().empty()) nonces_ = login.nonces();
  const auto flags = login.capabilities() & wire::mysql::kPoolFlags;
  const bool has_schema = !schema_.empty();
  const bool known = session::mysql::variables_of_collation(login.collation()).has_value();
  const auto collation = static_cast<std::uint8_t>(known ? 0 : login.collation());
  std::string text =
      login.user() + '\0' + std::to_string(flags) + '/' + std::to_string(collation) + (has_schema ? "/schema" : "");
  return proxy.pool_key(text, [&] { return Key{{text, login.user(), {}, false}, flags, collation, has_schema}; });
}

Step ClientSide::before_greeting(Client& client, Login&) {
  auto& server = *client.server();
  auto& session = server.session();
  if (!session.quiet()) return Step::kWait;
  if (!schema_.empty() && !asked_for_schema_) {
    asked_for_schema_ = true;
    session.query("USE " + quoted(schema_), client.context().to_server);
    return Step::kSent;
  }
  if (session.hidden_query_failed()) {
    std::string error;
    wire::mysql::packet(error, 1, session.hidden_error());
    session.clear_hidden_failure();
    client.finish(error);
    return Step::kFailed;
  }
  client.proxy().side().learn_greeting(*this, *client.pool_key());
  return Step::kDone;
}

void ClientSide::greet(Client& client, Login& login, Greeting, std::optional<session::mysql::ClientSession>& session,
                       std::string& out) {
  auto& shared = client.proxy().shared();
  auto variables =
      session::mysql::variables_of_collation(login.collation()).value_or(session::mysql::Settings::Variables{});
  session.emplace(shared.statements, shared.settings, shared.settings.intern(login.schema(), std::move(variables)),
                  login.capabilities(), ++shared.last_serial);
  if (before_) session->take_over(*before_);
  compression_ = login.compression();
  login.finish(out);
}

void ClientSide::greeted(Client& client) {
  // A change of user is compressed already.
  if (compression_ && !client.channel().filtered())
    client.channel().filter(std::make_unique<Compressed>(*compression_));
}

// KILL and COM_PROCESS_KILL name a client of this sidecar by the id that it was told: of the same user only.
void ClientSide::processed(Client& client) {
  const auto kill = client.session()->take_kill();
  if (!kill) return;
  auto& session = *client.session();
  auto& out = client.context().to_client;
  const auto& clients = client.proxy().shared().clients_by_id;
  const auto it = clients.find(static_cast<std::uint32_t>(kill->id));
  if (kill->id > UINT32_MAX || it == clients.end() || it->second->pool_key() == nullptr) {
    return session.answer_kill(wire::mysql::error::kNoSuchThread, out);
  }
  auto& target = *it->second;
  if (target.pool_key()->user != client.pool_key()->user || &target.proxy() != &client.proxy()) {
    return session.answer_kill(kNotOwner, out);
  }
  session.answer_kill(0, out);
  if (kill->query_only) {
    if (&target != &client) target.cancel();
  } else if (&target != &client) {
    target.finish({});
  } else {
    client.retire(Trouble::kGoingAway, "Connection was killed");
  }
}

void ClientSide::closed(Client& client) {
  if (ungreeted_ != nullptr) client.proxy().side().stop_waiting(client);
  client.proxy().shared().clients_by_id.erase(connection_id_);
}

}  // namespace dbproxy::worker::mysql
