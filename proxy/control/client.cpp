#include "proxy/control/client.hpp"

#include <condition_variable>
#include <grpcpp/client_context.h>
#include <mutex>
#include <random>
#include <thread>

#include "dbproxy/v1/control.grpc.pb.h"

#include "proxy/base/log.hpp"
#include "proxy/control/backoff.hpp"
#include "proxy/control/channel.hpp"
#include "proxy/control/configs.hpp"
#include "proxy/control/outbox.hpp"
#include "proxy/pki/pki.hpp"
#include "proxy/wire/control/budget.hpp"
#include "proxy/wire/control/grpc_process.hpp"

namespace dbproxy::control {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;
using Stream = grpc::ClientReaderWriterInterface<v1::SidecarMessage, v1::OperatorMessage>;

constexpr milliseconds kReportSpacing{100};  // between bursts of reports
constexpr milliseconds kStableAfter{5000};   // a stream that lived this long proves that the operator is well
constexpr milliseconds kRedirectTime{200};   // for an operator that does not lead to say so
constexpr milliseconds kBudgetSpacing{10};   // between reports of the connection budget, once there were many of them
constexpr int kBudgetBurst = 50;
constexpr std::size_t kMaxCa = 1024 * 1024;

std::vector<std::string> with_namespaces(std::vector<std::string> proxies) {
  for (std::string& proxy : proxies) {
    if (proxy.find('/') == std::string::npos) proxy.insert(0, "default/");
  }
  return proxies;
}

}  // namespace

struct Client::Impl {
  Impl(ClientOptions o, ClientCallbacks c, metrics::Registry& registry, const Clock& clock)
      : options(std::move(o)),
        callbacks(std::move(c)),
        configs(
            {options.identity, with_namespaces(options.proxies), options.state_dir, lives_in_memory(options.state_dir)},
            callbacks.apply, callbacks.remove, registry, clock),
        connected(registry.gauge("dbproxy_control_connected", "1 while the operator's stream is up")),
        reconnects(registry.counter("dbproxy_control_reconnects_total", "Streams that ended and were tried again")) {}

  void run();
  std::string attempt();  // returns why it ended
  bool await_channel(grpc::Channel& channel, SteadyClock::time_point deadline);
  void read(Stream& stream);
  void write(Stream& stream, grpc::ClientContext& context, SteadyClock::time_point taken_by);
  void restore_when_due();
  void learn_alone();
  void sleep(milliseconds duration);

  const ClientOptions options;
  const ClientCallbacks callbacks;
  Configs configs;
  metrics::Cell& connected;
  metrics::Cell& reconnects;

  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  bool parting = false;      // the last reports, then the stream's end, then no other stream
  bool stream_over = false;  // tells the writer of the current stream to end
  bool hello_taken = false;
  bool leases = false;  // the operator of the current stream does
  SteadyClock::time_point served_from;
  std::condition_variable parted;
  grpc::ClientContext* context = nullptr;
  Outbox outbox;

  std::mutex restore_mutex;
  bool restored = false;  // tried, with whatever result

  SteadyClock::time_point started;
  std::string redirect;  // where the last stream sent us; reader thread only
  std::thread thread;
};

void Client::Impl::sleep(milliseconds duration) {
  std::unique_lock lock(mutex);
  wake.wait_for(lock, duration, [this] { return stopping; });
}

void Client::Impl::restore_when_due() {
  const std::lock_guard lock(restore_mutex);
  if (restored || SteadyClock::now() - started < options.last_good_wait) return;
  restored = true;
  if (options.state_dir.empty() || configs.complete()) return;
  const Result<Secret> token = read_token(options.token_file);
  if (token.has_value()) configs.restore(token.value());
}

void Client::Impl::run() {
  Backoff backoff(options.backoff_base, options.backoff_cap);
  std::mt19937_64 random(std::random_device{}());
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  std::string last_reason;
  while (true) {
    const auto begin = SteadyClock::now();
    const std::string reason = attempt();
    {
      const std::lock_guard lock(mutex);
      if (stopping || parting) return;
      if (hello_taken && SteadyClock::now() - begin >= kStableAfter) backoff.reset();
      if (hello_taken || reason != last_reason) {
        log::warn("control", "operator is away, what is in force stays",
                  {{"operator", options.operator_address}, {"reason", reason}});
      }
      last_reason = reason;
      hello_taken = false;
    }
    reconnects.add();
    restore_when_due();
    if (callbacks.connected) callbacks.connected(false);
    sleep(backoff.next(unit(random)));
    restore_when_due();
  }
}

