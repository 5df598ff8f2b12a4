#include "proxy/worker/service.hpp"

#include <atomic>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "proxy/base/log.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

namespace {

constexpr Duration kTick = std::chrono::milliseconds(250);

}  // namespace

struct Service::Impl {
  Impl(ServiceOptions options, metrics::Registry& r, const Clock& clock)
      : registry(r),
        context(clock, std::move(options)),
        tick([this] { on_tick(); }),
        drain_timer([this] { end_drain(); }) {
    context.loop.arm(tick, kTick);
    thread = std::thread([this] { context.loop.run(); });
  }

  // Runs on the worker and waits.
  template <class Work>
  auto call(Work work) {
    using Value = decltype(work());
    // Shared: the worker may still be inside set_value() when the caller has its answer and is gone.
    auto promise = std::make_shared<std::promise<Value>>();
    auto future = promise->get_future();
    context.loop.post([promise, &work] {
      if constexpr (std::is_void_v<Value>) {
        work();
        promise->set_value();
      } else {
        promise->set_value(work());
      }
    });
    return future.get();
  }

  ~Impl() {
    call([this] {
      proxies.clear();
      removed.clear();
      tick.disarm();
      drain_timer.disarm();
    });
    context.loop.stop();
    thread.join();
  }

  void on_tick() {
    for (auto& [name, proxy] : proxies) proxy->tick();
    context.early_ports.refuse_late(context.loop.clock().now());
    for (auto& proxy : removed) proxy->tick();
    std::erase_if(removed, [](const auto& proxy) { return proxy->empty(); });
    if (draining && !drained) {
      bool empty = removed.empty();
      for (auto& [name, proxy] : proxies) empty = empty && proxy->empty();
      if (empty) {
        end_all();
        drained = true;
        drain_timer.disarm();
        log::info("drain", "no client is left");
      }
    }
    context.loop.arm(tick, kTick);
  }

  void end_drain() {
    log::info("drain", "time is over: idle clients are ended");
    end_all();
  }

  void end_all() {
    ended = true;
    for (auto& [name, proxy] : proxies) proxy->drain(true);
  }

  // Keys are derived once for each password, here, off the worker.
  UserKeys derive(const config::Snapshot& snapshot) {
    UserKeys keys;
    auto random = auth::system_random();
    std::lock_guard lock(keys_mutex);
    for (const auto& user : snapshot.users) {
      auto& known = known_keys[snapshot.name_space + "/" + snapshot.name + "/" + user.name];
      if (known.keys.iterations == 0 || !(known.password == user.password)) {
        std::string salt(16, '\0');
        random({reinterpret_cast<std::uint8_t*>(salt.data()), salt.size()});
        known.keys = auth::derive_scram_keys(user.password, salt, auth::kDefaultScramIterations);
        known.password = user.password;
      }
      keys.emplace(user.name, known.keys);
    }
    return keys;
  }

  struct KnownKeys {
    Secret password;
    auth::ScramKeys keys;
  };

  metrics::Registry& registry;
  Context context;
  std::function<void(const TargetObservation&)> sink;
  std::map<std::string, std::unique_ptr<ProxyRuntime>> proxies;
  std::vector<std::unique_ptr<ProxyRuntime>> removed;
  bool ended = false;  // the drain is over: nothing is opened any more
  net::Timer tick;
  net::Timer drain_timer;
  std::atomic<bool> draining{false};
  std::atomic<bool> drained{false};
  std::atomic<bool> listening{false};
  std::atomic<bool> configured{false};
  std::mutex keys_mutex;
  std::map<std::string, KnownKeys> known_keys;  // guarded by keys_mutex
  std::thread thread;
};

Service::Service(ServiceOptions options, metrics::Registry& registry, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), registry, clock)) {}

Service::~Service() = default;

std::string Service::apply(config::SnapshotPtr snapshot, ListenerTls tls) {
  if (snapshot->engine != config::EngineFamily::kPostgresql) {
    return "engineFamily MYSQL is not served by this version: use POSTGRESQL";
  }
  if (snapshot->require_tls && snapshot->server_tls.mode == config::TlsMode::kDisable) {
    return "requireTLS: true needs a tls.mode other than disable: the way on to the database must be encrypted, too";
  }
  Prepared prepared;
  prepared.snapshot = snapshot;
  std::string error;
  if (!tls.certificate_pem.empty()) {
    prepared.listener_tls =
        net::make_listener_context(tls.certificate_pem, tls.key_pem, snapshot->client_cert.ca_pem, error);
    if (!prepared.listener_tls) return error;
  }
  if (snapshot->server_tls.mode != config::TlsMode::kDisable) {
    prepared.server_tls = net::make_client_context(snapshot->server_tls, error);
    if (!prepared.server_tls) return error;
  }
  prepared.keys = impl_->derive(*snapshot);
  auto name = snapshot->name_space + "/" + snapshot->name;
  return impl_->call([&]() -> std::string {
    auto it = impl_->proxies.find(name);
    bool fresh = it == impl_->proxies.end();
    if (fresh) {
      auto made = std::make_unique<ProxyRuntime>(impl_->context, impl_->registry, prepared, impl_->sink);
      if (impl_->ended) made->drain(true);
      it = impl_->proxies.emplace(name, std::move(made)).first;
    }
    auto refusal = it->second->apply(std::move(prepared));
    if (!refusal.empty()) {
      if (fresh) impl_->proxies.erase(it);
      return refusal;
    }
    impl_->configured = true;
    return {};
  });
}

