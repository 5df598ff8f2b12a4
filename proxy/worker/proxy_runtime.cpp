#include "proxy/worker/proxy_runtime.hpp"

#include <algorithm>
#include <unistd.h>

#include "proxy/base/log.hpp"
#include "proxy/worker/client_error.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

namespace postgres = session::postgres;

namespace {

constexpr std::size_t kMaxGreetings = 1000;
constexpr std::size_t kMaxServerKeys = 1000;

std::string greeting_key(const PoolKey& key, config::TargetRole role) {
  return std::string(config::to_string(role)) + '\0' + key.text;
}

std::string start_key(const PoolKey& key, const postgres::Settings::Values& asked) {
  auto text = key.text + '\0';
  for (const auto& [name, value] : asked) text += '\0' + name + '\0' + value;
  return text;
}

}  // namespace

ProxyRuntime::ProxyRuntime(Context& context, metrics::Registry& registry, Prepared prepared,
                           std::function<void(const TargetObservation&)>& observation_sink)
    : context_(context),
      registry_(registry),
      prepared_(std::move(prepared)),
      observation_sink_(observation_sink),
      stats_(registry, name()) {
  apply_tls();
}

ProxyRuntime::~ProxyRuntime() {
  while (!clients_.empty()) clients_.begin()->second->close();
}

void ProxyRuntime::accept(const std::shared_ptr<EndpointRuntime>& endpoint, int fd, bool unix_socket) {
  if (ending_) {
    ::close(fd);
    return;
  }
  stats_.clients_accepted->add();
  auto made = std::make_unique<ClientConnection>(*this, endpoint, context_, fd, unix_socket);
  auto& client = *made;
  clients_.emplace(&client, std::move(made));
  client.start();
}

postgres::LoginPolicy ProxyRuntime::login_policy(bool unix_socket) {
  postgres::LoginPolicy policy;
  policy.tls_available = offered_tls_ != nullptr;
  policy.require_tls = snapshot().require_tls;
  policy.client_cert = snapshot().client_cert.mode;
  policy.unix_socket = unix_socket;
  policy.too_many_clients = clients_.size() >= snapshot().max_clients;
  policy.process_secret = context_.process_secret;
  policy.random = context_.random;
  // The snapshot may be exchanged while a client logs in: the credential found keeps its own alive.
  policy.find = [this](std::string_view name) -> std::optional<postgres::Credential> {
    auto user = snapshot().find_user(name);
    if (user == nullptr) return std::nullopt;
    auto keys = prepared_.keys.find(user->name);
    if (keys == prepared_.keys.end()) return std::nullopt;
    return postgres::Credential{std::shared_ptr<const config::User>(prepared_.snapshot, user),
                                std::make_shared<const auth::ScramKeys>(keys->second)};
  };
  return policy;
}

postgres::ClientOptions ProxyRuntime::client_options() const {
  postgres::ClientOptions options;
  options.sequence_pinning = snapshot().sequence_pinning;
  options.deferred_begin = snapshot().deferred_begin;
  return options;
}

Target* ProxyRuntime::choose(const EndpointRuntime& endpoint, Target* current, std::string& error) {
  auto wanted = endpoint.endpoint.role;
  auto serves = [&](const Target& target) { return target.description().role == wanted && target.usable(); };
  if (current != nullptr && serves(*current)) return current;
  Target* best = nullptr;
  Target* down = nullptr;
  Target* writer = nullptr;
  auto load = [](const Target& target) {
    return target.pool().total() - target.pool().idle() + target.pool().waiting();
  };
  for (const auto& [id, target] : targets_) {
    if (target->description().role == config::TargetRole::kReadWrite) writer = target.get();
    if (target->description().role != wanted) continue;
    if (!target->usable()) {
      down = target.get();
    } else if (best == nullptr || load(*target) < load(*best)) {
      best = target.get();
    }
  }
  if (best != nullptr) return best;
  if (wanted == config::TargetRole::kReadOnly && endpoint.endpoint.fallback_to_writer && writer != nullptr)
    return writer;
  if (down != nullptr) return down;  // wait for it
  error = wanted == config::TargetRole::kReadOnly
              ? client_error(
                    "FATAL", "57P03", "endpoint \"" + endpoint.endpoint.name + "\" has no reader to go to",
                    "The cluster has no reader now. Add one, or set fallbackToWriter: true on the DBProxyEndpoint.")
              : client_error(
                    "FATAL", "57P03", "endpoint \"" + endpoint.endpoint.name + "\" has no writer to go to",
                    "No member of the cluster accepts writes now; dbproxyctl targets shows what each of them says.");
  return nullptr;
}

