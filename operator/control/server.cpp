#include "operator/control/server.hpp"

#include <algorithm>
#include <condition_variable>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <thread>
#include <tuple>

#include "dbproxy/v1/control.grpc.pb.h"

#include "operator/control/credentials.hpp"
#include "operator/control/hub.hpp"
#include "operator/control/stream.hpp"
#include "proxy/wire/control/grpc_process.hpp"
#include "proxy/wire/control/limits.hpp"

namespace dbproxy::operator_control {
namespace {

constexpr std::chrono::milliseconds kStopGrace{700};
constexpr int kTlsRecord = 2048;  // bytes

class Service final : public v1::Control::CallbackService {
 public:
  explicit Service(Hub& hub) : hub_(hub) {}
  grpc::ServerBidiReactor<v1::SidecarMessage, v1::OperatorMessage>* Connect(
      grpc::CallbackServerContext* context) override {
    const auto stream = std::make_shared<Stream>(hub_, *context);
    stream->open();
    return stream.get();
  }

 private:
  Hub& hub_;
};

}  // namespace

struct Server::Impl {
  Impl(ServerOptions options, const TokenStore& tokens, metrics::Registry& registry, const Clock& clock)
      : hub(std::move(options), tokens, registry, clock), service(hub) {
    shown.set(hub.options.identity);
  }

  void tick() {
    const auto every = std::min<std::chrono::milliseconds>(hub.options.hello_timeout / 4, std::chrono::seconds(1));
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, every, [this] { return stopping; })) {
      lock.unlock();
      hub.tick();
      lock.lock();
    }
  }

  Hub hub;
  Service service;
  ShownIdentity shown;  // outlives the server, which asks it at each handshake
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::thread ticker;
};

Server::Server(ServerOptions options, const TokenStore& tokens, metrics::Registry& registry, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), tokens, registry, clock)) {
  wire_control::prepare_grpc();
}

Server::~Server() {
  stop();
}

void Server::on_target_report(std::function<void(const TargetReport&)> sink) {
  impl_->hub.target_report = std::move(sink);
}

void Server::on_use(std::function<void(const std::map<std::string, topology::Use>&)> sink) {
  impl_->hub.on_use = std::move(sink);
}

std::string Server::start() {
  const ServerOptions& options = impl_->hub.options;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(options.listen, make_credentials(impl_->shown), &impl_->port);
  builder.RegisterService(&impl_->service);
  builder.SetMaxReceiveMessageSize(wire_control::kMaxMessageToOperator);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // or a second operator would share the port silently
  // Sidecars ping every 5 s, so that they notice soon when their operator is gone. That one of them is, is of no use
  // before the 15 s after which people are told, and thousands of pings are what an idle operator works for.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 12000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // gRPC's own default of 5 minutes would end sidecars for their pings.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 2000);
  // Messages are small: how wide the way is need not be measured, with a ping for nearly each of them.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // Each connection keeps a buffer for one TLS record of its own; 16 KB of it would be most of what a stream costs.
  builder.AddChannelArgument(GRPC_ARG_TSI_MAX_FRAME_SIZE, kTlsRecord);
  impl_->server = builder.BuildAndStart();
  if (!impl_->server || impl_->port == 0) {
    impl_->server.reset();
    return "cannot listen on " + options.listen + ": the address is in use, not of this machine, or not HOST:PORT";
  }
  impl_->ticker = std::thread([this] { impl_->tick(); });
  impl_->hub.budgets.start();
  return {};
}

int Server::port() const {
  return impl_->port;
}

void Server::set_certificates(const pki::Identity& identity, const pki::Authority& authority) {
  impl_->shown.set(identity);
  impl_->hub.set_certificates(identity, authority);
}

void Server::stop() {
  if (!impl_->server) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->ticker.join();
  for (const std::shared_ptr<Stream>& stream : impl_->hub.streams()) {
    stream->end({grpc::StatusCode::UNAVAILABLE, "the operator is stopping"});
  }
  impl_->server->Shutdown(std::chrono::system_clock::now() + kStopGrace);
  impl_->server->Wait();
  impl_->hub.budgets.stop();
  impl_->server.reset();
}

void Server::publish(const std::map<std::string, config::SnapshotPtr>& changed,
                     const std::vector<std::string>& unknown) {
  impl_->hub.publish(changed, unknown);
}

void Server::lead(bool leading, std::function<std::string()> leader) {
  impl_->hub.lead(leading, std::move(leader));
}

void Server::ended(const std::string& identity) {
  impl_->hub.budgets.forget(identity);
}

void Server::recheck() {
  impl_->hub.recheck();
}

std::vector<SidecarRow> Server::sidecars() const {
  std::vector<SidecarRow> out;
  for (const std::shared_ptr<Stream>& stream : impl_->hub.streams()) {
    std::vector<SidecarRow> rows = stream->rows();
    std::move(rows.begin(), rows.end(), std::back_inserter(out));
  }
  std::sort(out.begin(), out.end(), [](const SidecarRow& a, const SidecarRow& b) {
    return std::tie(a.identity, a.proxy) < std::tie(b.identity, b.proxy);
  });
  return out;
}

topology::ProbeResult Server::ask(const topology::Prober& prober, const topology::ProbeRequest& request) {
  const auto question = impl_->hub.budgets.question(request.host, request.port, request.user);
  topology::ProbeRequest asked = request;
  if (question) {
    asked.users = question->users;
    asked.known = question->known;
  }
  topology::ProbeResult result = prober(asked);
  if (result.ok) impl_->hub.budgets.identify(request.host, request.port, result.server);
  if (question) impl_->hub.budgets.answer(*question, result.strangers, result.others);
  return result;
}

ServerNames Server::servers() const {
  return impl_->hub.budgets.servers();
}

std::vector<LatencyRow> Server::latencies() const {
  return impl_->hub.activity.latencies();
}

std::vector<PinnedRow> Server::pins() const {
  return impl_->hub.activity.pins(impl_->hub.clock.wall());
}

std::vector<BudgetRow> Server::budgets() const {
  return impl_->hub.budgets.rows();
}

SidecarCounts Server::counts(const std::string& proxy) const {
  SidecarCounts counts;
  for (const SidecarRow& row : sidecars()) {
    if (row.proxy != proxy) continue;
    ++counts.connected;
    if (row.state == SidecarState::kUpdated) ++counts.updated;
    if (row.state == SidecarState::kRejected) ++counts.rejected;
  }
  return counts;
}

}  // namespace dbproxy::operator_control
