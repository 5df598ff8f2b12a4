// Arithmetic of slots, for the allocator.
#pragma once

#include <map>

#include "proxy/budget/messages.hpp"

namespace dbproxy::operator_budget {

inline budget::Slots beyond(budget::Slots a, budget::Slots b) {
  return a > b ? a - b : 0;
}

inline budget::Slots at(const std::map<budget::Lane, budget::Slots>& slots, const budget::Lane& lane) {
  const auto found = slots.find(lane);
  return found == slots.end() ? 0 : found->second;
}

}  // namespace dbproxy::operator_budget
