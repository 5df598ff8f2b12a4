// The connection budget's messages ↔ proto/dbproxy/v1, at both ends of the control stream.
//
// Of what comes in every name and count is bounded; a message that is not good for anything is nothing. Numbers need
// no bound here: both sides take no larger ones than they know to be right. Pure, no state.
#pragma once

#include <optional>
#include <string>

#include "dbproxy/v1/control.pb.h"

#include "proxy/budget/messages.hpp"

namespace dbproxy::wire_control {

// Of the operator's initial metadata: it leases slots, and in which version of these messages.
inline constexpr const char* kBudgetMetadata = "dbproxy-budget";
inline constexpr const char* kBudgetVersion = "1";

v1::BudgetReport to_proto(const std::string& proxy, const budget::Report& report);
v1::BudgetOpen to_proto(const std::string& proxy, const budget::Open& open);
v1::BudgetAllowance to_proto(const std::string& proxy, const budget::Allowance& allowance);

// `pod`: whose stream it came from.
std::optional<budget::Report> from_proto(const v1::BudgetReport& message, const std::string& pod);
budget::Open from_proto(const v1::BudgetOpen& message);
std::optional<budget::Allowance> from_proto(const v1::BudgetAllowance& message);

}  // namespace dbproxy::wire_control
