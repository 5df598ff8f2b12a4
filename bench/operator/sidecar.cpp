#include "bench/operator/sidecar.hpp"

#include <condition_variable>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>
#include <thread>
#include <utility>

#include "dbproxy/v1/control.grpc.pb.h"

#include "proxy/control/channel.hpp"
#include "proxy/wire/control/budget.hpp"
#include "proxy/wire/control/convert.hpp"

namespace dbproxy::bench {

using std::chrono::milliseconds;

constexpr milliseconds kTick{250};
constexpr int kIdleTicks = 6;  // after which nobody need have asked for what is idle

struct Timer::Impl {
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::multimap<SteadyClock::time_point, std::function<void()>> due;
  std::thread thread;

  void run() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      if (due.empty()) {
        wake.wait(lock);
      } else if (due.begin()->first > SteadyClock::now()) {
        wake.wait_until(lock, due.begin()->first);
      } else {
        const std::function<void()> what = std::move(due.begin()->second);
        due.erase(due.begin());
        lock.unlock();
        what();
        lock.lock();
      }
    }
  }
};

Timer::Timer() : impl_(std::make_unique<Impl>()) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->run(); });
}

Timer::~Timer() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->thread.join();
}

void Timer::after(milliseconds delay, std::function<void()> what) {
  const std::lock_guard lock(impl_->mutex);
  const auto at = impl_->due.emplace(SteadyClock::now() + delay, std::move(what));
  if (at == impl_->due.begin()) impl_->wake.notify_all();
}

// One stream: lives from connect() until gRPC says that it is done.
class Sidecar::Attempt final : public grpc::ClientBidiReactor<v1::SidecarMessage, v1::OperatorMessage> {
 public:
  Attempt(Sidecar& sidecar, std::shared_ptr<grpc::Channel> channel, v1::SidecarMessage hello)
      : sidecar_(sidecar),
        channel_(std::move(channel)),
        stub_(v1::Control::NewStub(channel_)),
        outgoing_(std::move(hello)) {}

  void start() {
    context.AddMetadata("authorization", "Bearer " + sidecar_.token_);
    stub_->async()->Connect(&context, this);
    StartWrite(&outgoing_);
    StartRead(&incoming_);
    StartCall();
  }

  void OnReadInitialMetadataDone(bool ok) override {
    if (ok && context.GetServerInitialMetadata().contains("dbproxy-operator-version")) sidecar_.greeted();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (incoming_.has_redirect()) {
      redirect_ = incoming_.redirect().address();
      context.TryCancel();
    } else if (incoming_.has_config()) {
      take(*incoming_.mutable_config());
    } else if (incoming_.has_budget_open()) {
      take(wire_control::from_proto(incoming_.budget_open()));
    } else if (const auto allowance = incoming_.has_budget_allowance()
                                          ? wire_control::from_proto(incoming_.budget_allowance())
                                          : std::nullopt) {
      take(*allowance);
    }
    v1::OperatorMessage().Swap(&incoming_);
    StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok) write();
  }

  void OnDone(const grpc::Status& status) override {
    sidecar_.ended(std::to_string(status.error_code()) + " " + status.error_message(), redirect_);
    // Nobody else knows of it any more. Not here: the last channel to go ends gRPC's callback threads, and this is one.
    sidecar_.timer_.after({}, [this] { delete this; });
  }

  void report(v1::SidecarMessage message) {
    const std::lock_guard lock(mutex_);
    report_ = std::move(message);  // all of it is in each
    write();
  }

  grpc::ClientContext context;

 private:
  void take(const budget::Open& open) {
    const std::lock_guard lock(sidecar_.mutex_);
    sidecar_.ledger_.take(open);
    sidecar_.settle();
    sidecar_.tell();
  }

  void take(const budget::Allowance& allowance) {
    const std::lock_guard lock(sidecar_.mutex_);
    sidecar_.ledger_.take(allowance, sidecar_.clock_.now());
    sidecar_.settle();
    sidecar_.tell();
  }

  void take(const v1::ConfigUpdate& update) {
    v1::ConfigReply reply;
    reply.set_proxy(update.proxy());
    reply.set_nonce(update.nonce());
    {
      const std::lock_guard lock(sidecar_.mutex_);
      if (update.removed()) {
        sidecar_.held_.erase(update.proxy());
      } else {
        sidecar_.held_[update.proxy()] = {update.snapshot().version(), wire_control::digest(update.snapshot())};
        sidecar_.view_.mark = update.snapshot().pool().max_connections_percent();
        sidecar_.view_.in_force_at = SteadyClock::now();
        for (const v1::Target& target : update.snapshot().targets()) {
          if (target.role() == v1::READ_WRITE) sidecar_.writer_ = target.id();
        }
        reply.set_version(update.snapshot().version());
      }
    }
    const std::lock_guard lock(mutex_);
    replies_.push_back(std::move(reply));
    write();
  }

  void write() {  // with the lock
    if (writing_ || (replies_.empty() && !report_)) return;
    outgoing_.Clear();
    if (!replies_.empty()) {
      *outgoing_.mutable_config_reply() = std::move(replies_.front());
      replies_.erase(replies_.begin());
    } else {
      outgoing_ = std::move(*report_);
      report_.reset();
    }
    writing_ = true;
    StartWrite(&outgoing_);
  }

  Sidecar& sidecar_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::Control::Stub> stub_;
  v1::OperatorMessage incoming_;
  std::string redirect_;
  std::mutex mutex_;
  v1::SidecarMessage outgoing_;
  bool writing_ = true;
  std::vector<v1::ConfigReply> replies_;
  std::optional<v1::SidecarMessage> report_;
};

