#include "operator/control/hub.hpp"

#include <chrono>

#include "operator/control/stream.hpp"
#include "proxy/base/log.hpp"
#include "proxy/wire/control/convert.hpp"

namespace dbproxy::operator_control {
namespace {
constexpr std::chrono::seconds kVerifyEvery{30};
constexpr std::chrono::minutes kForgetAfter{10};  // a sidecar that comes later tells what it has
}  // namespace

Hub::Hub(ServerOptions o, const TokenStore& t, metrics::Registry& registry, const Clock& c)
    : options(std::move(o)),
      tokens(t),
      clock(c),
      budgets(options.ceilings, registry, c),
      registry_(registry),
      admissions_(options.admissions_per_second, options.admission_burst, clock.now()),
      next_verify_(clock.now() + kVerifyEvery),
      connected_(registry.gauge("dbproxy_operator_sidecars_connected", "Sidecars whose stream is up")),
      behind_(registry.gauge("dbproxy_operator_sidecars_behind",
                             "Sidecars that have not put in force what was published last")),
      pushes_(registry.counter("dbproxy_operator_config_pushes_total", "Configurations sent to sidecars")),
      acks_(registry.counter("dbproxy_operator_config_acks_total", "Configurations that sidecars put in force")),
      nacks_(registry.counter("dbproxy_operator_config_nacks_total", "Configurations that sidecars refused")),
      refused_(
          registry.counter("dbproxy_operator_streams_refused_total", "Streams ended for what they asked or sent")) {
  budgets.certain = options.certain;
  budgets.fate = options.fate;
  budgets.news = options.budget_news;
  set_certificates(options.identity, options.authority);
}

void Hub::set_certificates(const pki::Identity& identity, const pki::Authority& authority) {
  show_end("authority", authority.certificate_pem);
  show_end("server", identity.certificate_pem);
  const std::lock_guard lock(certificates_mutex_);
  if (authority.certificate_pem == authority_.certificate_pem) return;
  authority_ = authority;
  ++authorities_;
  recheck_ = true;  // all sidecars' certificates are due
}

void Hub::show_end(const char* which, const std::string& pem) {
  const Result<WallTime> end = pki::expires_at(pem);
  if (end.has_error()) return;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(end.value().time_since_epoch()).count();
  registry_
      .gauge("dbproxy_operator_certificate_expires_seconds",
             "When a certificate of the control stream ends, in seconds since the epoch", {{"certificate", which}})
      .set(static_cast<std::uint64_t>(seconds));
}

void Hub::opened(const std::shared_ptr<Stream>& stream) {
  const std::lock_guard lock(mutex_);
  streams_.emplace(stream.get(), stream);
}

void Hub::enroll(const std::shared_ptr<Stream>& stream, const std::string& identity) {
  std::shared_ptr<Stream> older;
  {
    const std::lock_guard lock(mutex_);
    std::weak_ptr<Stream>& current = by_identity_[identity];
    older = current.lock();
    if (!older) connected_.add();
    current = stream;
    if (complete_) stream->serve(book_);
  }
  if (older && older != stream) {
    log::warn("control", "a newer stream of the same identity replaces one", {{"identity", identity}});
    older->end({grpc::StatusCode::ABORTED, "a newer stream of the same identity took over"});
  }
}

void Hub::closed(const Stream* stream) {
  const std::string identity = stream->identity();
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
  const auto current = by_identity_.find(identity);
  if (current == by_identity_.end() || current->second.lock().get() != stream) return;
  by_identity_.erase(current);
  connected_.sub();
}

bool Hub::admit() {
  const std::lock_guard lock(mutex_);
  return admissions_.take(clock.now());
}

pki::Identity Hub::listener_identity(const std::string& identity) {
  const std::lock_guard lock(certificates_mutex_);
  if (authority_.certificate_pem.empty()) return {};
  Certificate& known = certificates_[identity];
  if (!known.identity.certificate_pem.empty() && !is_due(known)) return known.identity;
  const Result<pki::Identity> made = pki::issue(authority_,
                                                {.common_name = "localhost",
                                                 .dns_names = {"localhost"},
                                                 .addresses = {"127.0.0.1", "::1"},
                                                 .life = options.listener_life},
                                                clock);
  if (made.has_error()) {
    log::error("control", "cannot issue a certificate for a sidecar's listeners",
               {{"identity", identity}, {"error", made.error().message()}});
    return {};
  }
  const Result<WallTime> due = pki::renewal_due(made.value().certificate_pem);
  known = {made.value(), authorities_, due.has_value() ? due.value() : WallTime{}, clock.now()};
  return known.identity;
}

// A sidecar leaves out of its Hello what is due; of one that does not show its certificate no more is known than that.
bool Hub::learn(const std::string& identity, const std::string& certificate) {
  const std::lock_guard lock(certificates_mutex_);
  if (authority_.certificate_pem.empty()) return true;
  const bool ours = certificate.empty() || pki::is_signed_by(certificate, authority_);
  const auto [known, fresh] = certificates_.try_emplace(identity);
  known->second.seen = clock.now();
  if (fresh) {
    const Result<WallTime> due = pki::renewal_due(certificate);
    known->second.authority = ours ? authorities_ : 0;
    known->second.due = due.has_value() ? due.value() : clock.wall() + options.listener_life / 6;
  }
  return ours;
}

void Hub::forget_certificates(TimePoint now) {
  const std::lock_guard lock(certificates_mutex_);
  std::erase_if(certificates_, [&](const auto& each) { return now - each.second.seen > kForgetAfter; });
}

// With the lock of certificates.
bool Hub::is_due(const Certificate& certificate) const {
  return certificate.authority != authorities_ || clock.wall() > certificate.due;
}

bool Hub::is_due(const std::string& identity) {
  const std::lock_guard lock(certificates_mutex_);
  const auto known = certificates_.find(identity);
  if (known == certificates_.end()) return false;
  known->second.seen = clock.now();
  return is_due(known->second);
}

void Hub::lead(bool leading, std::function<std::string()> leader) {
  {
    const std::lock_guard lock(mutex_);
    leading_ = leading;
    leader_ = std::move(leader);
  }
  budgets.lead(leading);
  if (leading) return;
  activity.clear();
  for (const std::shared_ptr<Stream>& stream : streams()) {
    stream->end({grpc::StatusCode::UNAVAILABLE, "this replica does not lead any more"});
  }
}

std::optional<std::string> Hub::redirect() const {
  std::function<std::string()> leader;
  {
    const std::lock_guard lock(mutex_);
    if (leading_) return std::nullopt;
    leader = leader_;
  }
  return leader ? leader() : std::string();
}

void Hub::publish(const std::map<std::string, config::SnapshotPtr>& changed, const std::vector<std::string>& unknown) {
  const std::lock_guard publishing(publish_mutex_);
  std::map<std::string, PublishedPtr> news;
  for (const auto& [proxy, snapshot] : changed) {
    PublishedPtr& published = news[proxy];
    if (!snapshot) continue;
    v1::Snapshot message = wire_control::to_proto(*snapshot);
    published = std::make_shared<const Published>(Published{snapshot, wire_control::digest(message)});
    wire_control::wipe(message);
  }
  for (const std::string& proxy : unknown) news[proxy] = std::make_shared<const Published>();
  for (const auto& [proxy, snapshot] : changed) budgets.publish(proxy, snapshot);
  bool first = false;
  std::vector<std::shared_ptr<Stream>> to;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [proxy, published] : news) {
      if (published) {
        book_[proxy] = published;
      } else {
        book_.erase(proxy);
      }
    }
    first = !std::exchange(complete_, true);
    for (const auto& [key, stream] : streams_) to.push_back(stream);
  }
  for (const std::shared_ptr<Stream>& stream : to) {
    if (first) {
      stream->serve(news);
    } else {
      stream->publish(news);
    }
  }
}