const std::shared_ptr<const PoolKey>& ProxyRuntime::pool_key(const std::string& user, const std::string& database,
                                                             wire::postgres::Parameters parameters) {
  std::sort(parameters.begin(), parameters.end());
  std::string text = user + '\0' + database;
  for (const auto& [name, value] : parameters) text += '\0' + name + '\0' + value;
  auto& slot = keys_[text];
  if (!slot) {
    const bool replication = std::any_of(parameters.begin(), parameters.end(),
                                         [](const auto& parameter) { return parameter.first == "replication"; });
    slot = std::make_shared<const PoolKey>(PoolKey{text, user, database, std::move(parameters), replication});
  }
  return slot;
}

const std::shared_ptr<Catalog>& ProxyRuntime::catalog(const std::string& database) {
  auto& slot = catalogs_[database];
  if (!slot) slot = std::make_shared<Catalog>(name(), database, context_.options.catalog_age);
  return slot;
}

postgres::SettingsPtr ProxyRuntime::greeting(const PoolKey& key, config::TargetRole role) const {
  auto it = greetings_.find(greeting_key(key, role));
  return it == greetings_.end() ? nullptr : it->second;
}

void ProxyRuntime::learn_greeting(const PoolKey& key, config::TargetRole role, postgres::SettingsPtr settings) {
  if (greetings_.size() >= kMaxGreetings) greetings_.clear();
  greetings_[greeting_key(key, role)] = std::move(settings);
}

void ProxyRuntime::forget_greeting(const PoolKey& key) {
  greetings_.erase(greeting_key(key, config::TargetRole::kReadWrite));
  greetings_.erase(greeting_key(key, config::TargetRole::kReadOnly));
}

const postgres::Settings::Values* ProxyRuntime::start_settings(const PoolKey& key,
                                                               const postgres::Settings::Values& asked) const {
  auto it = starts_.find(start_key(key, asked));
  return it == starts_.end() ? nullptr : &it->second;
}

void ProxyRuntime::learn_start_settings(const PoolKey& key, const postgres::Settings::Values& asked,
                                        postgres::Settings::Values values) {
  if (starts_.size() >= kMaxGreetings) starts_.clear();
  starts_[start_key(key, asked)] = std::move(values);
}

const auth::ScramKeys* ProxyRuntime::server_keys(const std::string& user, const std::string& salt,
                                                 int iterations) const {
  auto it = server_keys_.find(user + '\0' + std::to_string(iterations) + '\0' + salt);
  return it == server_keys_.end() ? nullptr : &it->second;
}

void ProxyRuntime::keep_server_keys(const std::string& user, const auth::ScramKeys& keys) {
  if (server_keys_.size() >= kMaxServerKeys) server_keys_.clear();
  auto key = user + '\0' + std::to_string(keys.iterations) + '\0' + keys.salt;
  server_keys_[key] = keys;
}

std::uint64_t ProxyRuntime::generation(const std::string& user) const {
  if (generations_.empty()) return 0;
  auto it = generations_.find(user);
  return it == generations_.end() ? 0 : it->second;
}

void ProxyRuntime::client_gone(ClientConnection& client) {
  stats_.clients_closed->add();
  auto it = clients_.find(&client);
  if (it == clients_.end()) return;
  context_.loop.retire(std::move(it->second));
  clients_.erase(it);
}

void ProxyRuntime::cancel_request(std::uint32_t process_id, std::string_view key) {
  auto it = context_.clients_by_id.find(process_id);
  if (it != context_.clients_by_id.end() && it->second->cancel_key().matches(key)) it->second->cancel();
}

void ProxyRuntime::observed(const Target& target, config::HealthReason reason, const std::string& user) {
  if (!observation_sink_) return;
  TargetObservation observation;
  observation.proxy = name();
  observation.target = target.description().id;
  observation.user = user;
  observation.reason = reason;
  observation.health =
      reason == config::HealthReason::kNone ? config::TargetHealth::kAvailable : config::TargetHealth::kUnavailable;
  observation_sink_(observation);
}

std::string ProxyRuntime::borrow_timeout_error(const Target& target) const {
  auto seconds = std::to_string(snapshot().pool.borrow_timeout.count());
  bool full = target.usable() && target.reachable() && target.pool().limits().max_connections > 0;
  auto message = "timed out after " + seconds + " s waiting for a database connection";
  std::string out;
  wire::postgres::error_response(
      out, {.severity = "ERROR",
            .sqlstate = full ? "53300" : "57P03",
            .message = message,
            .hint = full ? "All server connections are in use: shorten transactions, or raise maxConnectionsPercent, "
                           "connectionBorrowTimeoutSeconds or what limits connections in the DBProxy."
                         : "The database cannot be reached; dbproxyctl targets shows why."});
  return out;
}

