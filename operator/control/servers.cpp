#include "operator/control/servers.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

namespace dbproxy::operator_control {

using operator_budget::Claim;

std::string Servers::place_of(const std::string& host, std::uint16_t port) {
  std::string out = host + ":" + std::to_string(port);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// With the lock, as all that is private.
const std::string& Servers::server_at(const std::string& place) const {
  const auto found = places_.find(place);
  return found == places_.end() || found->second.server.empty() ? place : found->second.server;
}

void Servers::move(const std::string& place, const std::string& from, const std::string& to) {
  if (const auto old = at_.find(from); old != at_.end()) {
    old->second.erase(place);
    if (old->second.empty()) {
      at_.erase(old);
      others_.erase(from);
    }
  }
  if (!to.empty()) at_[to].insert(place);
}

std::vector<std::string> Servers::identify(const std::string& place, const std::string& server) {
  const std::lock_guard lock(mutex_);
  const std::string before = server_at(place);
  places_[place].server = server;
  const std::string now = server_at(place);
  std::vector<std::string> out;
  if (now != before) {
    const auto& old = at_[before];
    out.assign(old.begin(), old.end());
    if (out.empty()) out.push_back(place);
    move(place, before, now);
  } else {
    at_[now].insert(place);
  }
  return out;
}

std::set<std::string> Servers::places(const std::string& place) const {
  const std::lock_guard lock(mutex_);
  const auto found = at_.find(server_at(place));
  std::set<std::string> out = found == at_.end() ? std::set<std::string>() : found->second;
  out.insert(place);
  return out;
}

ServerNames Servers::names() const {
  const std::lock_guard lock(mutex_);
  ServerNames out;
  for (const auto& [place, entry] : places_) {
    if (!entry.server.empty()) out[place] = entry.server;
  }
  return out;
}

bool Servers::count(const std::string& place, Slots others) {
  const std::lock_guard lock(mutex_);
  const auto [found, fresh] = others_.try_emplace(server_at(place), others);
  return std::exchange(found->second, others) != others || fresh;
}

std::optional<Servers::Slots> Servers::others(const std::string& place) const {
  const std::lock_guard lock(mutex_);
  const auto found = others_.find(server_at(place));
  return found == others_.end() ? std::nullopt : std::optional(found->second);
}

// One with several names for the server has it once.
std::map<std::string, Claim> Servers::claims_at(const std::string& server) const {
  std::map<std::string, Claim> out;
  const auto found = at_.find(server);
  if (found == at_.end()) return out;
  for (const std::string& place : found->second) {
    const auto entry = places_.find(place);
    if (entry == places_.end()) continue;
    for (const auto& [proxy, claim] : entry->second.claims) {
      Claim& sum = out[proxy];
      sum = {std::max(sum.limit, claim.limit), std::max(sum.charged, claim.charged),
             std::max(sum.needed, claim.needed)};
    }
  }
  return out;
}

Servers::Slots Servers::share(const std::string& place, const std::string& proxy, Slots limit, Slots usable) const {
  const std::lock_guard lock(mutex_);
  const std::string& server = server_at(place);
  std::map<std::string, Claim> claims = claims_at(server);
  claims[proxy].limit = limit;
  const auto others = others_.find(server);
  return operator_budget::share(claims, proxy,
                                operator_budget::available(usable, others == others_.end() ? 0 : others->second));
}

std::vector<std::string> Servers::claim(const std::string& place, const std::string& proxy, const Claim& claim) {
  const std::lock_guard lock(mutex_);
  const std::string server = server_at(place);
  at_[server].insert(place);
  std::vector<std::string> out;
  if (std::exchange(places_[place].claims[proxy], claim) == claim) return out;
  for (const auto& [other, its] : claims_at(server)) {
    if (other != proxy) out.push_back(other);
  }
  return out;
}

void Servers::clear_claims() {
  const std::lock_guard lock(mutex_);
  for (auto& [place, entry] : places_) entry.claims.clear();
}

void Servers::leave(const std::string& place, const std::string& proxy) {
  const std::lock_guard lock(mutex_);
  const auto found = places_.find(place);
  if (found == places_.end()) return;
  found->second.claims.erase(proxy);
  if (!found->second.claims.empty()) return;
  const std::string server = server_at(place);  // who else is there says so again at its next probe
  move(place, server, {});
  places_.erase(found);
}

bool Servers::scarce(const std::string& place, Slots usable) const {
  const std::lock_guard lock(mutex_);
  const std::string& server = server_at(place);
  std::uint64_t limits = 0;
  for (const auto& [proxy, claim] : claims_at(server)) limits += claim.limit;
  const auto others = others_.find(server);
  return limits > operator_budget::available(usable, others == others_.end() ? 0 : others->second);
}

}  // namespace dbproxy::operator_control