void Hub::tick() {
  const TimePoint now = clock.now();
  const bool verify = now >= next_verify_ || recheck_;
  recheck_ = false;
  if (verify) next_verify_ = now + kVerifyEvery;
  std::uint64_t behind = 0;
  std::map<std::string, topology::Use> used;
  for (const std::shared_ptr<Stream>& stream : streams()) {
    if (stream->behind()) ++behind;
    if (on_use) stream->add_use(used);
    if (stream->waits_for_hello() && now - stream->opened_at() >= options.hello_timeout) {
      count_refused();
      stream->end({grpc::StatusCode::DEADLINE_EXCEEDED, "no Hello came in time"});
    }
    if (verify && !stream->token_is_good()) {
      log::warn("control", "sidecar's token is no longer good", {{"identity", stream->identity()}});
      stream->end({grpc::StatusCode::UNAUTHENTICATED, "the token is no longer good"});
    }
    if (verify && is_due(stream->identity())) stream->refresh();
  }
  if (verify) forget_certificates(now);
  behind_.set(behind);
  budgets.tick();
  if (on_use) on_use(used);
}

std::vector<std::shared_ptr<Stream>> Hub::streams() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Stream>> out;
  for (const auto& [key, stream] : streams_) out.push_back(stream);
  return out;
}

void Hub::count(Session::Answer answer) {
  const std::lock_guard lock(count_mutex_);
  if (answer == Session::Answer::kAck) acks_.add();
  if (answer == Session::Answer::kNack) nacks_.add();
}

void Hub::count_push() {
  const std::lock_guard lock(count_mutex_);
  pushes_.add();
}

void Hub::count_refused() {
  const std::lock_guard lock(count_mutex_);
  refused_.add();
}

}  // namespace dbproxy::operator_control
