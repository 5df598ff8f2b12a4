#include "operator/budget/server_share.hpp"

#include <algorithm>

#include "operator/budget/slots.hpp"

namespace dbproxy::operator_budget {
namespace {

using budget::Slots;

constexpr Slots kOneFreeFor = 10;  // sessions of others

// Max-min fair in proportion to the limits: nobody gets less of its limit than another unless it needs no more.
std::map<std::string, Slots> divide(const std::map<std::string, Claim>& claims, std::uint64_t left) {
  std::map<std::string, Slots> out;
  std::uint64_t limits = 0;
  for (const auto& [name, claim] : claims) limits += claim.limit;
  for (bool served = true; served;) {
    served = false;
    const std::uint64_t all = limits;
    const std::uint64_t whole = left;
    for (const auto& [name, claim] : claims) {
      const Slots need = std::min(claim.needed, claim.limit);
      if (out.contains(name) || need * all > whole * claim.limit) continue;
      out[name] = need;
      left -= need;
      limits -= claim.limit;
      served = true;
    }
  }
  for (const auto& [name, claim] : claims) {
    if (!out.contains(name)) out[name] = static_cast<Slots>(left * claim.limit / limits);
  }
  return out;
}

}  // namespace

Slots available(Slots usable, Slots others) {
  return beyond(usable, others + (others + kOneFreeFor - 1) / kOneFreeFor);
}

Slots share(const std::map<std::string, Claim>& claims, const std::string& who, Slots available) {
  const auto own = claims.find(who);
  if (own == claims.end()) return 0;
  std::uint64_t charged = 0;
  for (const auto& [name, claim] : claims) charged += claim.charged;
  const std::uint64_t whole = std::max<std::uint64_t>(available, charged);
  const std::map<std::string, Slots> parts = divide(claims, whole);
  std::uint64_t kept = 0;  // for the others
  for (const auto& [name, claim] : claims) {
    if (name != who) kept += std::max(claim.charged, parts.at(name));
  }
  const auto left = static_cast<Slots>(whole > kept ? whole - kept : 0);
  const Claim& claim = own->second;
  return std::min(claim.limit, std::max(left, std::min(claim.charged, parts.at(who))));
}

}  // namespace dbproxy::operator_budget