void Service::remove(const std::string& proxy) {
  impl_->call([&] {
    auto it = impl_->proxies.find(proxy);
    if (it == impl_->proxies.end()) return;
    it->second->remove();
    impl_->removed.push_back(std::move(it->second));
    impl_->proxies.erase(it);
  });
}

std::string Service::listen_early(const std::vector<std::uint16_t>& ports) {
  return impl_->call([&] {
    auto& context = impl_->context;
    const auto& options = context.options;
    auto error = context.early_ports.open(options.bind_address, options.socket_dir, ports, context.loop.clock().now());
    impl_->listening = error.empty() && !ports.empty();
    return error;
  });
}

bool Service::listening() const {
  return impl_->listening || impl_->configured;
}

bool Service::configured() const {
  return impl_->configured;
}

std::vector<ProxyRow> Service::proxies() {
  return impl_->call([&] {
    std::vector<ProxyRow> rows;
    for (auto& [name, proxy] : impl_->proxies) {
      rows.push_back(proxy->row());
      rows.back().draining = rows.back().draining || impl_->draining;
    }
    return rows;
  });
}

std::vector<TargetRow> Service::targets() {
  return impl_->call([&] {
    std::vector<TargetRow> rows;
    for (auto& [name, proxy] : impl_->proxies) {
      for (auto& [id, target] : proxy->targets()) {
        const auto& description = target->description();
        TargetRow row;
        row.proxy = name;
        row.id = id;
        row.host = description.host;
        row.port = description.port;
        row.role = config::to_string(description.role);
        row.health = config::to_string(description.health);
        row.reason = config::to_string(description.reason);
        // What this sidecar met by itself counts where the monitor has no complaint.
        if (row.reason.empty() && target->observed_reason() != config::HealthReason::kNone) {
          row.reason = config::to_string(target->observed_reason());
        }
        row.max_connections = description.max_connections;
        row.limit = target->pool().limits().max_connections;
        row.servers = target->pool().total();
        row.servers_in_use = target->pool().total() - target->pool().idle() - target->pool().connecting();
        row.lag_seconds = description.lag_seconds;
        rows.push_back(row);
      }
    }
    return rows;
  });
}

std::vector<PoolRow> Service::pools() {
  return impl_->call([&] {
    std::vector<PoolRow> rows;
    auto now = impl_->context.loop.clock().now();
    for (auto& [name, proxy] : impl_->proxies) {
      for (auto& [id, target] : proxy->targets()) {
        std::map<const pool::KeyPool*, std::uint32_t> pinned;
        for (const auto& [server, owner] : target->servers()) {
          auto client = server->client();
          if (client != nullptr && client->pins() != 0) ++pinned[&server->key_pool()];
        }
        for (const auto& [text, key] : target->pool().keys()) {
          PoolRow row;
          row.proxy = name;
          row.target = id;
          row.role = config::to_string(target->description().role);
          row.user = target->key_of(*key)->user;
          row.database = target->key_of(*key)->database;
          row.clients_active = key->active_count;
          row.clients_waiting = key->waiting_count;
          row.servers_idle = key->idle_count;
          row.servers_active = key->active_count;
          row.servers_pinned = pinned[key.get()];
          row.servers_connecting = key->connecting_count;
          if (!key->waiters.empty()) {
            row.longest_wait_seconds = std::chrono::duration<double>(now - key->waiters.front().since).count();
          }
          rows.push_back(row);
        }
      }
    }
    return rows;
  });
}

std::vector<PinRow> Service::pins() {
  return impl_->call([&] {
    std::vector<PinRow> rows;
    auto now = impl_->context.loop.clock().now();
    for (auto& [name, proxy] : impl_->proxies) {
      for (auto& [client, owner] : proxy->clients()) {
        auto session = client->session();
        if (client->pins() == 0) continue;
        PinRow row;
        row.proxy = name;
        row.endpoint = client->endpoint().endpoint.name;
        row.client = client->name();
        row.user = client->pool_key()->user;
        row.database = client->pool_key()->database;
        if (client->target() != nullptr) row.target = client->target()->description().id;
        row.application_name = client->application_name();
        for (int i = 0; i < session::postgres::kPinReasonCount; ++i) {
          auto reason = session::postgres::pin_reason(i);
          if (client->pins() & session::postgres::bit(reason)) row.reasons.emplace_back(to_string(reason));
        }
        if (session != nullptr) row.statement_digest = session->pin_statement();
        row.pinned_seconds = std::chrono::duration<double>(now - client->pinned_since()).count();
        rows.push_back(row);
      }
    }
    return rows;
  });
}

void Service::on_observation(std::function<void(const TargetObservation&)> sink) {
  impl_->call([&] { impl_->sink = std::move(sink); });
}

void Service::drain(std::chrono::milliseconds timeout) {
  impl_->call([&] {
    if (impl_->draining.exchange(true)) return;
    log::info("drain", "begun: serving until no client is left", {{"timeout_ms", timeout.count()}});
    impl_->context.loop.arm(impl_->drain_timer, timeout);
  });
}

bool Service::draining() const {
  return impl_->draining;
}
bool Service::drained() const {
  return impl_->drained;
}

}  // namespace dbproxy::worker