// False when the operator cannot be reached; never longer than the deadline, and at once on stop.
bool Client::Impl::await_channel(grpc::Channel& channel, SteadyClock::time_point deadline) {
  grpc_connectivity_state state = channel.GetState(true);
  while (state != GRPC_CHANNEL_READY) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) return false;
    if (SteadyClock::now() >= deadline) return false;
    {
      const std::lock_guard lock(mutex);
      if (stopping) return false;
    }
    channel.WaitForStateChange(state, std::chrono::system_clock::now() + milliseconds(50));
    restore_when_due();
    state = channel.GetState(true);
  }
  return true;
}

std::string Client::Impl::attempt() {
  const Result<std::string> ca = pki::read_small_file(options.ca_file, kMaxCa);
  if (ca.has_error()) return "cannot read " + options.ca_file + ": " + ca.error().message();
  const Result<Secret> token = read_token(options.token_file);
  if (token.has_error()) return "cannot read a token from " + options.token_file + ": " + token.error().message();
  configs.set_token(token.value());

  const bool redirected = !redirect.empty();
  const std::string address = redirected ? std::exchange(redirect, {}) : options.operator_address;
  const auto channel = make_channel(address, ca.value(), redirected ? host_of(options.operator_address) : "");
  const auto deadline = SteadyClock::now() + options.connect_timeout;
  if (!await_channel(*channel, deadline)) return "no connection to " + address + " that its certificate allows";

  const auto stub = v1::Control::NewStub(channel);
  grpc::ClientContext stream_context;
  stream_context.AddMetadata("authorization", "Bearer " + std::string(token.value().reveal()));
  v1::SidecarMessage hello;
  hello.mutable_hello()->set_identity(options.identity);
  hello.mutable_hello()->set_software_version(options.software_version);
  hello.mutable_hello()->set_incarnation(options.incarnation);
  hello.mutable_hello()->set_listener_certificate(configs.listener_certificate());
  for (const std::string& proxy : with_namespaces(options.proxies)) hello.mutable_hello()->add_proxies(proxy);
  for (v1::HeldConfig& held : configs.held()) {
    if (callbacks.overridden && callbacks.overridden(held.proxy())) continue;
    *hello.mutable_hello()->add_held() = std::move(held);
  }
  {
    const std::lock_guard lock(mutex);
    if (stopping) return "stopping";
    context = &stream_context;
    stream_over = false;
    outbox.new_stream();
  }
  const std::unique_ptr<Stream> stream = stub->Connect(&stream_context);
  stream->Write(hello);  // where it fails, so does the read, and Finish tells why
  std::thread writer([&] { write(*stream, stream_context, deadline); });
  // The operator's first metadata come when it has taken the Hello; a refusal has none.
  stream->WaitForInitialMetadata();
  const auto& metadata = stream_context.GetServerInitialMetadata();
  if (metadata.contains("dbproxy-operator-version")) {
    {
      const std::lock_guard lock(mutex);
      hello_taken = true;
      leases = metadata.contains(wire_control::kBudgetMetadata);
      served_from = SteadyClock::now() + kRedirectTime;
    }
    connected.set(1);
    if (callbacks.connected) callbacks.connected(true);
    log::info("control", "connected to the operator", {{"operator", address}, {"peer", stream_context.peer()}});
    read(*stream);
    connected.set(0);
  } else {
    v1::OperatorMessage ignored;  // not our operator, or a refusal on its way; the writer's deadline ends it
    while (stream->Read(&ignored)) ignored.Clear();
  }
  {
    const std::lock_guard lock(mutex);
    stream_over = true;
    context = nullptr;
    // Only where it is us who leave: cancelling would hide the status that the operator gave.
    if (stopping || !redirect.empty()) stream_context.TryCancel();
  }
  wake.notify_all();
  parted.notify_all();
  writer.join();
  const grpc::Status status = stream->Finish();
  return "stream ended with code " + std::to_string(status.error_code()) + ": " +
         (status.error_message().empty() ? "no reason given" : status.error_message());
}

void Client::Impl::read(Stream& stream) {
  v1::OperatorMessage message;
  bool served = false;
  while (stream.Read(&message)) {
    switch (message.body_case()) {
      case v1::OperatorMessage::kConfig: {
        // So that clients need not wait until it is clear that nobody sends us on: who serves does not.
        if (!std::exchange(served, true)) learn_alone();
        v1::ConfigReply reply = configs.receive(*message.mutable_config());
        const std::lock_guard lock(mutex);
        outbox.reply(std::move(reply));
        break;
      }
      case v1::OperatorMessage::kRedirect:
        redirect = message.redirect().address();
        log::info("control", "redirected to the leader", {{"address", redirect}});
        return;
      case v1::OperatorMessage::kBudgetOpen:
        if (callbacks.open) {
          callbacks.open(message.budget_open().proxy(), wire_control::from_proto(message.budget_open()));
        }
        break;
      case v1::OperatorMessage::kBudgetAllowance:
        if (const auto allowance = wire_control::from_proto(message.budget_allowance()); allowance && callbacks.allow) {
          callbacks.allow(message.budget_allowance().proxy(), *allowance);
        }
        break;
      default:  // what a newer operator says is not for us
        break;
    }
    wake.notify_all();
    message.Clear();
  }
}

