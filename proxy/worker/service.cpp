#include "proxy/worker/service.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "proxy/base/log.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/engine.hpp"

namespace dbproxy::worker {

namespace {

constexpr std::chrono::seconds kFirstSlots{2};
constexpr Duration kTick = std::chrono::milliseconds(250);

}  // namespace

struct Service::Impl {
  Impl(Engines made, ServiceOptions options, metrics::Registry& r, const Clock& clock)
      : registry(r),
        engines(std::move(made)),
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

  template <class Row>
  std::vector<Row> rows() {
    return call([this] {
      std::vector<Row> rows;
      for (const auto& [name, proxy] : proxies) proxy->add_rows(rows);
      return rows;
    });
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

  config::SnapshotPtr with_previous_passwords(const std::string& name, config::SnapshotPtr next) {
    const config::SnapshotPtr before = call([&]() -> config::SnapshotPtr {
      const auto found = in_force.find(name);
      return found == in_force.end() ? nullptr : found->second;
    });
    if (before == nullptr) return next;
    config::Snapshot out = *next;
    config::keep_previous_passwords(out, *before, context.loop.clock().wall());
    if (out.users == next->users) return next;
    return std::make_shared<const config::Snapshot>(std::move(out));
  }

  void on_tick() {
    for (auto& [name, proxy] : proxies) proxy->tick();
    look_for_slots();
    context.early_ports.refuse_late(context.loop.clock().now(), no_configuration);
    for (auto& proxy : removed) proxy->tick();
    std::erase_if(removed, [](const auto& proxy) { return proxy->empty() && !proxy->listening(); });
    if (draining && !drained) {
      bool empty = std::all_of(removed.begin(), removed.end(), [](const auto& proxy) { return proxy->empty(); });
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

  // Once is enough: what comes and goes later is every day's business.
  void look_for_slots() {
    if (supplied || !configured) return;
    const bool all =
        std::all_of(proxies.begin(), proxies.end(), [](const auto& each) { return each.second->has_slots(); });
    supplied = all || context.loop.now() - configured_at >= kFirstSlots;
  }

  void end_drain() {
    log::info("drain", "time is over: idle clients are ended");
    end_all();
  }

  void end_all() {
    ended = true;
    for (auto& [name, proxy] : proxies) proxy->drain(true);
    for (auto& proxy : removed) proxy->drain(true);
  }

  Engine* engine(config::EngineFamily family) const {
    for (const auto& each : engines) {
      if (each->family() == family) return each.get();
    }
    return nullptr;
  }

  metrics::Registry& registry;
  const Engines engines;  // what their runtimes share outlives them
  const std::string no_configuration = engines.empty() ? "" : engines.front()->no_configuration();
  Context context;
  ObservationSink sink;
  std::map<std::string, std::unique_ptr<Runtime>> proxies;
  std::map<std::string, Engine*> engines_in_force;  // by proxy
  std::map<std::string, config::SnapshotPtr> in_force;
  std::map<std::string, budget::Open> opens;  // the newest of each
  std::vector<std::unique_ptr<Runtime>> removed;
  bool ended = false;  // the drain is over: nothing is opened any more
  net::Timer tick;
  net::Timer drain_timer;
  std::atomic<bool> draining{false};
  std::atomic<bool> drained{false};
  std::atomic<bool> listening{false};
  std::atomic<bool> configured{false};
  std::atomic<bool> supplied{false};  // with slots, or it does without
  TimePoint configured_at{};
  std::thread thread;
};

Service::Service(Engines engines, ServiceOptions options, metrics::Registry& registry, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(engines), std::move(options), registry, clock)) {}

Service::~Service() = default;

std::string Service::apply(config::SnapshotPtr snapshot, ListenerTls tls) {
  auto* const engine = impl_->engine(snapshot->engine);
  if (engine == nullptr) {
    return "engineFamily " + std::string(config::to_string(snapshot->engine)) + " is not served by this version";
  }
  if (snapshot->require_tls && snapshot->server_tls.mode == config::TlsMode::kDisable) {
    return "requireTLS: true needs a tls.mode other than disable: the way on to the database must be encrypted, too";
  }
  auto name = snapshot->name_space + "/" + snapshot->name;
  snapshot = impl_->with_previous_passwords(name, std::move(snapshot));
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
  prepared.keys = engine->prepare(*snapshot);
  prepared.address_policy = net::AddressPolicy(snapshot->endpoint_policy);
  return impl_->call([&]() -> std::string {
    auto it = impl_->proxies.find(name);
    bool fresh = it == impl_->proxies.end();
    if (!fresh && impl_->engines_in_force[name] != engine) {
      return "engineFamily cannot be changed: delete the DBProxy and make it again";
    }
    if (fresh) {
      auto made = engine->make(impl_->context, impl_->registry, prepared, impl_->sink);
      impl_->engines_in_force[name] = engine;
      if (impl_->ended) made->drain(true);
      it = impl_->proxies.emplace(name, std::move(made)).first;
    }
    for (auto& gone : impl_->removed) gone->give_way(*snapshot);
    auto refusal = it->second->apply(std::move(prepared));
    if (!refusal.empty()) {
      if (fresh) impl_->proxies.erase(it);
      return refusal;
    }
    // It came with a configuration that was refused, or before the one that the last process had.
    const auto open = impl_->opens.find(name);
    if (fresh && open != impl_->opens.end()) it->second->take(open->second);
    if (!impl_->configured.exchange(true)) impl_->configured_at = impl_->context.loop.now();
    impl_->in_force[name] = snapshot;
    impl_->look_for_slots();
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
    impl_->in_force.erase(proxy);
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
  return impl_->configured && impl_->supplied;
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
  return impl_->rows<TargetRow>();
}

std::vector<PoolRow> Service::pools() {
  return impl_->rows<PoolRow>();
}

std::vector<PinRow> Service::pins() {
  return impl_->rows<PinRow>();
}

void Service::on_observation(std::function<void(const TargetObservation&)> sink) {
  impl_->call([&] { impl_->sink = std::move(sink); });
}

void Service::take(const std::string& proxy, const budget::Open& open) {
  impl_->context.loop.post([this, proxy, open] {
    impl_->opens[proxy] = open;
    impl_->context.count_alone = false;
    if (const auto it = impl_->proxies.find(proxy); it != impl_->proxies.end()) it->second->take(open);
  });
}

void Service::take(const std::string& proxy, const budget::Allowance& allowance) {
  impl_->context.loop.post([this, proxy, allowance] {
    if (const auto it = impl_->proxies.find(proxy); it != impl_->proxies.end()) it->second->take(allowance);
    impl_->look_for_slots();
  });
}

void Service::count_alone() {
  impl_->context.loop.post([this] {
    impl_->context.count_alone = true;
    impl_->opens.clear();
    for (auto& [name, proxy] : impl_->proxies) proxy->count_alone();
    impl_->look_for_slots();
  });
}

void Service::operator_is_away() {
  impl_->context.loop.post([this] {
    for (auto& [name, proxy] : impl_->proxies) proxy->operator_is_away();
  });
}

void Service::on_budget_report(BudgetReportSink sink) {
  impl_->call([&] { impl_->context.budget_report = std::move(sink); });
}

void Service::leave_budget(std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (true) {
    const bool left = impl_->call([&] {
      bool all = true;
      for (auto& [name, proxy] : impl_->proxies) all = proxy->leave_budget() && all;
      return all;
    });
    if (left || std::chrono::steady_clock::now() >= deadline) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
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
