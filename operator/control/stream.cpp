#include "operator/control/stream.hpp"

#include "proxy/base/log.hpp"
#include "proxy/wire/control/budget.hpp"
#include "proxy/wire/control/convert.hpp"
#include "proxy/wire/control/limits.hpp"

namespace dbproxy::operator_control {
namespace {

constexpr std::string_view kBearer = "Bearer ";
constexpr std::size_t kMaxWord = 253;
constexpr int kMaxBackends = 10'000;  // of one target that are counted as known

Secret bearer_token(const grpc::CallbackServerContext& context) {
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find("authorization");
  if (found == metadata.end()) return {};
  const std::string_view value(found->second.data(), found->second.size());
  if (!value.starts_with(kBearer)) return {};
  return Secret(std::string(value.substr(kBearer.size())));
}

// What a peer calls itself goes into log lines and tables.
std::string word(const std::string& text) {
  std::string out = text.substr(0, kMaxWord);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x21 || c == 0x7f) c = '?';
  }
  return out;
}

}  // namespace

Stream::Stream(Hub& hub, grpc::CallbackServerContext& context)
    : hub_(hub),
      context_(context),
      opened_at_(hub.clock.now()),
      peer_(context.peer()),
      messages_(hub.options.messages_per_second, hub.options.message_burst, opened_at_),
      token_(bearer_token(context)) {}

void Stream::open() {
  self_ = shared_from_this();
  hub_.opened(self_);
  const bool admitted = token_.empty() || hub_.admit();
  const std::lock_guard lock(mutex_);
  if (token_.empty()) {
    hub_.count_refused();
    log::warn("control", "sidecar refused", {{"peer", peer_}, {"reason", "no token"}});
    finish({grpc::StatusCode::UNAUTHENTICATED, "a token is needed: authorization: Bearer <token>"});
  } else if (!admitted) {
    finish({grpc::StatusCode::UNAVAILABLE, "too many sidecars connect at once, try again"});
  } else {
    StartRead(&incoming_);
  }
}

void Stream::OnReadDone(bool ok) {
  if (!ok) {
    const std::lock_guard lock(mutex_);
    finish(grpc::Status::OK);
    return;
  }
  grpc::Status status;
  if (!messages_.take(hub_.clock.now())) {
    status = {grpc::StatusCode::RESOURCE_EXHAUSTED, "more messages than a sidecar has reason to send"};
  } else {
    status = handle();
    if (status.ok() && incoming_.has_hello()) {
      check_hello();
      return;
    }
  }
  go_on(status);
}

void Stream::go_on(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  if (state_ >= State::kEnding) return;
  if (!status.ok()) {
    const std::string said = incoming_.has_hello() ? word(incoming_.hello().identity()) : identity_;
    log::warn("control", "sidecar refused", {{"identity", said}, {"peer", peer_}, {"reason", status.error_message()}});
    hub_.count_refused();
    finish(status);
  } else {
    StartRead(&incoming_);
  }
}

grpc::Status Stream::handle() {
  bool greeted = false;
  {
    const std::lock_guard lock(mutex_);
    if (state_ >= State::kEnding) return grpc::Status::OK;
    greeted = state_ != State::kOpen;
  }
  if (incoming_.has_hello() == greeted) {
    return {grpc::StatusCode::INVALID_ARGUMENT, greeted ? "a second Hello" : "the first message must be a Hello"};
  }
  switch (incoming_.body_case()) {
    case v1::SidecarMessage::kConfigReply:
      handle_reply(incoming_.config_reply());
      break;
    case v1::SidecarMessage::kTargetReport:
      handle_target_report(incoming_.target_report());
      break;
    case v1::SidecarMessage::kBudgetReport:
      handle_budget_report(incoming_.budget_report());
      break;
    case v1::SidecarMessage::kActivityReport:
      if (serves(incoming_.activity_report().proxy())) hub_.activity.report(this, incoming_.activity_report());
      break;
    case v1::SidecarMessage::kStatus:
      handle_status(incoming_.status());
      break;
    default:
      break;  // from a newer sidecar
  }
  return grpc::Status::OK;
}

void Stream::check_hello() {
  if (const std::optional<std::string> leader = hub_.redirect()) {
    redirect(*leader);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kOpen) return;
    state_ = State::kChecking;
  }
  // Nothing is read until the answer is there: `incoming_` stays as it is.
  hub_.tokens.check(token_, incoming_.hello().identity(),
                    [self = shared_from_this()](const Verdict& verdict) { self->greet(verdict); });
}

void Stream::redirect(const std::string& address) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kOpen) return;
  if (address.empty()) {
    finish({grpc::StatusCode::UNAVAILABLE, "no replica of the operator leads now, try again"});
    return;
  }
  context_.AddInitialMetadata("dbproxy-operator-version", hub_.options.software_version);
  StartSendInitialMetadata();
  outgoing_.mutable_redirect()->set_address(address);
  // Sent whole before the stream ends.
  StartWriteAndFinish(&outgoing_, grpc::WriteOptions(),
                      {grpc::StatusCode::UNAVAILABLE, "another replica of the operator leads"});
  state_ = State::kEnded;
}