Sidecar::Sidecar(const FleetOptions& options, Timer& timer, std::string identity, std::string token,
                 std::vector<std::string> proxies, std::uint64_t seed)
    : options_(options),
      timer_(timer),
      identity_(std::move(identity)),
      token_(std::move(token)),
      proxies_(std::move(proxies)),
      random_(seed),
      backoff_(options.backoff_base, options.backoff_cap),
      ledger_({.pod = identity_, .incarnation = seed + 1}) {
  timer_.after(kTick, [this] { tick(); });
}

Sidecar::~Sidecar() = default;

void Sidecar::connect() {
  Attempt* attempt = nullptr;
  std::uint32_t number = 0;
  {
    const std::lock_guard lock(mutex_);
    v1::SidecarMessage hello;
    hello.mutable_hello()->set_identity(identity_);
    hello.mutable_hello()->set_software_version("bench");
    hello.mutable_hello()->set_incarnation(ledger_.hello().incarnation);
    for (const std::string& proxy : proxies_) hello.mutable_hello()->add_proxies(proxy);
    for (const auto& [proxy, held] : held_) {
      v1::HeldConfig* each = hello.mutable_hello()->add_held();
      each->set_proxy(proxy);
      each->set_version(held.version);
      each->set_digest(held.digest);
    }
    const bool redirected = !redirect_.empty();
    const std::string address = redirected ? std::exchange(redirect_, {}) : options_.address;
    const std::string name = redirected ? control::host_of(options_.address) : "";
    number = ++view_.attempts;
    attempt = attempt_ = new Attempt(*this, control::make_channel(address, options_.ca_pem, name), std::move(hello));
  }
  timer_.after(options_.hello_timeout, [this, number] { expire(number); });
  attempt->start();
}

void Sidecar::greeted() {
  const std::lock_guard lock(mutex_);
  view_.greeted = true;
  view_.greeted_at = SteadyClock::now();
}

void Sidecar::expire(std::uint32_t number) {
  const std::lock_guard lock(mutex_);
  if (attempt_ != nullptr && view_.attempts == number && !view_.greeted) attempt_->context.TryCancel();
}

void Sidecar::ended(const std::string& reason, const std::string& redirect) {
  milliseconds delay{};
  {
    const std::lock_guard lock(mutex_);
    attempt_ = nullptr;
    if (view_.greeted && SteadyClock::now() - view_.greeted_at >= options_.stable_after) backoff_.reset();
    view_.greeted = false;
    view_.last_end = reason;
    redirect_ = redirect;
    if (!redirect.empty()) ++view_.redirects;
    delay = backoff_.next(std::uniform_real_distribution<double>(0, 1)(random_));
  }
  timer_.after(delay, [this] { connect(); });
}

void Sidecar::settle() {
  for (int i = 0; i < 2; ++i) {  // what is open covers what is given back
    open_ = std::min(std::max(open_, wanted_), ledger_.limit(writer_));
    const budget::Slots idle = open_ - std::min(open_, wanted_);
    idle_.note(idle);
    ledger_.set_use(writer_, {true, open_, wanted_ - std::min(open_, wanted_), std::min(idle_.unused(), idle)},
                    clock_.now());
  }
  if (open_ < wanted_ || !wanted_since_) return;
  waits_.push_back(SteadyClock::now() - *wanted_since_);
  wanted_since_.reset();
}

void Sidecar::tell() {
  const auto report = ledger_.report();
  if (!report || attempt_ == nullptr || proxies_.empty()) return;
  v1::SidecarMessage message;
  *message.mutable_budget_report() = wire_control::to_proto(proxies_.front(), *report);
  attempt_->report(std::move(message));  // it lives as long as it is known here
}

void Sidecar::tick() {
  {
    const std::lock_guard lock(mutex_);
    const budget::Slots idle = open_ - std::min(open_, wanted_);
    idle_.look(idle, open_);
    idle_ticks_ = idle == 0 ? 0 : idle_ticks_ + 1;
    if (idle_ticks_ >= kIdleTicks) open_ -= std::min(idle_.unused(), idle);
    settle();
    ledger_.tick(clock_.now());
    tell();
  }
  timer_.after(kTick, [this] { tick(); });
}

void Sidecar::want(budget::Slots slots) {
  const std::lock_guard lock(mutex_);
  wanted_since_.reset();
  if (slots > open_) wanted_since_ = SteadyClock::now();  // what is idle here is there at once, and no wait
  wanted_ = slots;
  settle();
  tell();
}

Sidecar::Slots Sidecar::slots() const {
  const std::lock_guard lock(mutex_);
  return {wanted_, open_, waits_};
}

void Sidecar::forget_waits() {
  const std::lock_guard lock(mutex_);
  waits_.clear();
}

Sidecar::View Sidecar::view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

}  // namespace dbproxy::bench
