#include "proxy/source/hand_over.hpp"

#include <algorithm>

namespace dbproxy::source {
namespace {

std::optional<topology::Observation> writer_of(const std::vector<topology::Observation>& seen) {
  const auto found = std::find_if(seen.begin(), seen.end(), [](const topology::Observation& each) {
    return each.role == config::TargetRole::kReadWrite && each.health == config::TargetHealth::kAvailable;
  });
  return found == seen.end() ? std::nullopt : std::optional(*found);
}

bool same(const topology::Observation& a, const topology::Observation& b) {
  return a.target == b.target && a.host == b.host && a.port == b.port && a.system_identifier == b.system_identifier &&
         a.server_version == b.server_version;
}

}  // namespace

HandOver::HandOver(const std::vector<topology::Observation>& before) : writer_(writer_of(before)) {}

bool HandOver::over(const std::vector<topology::Observation>& now) {
  const auto writer = writer_of(now);
  if (!writer) {
    writer_.reset();
    return false;
  }
  return !writer_ || !same(*writer_, *writer);
}

}  // namespace dbproxy::source