void ProxyRuntime::tick() {
  auto now = context_.loop.now();
  if (debug_logging_ && now >= debug_until_) {
    debug_logging_ = false;
    log::warn("query", "debug logging turned itself off after 24 h", {{"proxy", name()}});
    for (const auto& [client, owner] : clients_) {
      if (client->session() != nullptr) client->session()->keep_text = false;
    }
  }
  // With a time-out of 0, who still waits waits for a connection that is being opened.
  auto timeout = std::max<Duration>(snapshot().pool.borrow_timeout, std::chrono::seconds(1));
  for (const auto& [id, target] : targets_) {
    while (auto waiter = target->pool().first_waiter()) {
      if (now - waiter->since < timeout) break;
      static_cast<ClientConnection*>(waiter)->borrow_timed_out(borrow_timeout_error(*target));
    }
    target->tick();
    tell_waiting(*target);
  }
  for (const auto& target : leaving_) target->check_peers();
  std::erase_if(leaving_, [](const auto& target) { return target->unused(); });
  std::erase_if(keys_, [](const auto& item) { return item.second.use_count() == 1; });
  std::erase_if(catalogs_, [](const auto& item) { return item.second.use_count() == 1; });
  update_gauges();
}

void ProxyRuntime::tell_waiting(Target& target) {
  auto now = context_.loop.now();
  std::string notice;
  for (auto& waiter : target.pool().waiters()) {
    if (now - waiter.since < context_.options.wait_notice) break;
    if (notice.empty()) {
      bool full = target.usable() && target.reachable();
      wire::postgres::notice_response(notice, {.severity = "NOTICE",
                                               .sqlstate = "00000",
                                               .message = "the query waits for a database connection",
                                               .hint = full ? "All that this user and database may have are in use."
                                                            : "The database cannot be reached."});
    }
    static_cast<ClientConnection&>(waiter).tell_waiting(notice);
  }
}

void ProxyRuntime::update_gauges() {
  auto counts = row();
  std::uint64_t login = 0, tls = 0, pinned = 0, replication = 0;
  for (const auto& [client, owner] : clients_) {
    if (client->state() < ClientConnection::State::kGreeting) ++login;
    if (client->tls()) ++tls;
    if (client->pins() != 0) ++pinned;
    if (client->state() == ClientConnection::State::kTunnel) ++replication;
  }
  stats_.clients_login->set(login);
  stats_.clients_tls->set(tls);
  stats_.clients_pinned->set(pinned);
  stats_.clients_replication->set(replication);
  stats_.clients_active->set(counts.clients_active - replication);
  stats_.clients_waiting->set(counts.clients_waiting);
  stats_.clients_idle->set(counts.clients - counts.clients_active - counts.clients_waiting - login);
  Duration longest{};
  for (const auto& [id, target] : targets_)
    longest = std::max(longest, target->pool().longest_wait(context_.loop.now()));
  stats_.longest_wait->set(static_cast<std::uint64_t>(longest.count()));
}

void ProxyRuntime::retire_clients(std::string_view sqlstate, std::string_view message) {
  for (auto client : client_list()) client->retire(sqlstate, message);
}

std::vector<ClientConnection*> ProxyRuntime::client_list() const {
  std::vector<ClientConnection*> clients;
  clients.reserve(clients_.size());
  for (const auto& [client, owner] : clients_) clients.push_back(client);
  return clients;
}

bool ProxyRuntime::may_log_refusal() {
  auto now = context_.loop.now();
  if (now - refusals_since_ >= std::chrono::seconds(1)) {
    refusals_since_ = now;
    refusals_logged_ = 0;
  }
  return ++refusals_logged_ <= 10;
}

void ProxyRuntime::drain(bool end_now) {
  if (!end_now) return;
  ending_ = true;
  close_endpoints({});
  endpoints_.clear();
  retire_clients("57P01", "terminating connection: the sidecar is shutting down");
  for (const auto& [id, target] : targets_) target->close_idle();
}

void ProxyRuntime::remove() {
  ending_ = true;
  close_endpoints({});
  endpoints_.clear();
  retire_clients("57P01", "terminating connection: DBProxy " + name() + " was deleted");
  for (const auto& [id, target] : targets_) target->close_idle();
  log::info("config", "removed", {{"proxy", name()}, {"clients", clients_.size()}});
}

ProxyRow ProxyRuntime::row() const {
  ProxyRow row;
  row.proxy = name();
  row.version = snapshot().version;
  row.draining = ending_;
  row.endpoints = snapshot().endpoints;
  row.clients = static_cast<std::uint32_t>(clients_.size());
  for (const auto& [client, owner] : clients_) {
    if (client->waiting()) {
      ++row.clients_waiting;
    } else if (client->server() != nullptr) {
      ++row.clients_active;
      if (client->pins() != 0) ++row.pinned;
    }
  }
  for (const auto& [id, target] : targets_) {
    row.servers += target->pool().total();
    row.servers_in_use += target->pool().total() - target->pool().idle() - target->pool().connecting();
  }
  return row;
}

}  // namespace dbproxy::worker