// The operator of this stream serves. Whether it leases, too, it has said.
void Client::Impl::learn_alone() {
  {
    const std::lock_guard lock(mutex);
    if (leases) return;
  }
  if (callbacks.count_alone) callbacks.count_alone();
}

void Client::Impl::write(Stream& stream, grpc::ClientContext& stream_context, SteadyClock::time_point taken_by) {
  auto next_status = SteadyClock::now();
  auto next_activity = next_status;
  auto next_report = SteadyClock::now();
  auto budget_from = SteadyClock::now() - kBudgetBurst * kBudgetSpacing;  // each report moves it on by the spacing
  bool looked = false;
  std::unique_lock lock(mutex);
  while (!stream_over && !stopping) {
    const auto now = SteadyClock::now();
    if (!hello_taken && now >= taken_by) {
      stream_context.TryCancel();
      return;
    }
    // One that does not lease because it does not lead has sent us on by then.
    if (hello_taken && now >= served_from && !std::exchange(looked, true)) {
      lock.unlock();
      learn_alone();
      lock.lock();
    }
    if (hello_taken && callbacks.status && now >= next_status) {
      next_status = now + options.status_interval;
      lock.unlock();
      const std::vector<worker::ProxyRow> rows = callbacks.status();
      lock.lock();
      for (const worker::ProxyRow& row : rows) outbox.status(row);
    }
    if (hello_taken && callbacks.activity && now >= next_activity) {
      next_activity = now + options.activity_interval;
      lock.unlock();
      std::vector<v1::ActivityReport> reports = callbacks.activity();
      lock.lock();
      for (v1::ActivityReport& report : reports) outbox.activity(std::move(report));
    }
    const bool budget_now = outbox.has_budget() && now >= budget_from;
    if (hello_taken && !outbox.empty() && (outbox.has_reply() || budget_now || now >= next_report)) {
      std::vector<v1::SidecarMessage> burst;
      const bool others = now >= next_report;
      if (others) next_report = now + kReportSpacing;
      while (std::optional<v1::SidecarMessage> message = outbox.take(budget_now, others)) {
        if (message->has_budget_report()) {
          budget_from = std::max(budget_from, now - kBudgetBurst * kBudgetSpacing) + kBudgetSpacing;
        }
        burst.push_back(std::move(*message));
      }
      lock.unlock();
      for (const v1::SidecarMessage& message : burst) {
        if (!stream.Write(message)) return;  // the reader sees the end too
      }
      lock.lock();
      continue;
    }
    if (hello_taken && parting && !outbox.has_budget()) {
      lock.unlock();
      stream.WritesDone();  // behind what was written; the operator ends the stream once it has read it all
      return;
    }
    lock.unlock();
    restore_when_due();
    lock.lock();
    if (stream_over || stopping) return;
    if (!outbox.empty() && hello_taken) {
      const auto until = outbox.has_budget() ? std::min(next_report, budget_from) : next_report;
      wake.wait_until(lock, until, [&] {
        return stream_over || stopping || outbox.has_reply() || (parting && !outbox.has_budget()) ||
               (outbox.has_budget() && SteadyClock::now() >= budget_from);
      });
    } else {
      wake.wait_for(lock, milliseconds(callbacks.status || !hello_taken || !restored ? 100 : 1000),
                    [this] { return stream_over || stopping || (hello_taken && (parting || !outbox.empty())); });
    }
  }
}

Client::Client(ClientOptions options, ClientCallbacks callbacks, metrics::Registry& registry, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(callbacks), registry, clock)) {
  wire_control::prepare_grpc();
}

Client::~Client() {
  stop();
}

void Client::start() {
  impl_->started = SteadyClock::now();
  impl_->thread = std::thread([this] { impl_->run(); });
}

void Client::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
    if (impl_->context != nullptr) impl_->context->TryCancel();
  }
  impl_->wake.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

bool Client::connected() const {
  return impl_->connected.get() == 1;
}

void Client::report(const std::string& proxy, const budget::Report& report) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->outbox.budget(proxy, report);
  }
  impl_->wake.notify_all();
}

void Client::part(std::chrono::milliseconds timeout) {
  std::unique_lock lock(impl_->mutex);
  impl_->parting = true;
  impl_->wake.notify_all();
  impl_->parted.wait_for(lock, timeout, [this] { return !impl_->hello_taken || impl_->context == nullptr; });
}

void Client::observe(const worker::TargetObservation& observation) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->outbox.observation(observation);
  }
  impl_->wake.notify_all();
}

}  // namespace dbproxy::control
