#include "proxy/worker/mysql/proxy_side.hpp"

#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/pod_identity.hpp"
#include "proxy/worker/proxy_runtime.hpp"

namespace dbproxy::worker::mysql {
namespace {

constexpr std::size_t kMaxGreetings = 1000;

std::string greeting_key(const ClientSide& client, const Key& key) {
  return key.text + '\0' + client.schema();
}

}  // namespace

ProxySide::ProxySide(Context& context, const std::string& /*name*/) : context_(context) {}

ProxySide::~ProxySide() = default;

std::unique_ptr<session::mysql::ClientLogin> ProxySide::new_login(Proxy&, bool, int) {
  return std::make_unique<session::mysql::ClientLogin>(session::mysql::LoginPolicy{});
}

session::mysql::LoginPolicy ProxySide::login_policy(Proxy& proxy, bool unix_socket, int fd) {
  session::mysql::LoginPolicy policy;
  policy.tls_available = proxy.listener_tls() != nullptr;
  policy.require_tls = proxy.snapshot().require_tls;
  policy.unix_socket = unix_socket;
  policy.pod_identity = pod_identity(proxy.snapshot(), context_.options.own_user_only, unix_socket, fd);
  policy.too_many_clients = proxy.clients().size() > proxy.snapshot().max_clients;  // this one is counted already
  policy.random = context_.random;
  // The snapshot may be exchanged while a client logs in: the credential found keeps its own alive.
  policy.find = [&proxy](std::string_view name) -> std::optional<session::mysql::Credential> {
    return session::find_credential(proxy.snapshot_ptr(), name, proxy.context().loop.clock().wall());
  };
  return policy;
}

std::optional<wire::mysql::Greeting> ProxySide::server_greeting(const Proxy& proxy) const {
  auto greeting = seen_;
  if (!greeting) {
    for (const auto& target : proxy.snapshot().targets) {
      if (target.server_version.empty()) continue;
      greeting.emplace();
      greeting->server_version = target.server_version;
      // Where an older operator does not say: those that every server has which is spoken to.
      greeting->capabilities = target.server_capabilities != 0
                                   ? target.server_capabilities
                                   : wire::mysql::kOfferedFlags & ~wire::mysql::client::kQueryAttributes;
      break;
    }
  }
  if (greeting) greeting->capabilities &= wire::mysql::kOfferedFlags;
  return greeting;
}

std::optional<Greeting> ProxySide::greeting(const ClientSide& client, const Key& key, config::TargetRole) const {
  if (!known_.contains(greeting_key(client, key))) return std::nullopt;
  return Greeting{};
}

const std::shared_ptr<Catalog>& ProxySide::catalog(const std::string& user) {
  auto& slot = catalogs_[user];
  if (!slot) slot = std::make_shared<Catalog>(context_.options.catalog_age);
  return slot;
}

void ProxySide::new_target() {
  known_.clear();
  for (const auto& [user, catalog] : catalogs_) catalog->expire();
}

void ProxySide::wait_for_greeting(Client& client) {
  ungreeted_.push_back(&client);
}

void ProxySide::stop_waiting(Client& client) {
  std::erase(ungreeted_, &client);
}

void ProxySide::tick() {
  std::erase_if(catalogs_, [](const auto& item) { return item.second.use_count() == 1; });
  const auto waiting = ungreeted_;
  for (auto client : waiting) {
    if (client->side().try_to_greet(*client)) stop_waiting(*client);
  }
}

void ProxySide::learn_greeting(const ClientSide& client, const Key& key) {
  if (known_.size() >= kMaxGreetings) known_.clear();
  known_.insert(greeting_key(client, key));
}

}  // namespace dbproxy::worker::mysql