grpc::Status Stream::judge(const Verdict& verdict) const {
  switch (verdict.kind) {
    case Verdict::Kind::kGood:
      break;
    case Verdict::Kind::kUnknownToken:
      return {grpc::StatusCode::UNAUTHENTICATED, verdict.message.empty() ? "the token is not known" : verdict.message};
    case Verdict::Kind::kOtherIdentity:
      return {grpc::StatusCode::PERMISSION_DENIED,
              "the token was not made for the identity " + word(incoming_.hello().identity())};
    case Verdict::Kind::kRefused:
      return {grpc::StatusCode::PERMISSION_DENIED, verdict.message};
    case Verdict::Kind::kLater:
      return {grpc::StatusCode::UNAVAILABLE, verdict.message};
  }
  return grpc::Status::OK;
}

void Stream::greet(const Verdict& verdict) {
  const v1::Hello& hello = incoming_.hello();
  const std::string name = word(hello.identity());
  std::string forbidden;
  grpc::Status status = judge(verdict);
  const bool renew = status.ok() && !hub_.learn(name, hello.listener_certificate());
  if (status.ok()) {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kChecking) return;
    forbidden = session_.begin(hello, verdict.proxies, verdict.withheld, renew);
    if (!forbidden.empty()) {
      status = {grpc::StatusCode::PERMISSION_DENIED, "the token is not good for the DBProxy " + word(forbidden)};
    } else {
      identity_ = name;
      software_version_ = word(hello.software_version());
      incarnation_ = hello.incarnation();
      connected_since_ = hub_.clock.wall();
      state_ = State::kGreeted;
      context_.AddInitialMetadata("dbproxy-operator-version", hub_.options.software_version);
      if (hub_.budgets.leases()) {
        context_.AddInitialMetadata(wire_control::kBudgetMetadata, wire_control::kBudgetVersion);
      }
      StartSendInitialMetadata();
    }
  }
  if (!forbidden.empty()) hub_.tokens.overreached(token_, name, word(forbidden));
  if (status.ok()) {
    log::info("control", "sidecar connected",
              {{"identity", name},
               {"peer", peer_},
               {"version", word(hello.software_version())},
               {"held", hello.held_size()}});
    hub_.enroll(shared_from_this(), name);
  }
  go_on(status);
}

void Stream::handle_reply(const v1::ConfigReply& reply) {
  Session::Answer answer;
  {
    const std::lock_guard lock(mutex_);
    answer = session_.reply(reply);
    pump();
  }
  hub_.count(answer);
  const std::string proxy = word(reply.proxy());
  if (answer == Session::Answer::kAck) {
    log::info("control", "configuration in force at sidecar",
              {{"identity", identity()}, {"proxy", proxy}, {"version", reply.version()}});
  } else if (answer == Session::Answer::kNack) {
    log::warn("control", "configuration refused by sidecar",
              {{"identity", identity()},
               {"proxy", proxy},
               {"version_in_force", reply.version()},
               {"error", reply.error().substr(0, 1024)}});
  }
}

void Stream::handle_target_report(const v1::TargetReport& message) {
  TargetReport report;
  {
    const std::lock_guard lock(mutex_);
    if (!session_.wants(message.proxy())) return;
    report.identity = identity_;
  }
  if (!wire_control::from_proto(message.health(), report.health)) return;
  if (!wire_control::from_proto(message.reason(), report.reason)) return;
  report.proxy = message.proxy();
  report.target = message.target().substr(0, kMaxWord);
  report.user = message.user().substr(0, kMaxWord);
  if (hub_.target_report) hub_.target_report(report);
}

void Stream::handle_status(const v1::StatusReport& report) {
  std::string pod;
  {
    const std::lock_guard lock(mutex_);
    session_.status(report);
    if (!budgets_.contains(report.proxy())) return;
    pod = identity_;
  }
  std::map<std::string, std::vector<std::uint32_t>> ids;
  for (const v1::Backends& each : report.backends()) {
    if (ids.size() >= wire_control::kMaxTargets) break;
    const int count = std::min(each.ids_size(), kMaxBackends);
    ids[each.target().substr(0, kMaxWord)].assign(each.ids().begin(), each.ids().begin() + count);
  }
  hub_.budgets.backends(report.proxy(), pod, std::move(ids));
  hub_.budgets.use(report.proxy(), pod, report.server_connections(), report.server_connections_in_use());
  hub_.budgets.gave_way(report.proxy(), pod, report.gave_way());
}

void Stream::handle_budget_report(const v1::BudgetReport& message) {
  std::string pod;
  {
    const std::lock_guard lock(mutex_);
    if (!budgets_.contains(message.proxy())) return;
    pod = identity_;
  }
  if (const auto report = wire_control::from_proto(message, pod)) hub_.budgets.report(message.proxy(), *report);
}

void Stream::end(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  finish(status);
}

void Stream::finish(const grpc::Status& status) {
  if (state_ >= State::kEnding) return;
  if (writing_) {
    state_ = State::kEnding;
    final_status_ = status;
    context_.TryCancel();  // a peer that does not read would keep the write, and so us, for ever
    return;
  }
  state_ = State::kEnded;
  Finish(status);
}

void Stream::OnCancel() {
  end({grpc::StatusCode::CANCELLED, "the sidecar has left"});
}

void Stream::OnDone() {
  const std::string name = identity();
  if (!name.empty()) log::info("control", "sidecar disconnected", {{"identity", name}, {"peer", peer_}});
  hub_.closed(this);
  hub_.activity.forget(this);
  hub_.budgets.silent(name, this);
  const std::shared_ptr<Stream> last = std::move(self_);
}

bool Stream::serves(const std::string& proxy) const {
  const std::lock_guard lock(mutex_);
  return session_.exists(proxy);
}

}  // namespace dbproxy::operator_control
