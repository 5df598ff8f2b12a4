// Stream: what goes to the sidecar, and what is told of it.
#include "operator/control/stream.hpp"
#include "proxy/wire/control/budget.hpp"
#include "proxy/wire/control/convert.hpp"

namespace dbproxy::operator_control {

void Stream::serve(const std::map<std::string, PublishedPtr>& book) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kGreeted) return;
    state_ = State::kServed;
    session_.publish_all(book);
    pump();
  }
  enter_budgets();
}

void Stream::publish(const std::map<std::string, PublishedPtr>& changed) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kServed) return;
    session_.publish_all(changed);
    pump();
  }
  enter_budgets();
}

// Behind the configuration: a sidecar has no use for slots of a DBProxy that it does not have.
void Stream::enter_budgets() {
  std::vector<std::string> fresh;
  {
    const std::lock_guard lock(mutex_);
    if (incarnation_ == 0 || !hub_.budgets.leases()) return;
    std::erase_if(budgets_, [&](const std::string& proxy) { return !session_.exists(proxy); });
    for (const std::string& proxy : session_.served()) {
      if (budgets_.insert(proxy).second) fresh.push_back(proxy);
    }
  }
  for (const std::string& proxy : fresh) hub_.budgets.hello(proxy, identity(), incarnation_, shared_from_this());
}

void Stream::tell(const std::string& proxy, const budget::Open& open) {
  v1::OperatorMessage message;
  *message.mutable_budget_open() = wire_control::to_proto(proxy, open);
  queue(std::move(message));
}

void Stream::tell(const std::string& proxy, const budget::Allowance& allowance) {
  v1::OperatorMessage message;
  *message.mutable_budget_allowance() = wire_control::to_proto(proxy, allowance);
  queue(std::move(message));
}

void Stream::queue(v1::OperatorMessage message) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kServed) return;
  budget_messages_.push_back(std::move(message));
  pump();
}

void Stream::refresh() {
  const std::lock_guard lock(mutex_);
  session_.refresh();
  pump();
}

void Stream::pump() {
  if (state_ != State::kServed || writing_) return;
  const std::optional<Push> push = session_.next();
  if (!push) {
    if (budget_messages_.empty()) return;
    outgoing_ = std::move(budget_messages_.front());
    budget_messages_.pop_front();
    writing_ = true;
    StartWrite(&outgoing_);
    return;
  }
  v1::ConfigUpdate* update = outgoing_.mutable_config();
  update->set_nonce(push->nonce);
  update->set_proxy(push->proxy);
  update->set_removed(push->content == nullptr);
  if (push->content) {
    // Made for this one write and wiped after it: between writes secrets live in the snapshot's Secrets only.
    *update->mutable_snapshot() = wire_control::to_proto(*push->content->snapshot);
    const pki::Identity listener = hub_.listener_identity(identity_);
    update->mutable_snapshot()->set_listener_certificate_pem(listener.certificate_pem);
    update->mutable_snapshot()->set_listener_key_pem(std::string(listener.key_pem.reveal()));
  }
  hub_.count_push();
  writing_ = true;
  StartWrite(&outgoing_);
}

void Stream::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (outgoing_.has_config() && outgoing_.config().has_snapshot()) {
    wire_control::wipe(*outgoing_.mutable_config()->mutable_snapshot());
  }
  v1::OperatorMessage().Swap(&outgoing_);  // gives the memory back, which Clear does not
  if (final_status_) {
    state_ = State::kEnded;
    Finish(*final_status_);
  } else if (!ok) {
    finish({grpc::StatusCode::UNAVAILABLE, "the stream broke"});
  } else {
    pump();
  }
}

bool Stream::waits_for_hello() const {
  const std::lock_guard lock(mutex_);
  return state_ == State::kOpen;
}

bool Stream::token_is_good() const {
  std::string name;
  {
    const std::lock_guard lock(mutex_);
    if (state_ < State::kGreeted || state_ >= State::kEnding) return true;
    name = identity_;
  }
  return hub_.tokens.still_good(token_, name);
}

std::string Stream::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

bool Stream::behind() const {
  const std::lock_guard lock(mutex_);
  return session_.behind();
}

std::vector<SidecarRow> Stream::rows() const {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kGreeted && state_ != State::kServed) return {};
  std::vector<SidecarRow> rows = session_.rows();
  for (SidecarRow& row : rows) {
    row.identity = identity_;
    row.peer = peer_;
    row.software_version = software_version_;
    row.connected_since = connected_since_;
  }
  return rows;
}

void Stream::add_use(std::map<std::string, topology::Use>& used) const {
  const std::lock_guard lock(mutex_);
  if (state_ == State::kGreeted || state_ == State::kServed) session_.add_use(used);
}

}  // namespace dbproxy::operator_control
