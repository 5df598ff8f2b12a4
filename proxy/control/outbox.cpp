#include "proxy/control/outbox.hpp"

#include "proxy/wire/control/budget.hpp"
#include "proxy/wire/control/convert.hpp"

namespace dbproxy::control {
namespace {
constexpr int kStatus = 0, kTarget = 1, kActivity = 2;
constexpr std::size_t kMaxSubjects = 4096;  // targets × users of one sidecar are far fewer
}  // namespace

void Outbox::reply(v1::ConfigReply reply) {
  // What was said of a DBProxy before the operator knew that it is here was of no use to it.
  for (const int kind : {kStatus, kActivity}) said_.erase({kind, reply.proxy(), "", ""});
  *replies_.emplace_back().mutable_config_reply() = std::move(reply);
}

void Outbox::status(const worker::ProxyRow& row) {
  v1::SidecarMessage message;
  v1::StatusReport* report_message = message.mutable_status();
  report_message->set_proxy(row.proxy);
  report_message->set_clients(row.clients);
  report_message->set_clients_waiting(row.clients_waiting);
  report_message->set_server_connections(row.servers);
  report_message->set_server_connections_in_use(row.servers_in_use);
  report_message->set_pinned(row.pinned);
  report_message->set_trouble(row.trouble);
  report_message->set_gave_way(row.gave_way);
  for (const auto& [target, ids] : row.backends) {
    v1::Backends* const to = report_message->add_backends();
    to->set_target(target);
    to->mutable_ids()->Add(ids.begin(), ids.end());
  }
  report({kStatus, row.proxy, "", ""}, std::move(message));
}

void Outbox::activity(v1::ActivityReport report_message) {
  Key key{kActivity, report_message.proxy(), "", ""};
  v1::SidecarMessage message;
  *message.mutable_activity_report() = std::move(report_message);
  report(std::move(key), std::move(message));
}

void Outbox::observation(const worker::TargetObservation& seen) {
  v1::SidecarMessage message;
  v1::TargetReport* report_message = message.mutable_target_report();
  report_message->set_proxy(seen.proxy);
  report_message->set_target(seen.target);
  report_message->set_user(seen.user);
  report_message->set_health(wire_control::to_proto(seen.health));
  report_message->set_reason(wire_control::to_proto(seen.reason));
  const Key key{kTarget, seen.proxy, seen.target, seen.user};
  if (current_.size() >= kMaxSubjects && !current_.contains(key)) return;
  current_[key] = message;
  report(key, std::move(message));
}

void Outbox::report(Key key, v1::SidecarMessage message) {
  const auto known = said_.find(key);
  if (known != said_.end() && known->second == message.SerializeAsString()) {
    reports_.erase(key);  // back to what was said before the change could be told
    return;
  }
  reports_[std::move(key)] = std::move(message);
}

// Each says all that there is to say.
void Outbox::budget(const std::string& proxy, const budget::Report& report) {
  v1::SidecarMessage message;
  *message.mutable_budget_report() = wire_control::to_proto(proxy, report);
  budgets_[proxy] = std::move(message);
}

std::optional<v1::SidecarMessage> Outbox::take(bool budgets, bool others) {
  if (!replies_.empty()) {
    v1::SidecarMessage out = std::move(replies_.front());
    replies_.pop_front();
    return out;
  }
  if (budgets && !budgets_.empty()) return std::move(budgets_.extract(budgets_.begin()).mapped());
  if (!others || reports_.empty()) return std::nullopt;
  auto first = reports_.extract(reports_.begin());
  said_[first.key()] = first.mapped().SerializeAsString();
  return std::move(first.mapped());
}

void Outbox::new_stream() {
  replies_.clear();
  budgets_.clear();
  said_.clear();
  reports_ = current_;
}

}  // namespace dbproxy::control
