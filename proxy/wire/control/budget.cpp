#include "proxy/wire/control/budget.hpp"

#include <algorithm>

#include "proxy/wire/control/limits.hpp"

namespace dbproxy::wire_control {
namespace {

constexpr int kMaxLanes = kMaxTargets + 1;

// Names of targets end up in files and on pages.
bool is_lane(const std::string& lane) {
  if (lane.size() > kMaxTargetId) return false;
  return std::all_of(lane.begin(), lane.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

v1::BudgetReport to_proto(const std::string& proxy, const budget::Report& report) {
  v1::BudgetReport out;
  out.set_proxy(proxy);
  out.set_incarnation(report.incarnation);
  out.set_epoch(report.epoch);
  out.set_session(report.session);
  out.set_number(report.number);
  out.set_complete(report.complete);
  out.set_leaving(report.leaving);
  for (const auto& [lane, said] : report.lanes) {
    v1::BudgetLane* const to = out.add_lanes();
    to->set_lane(lane);
    to->set_seen(said.seen);
    to->set_held(said.held);
    to->set_want(said.want);
  }
  return out;
}

v1::BudgetOpen to_proto(const std::string& proxy, const budget::Open& open) {
  v1::BudgetOpen out;
  out.set_proxy(proxy);
  out.set_incarnation(open.incarnation);
  out.set_epoch(open.epoch);
  out.set_session(open.session);
  return out;
}

v1::BudgetAllowance to_proto(const std::string& proxy, const budget::Allowance& allowance) {
  v1::BudgetAllowance out;
  out.set_proxy(proxy);
  out.set_incarnation(allowance.incarnation);
  out.set_epoch(allowance.epoch);
  out.set_session(allowance.session);
  out.set_number(allowance.number);
  out.set_lane(allowance.lane);
  out.set_slots(allowance.slots);
  out.set_goal(allowance.goal);
  out.set_floor(allowance.floor);
  return out;
}

std::optional<budget::Report> from_proto(const v1::BudgetReport& message, const std::string& pod) {
  if (message.lanes_size() > kMaxLanes) return std::nullopt;
  budget::Report out{pod,
                     message.incarnation(),
                     message.epoch(),
                     message.session(),
                     message.number(),
                     message.complete(),
                     message.leaving(),
                     {}};
  for (const v1::BudgetLane& lane : message.lanes()) {
    if (!is_lane(lane.lane())) return std::nullopt;
    out.lanes[lane.lane()] = {lane.seen(), lane.held(), lane.want()};
  }
  return out;
}

budget::Open from_proto(const v1::BudgetOpen& message) {
  return {message.incarnation(), message.epoch(), message.session()};
}

std::optional<budget::Allowance> from_proto(const v1::BudgetAllowance& message) {
  if (!is_lane(message.lane())) return std::nullopt;
  return budget::Allowance{message.incarnation(), message.epoch(), message.session(), message.number(),
                           message.lane(),        message.slots(), message.goal(),    message.floor()};
}

}  // namespace dbproxy::wire_control
