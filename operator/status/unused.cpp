#include "operator/status/unused.hpp"

namespace dbproxy::operator_status {

std::vector<std::string> UnusedSidecars::look(const std::map<std::string, bool>& in_use, TimePoint now) {
  std::vector<std::string> out;
  if (after_ == Duration{}) return out;
  std::erase_if(seen_, [&](const auto& each) { return !in_use.contains(each.first); });
  for (const auto& [identity, used] : in_use) {
    const auto [found, fresh] = seen_.emplace(identity, Seen{now, false});
    Seen& seen = found->second;
    if (used) seen = {now, false};
    if (seen.told || now - seen.since < after_) continue;
    seen.told = true;
    out.push_back(identity);
  }
  return out;
}

}  // namespace dbproxy::operator_status
