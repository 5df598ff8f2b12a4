#include "operator/status/across.hpp"

#include <algorithm>

namespace dbproxy::operator_status {
namespace {

constexpr std::size_t kMostNames = 20;

std::string place_of(const config::Target& target) {
  std::string out = target.host + ":" + std::to_string(target.port);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string list(const std::set<std::string>& names) {
  std::string out;
  std::size_t count = 0;
  for (const std::string& each : names) {
    if (count++ == kMostNames) return out + ", …";
    out += (out.empty() ? "" : ", ") + each;
  }
  return out;
}

void degrade(Facts& facts, const char* reason, const std::string& message) {
  if (facts.degraded.reason.empty()) facts.degraded = {"Degraded", "True", reason, message};
}

void compare_percentages(std::map<std::string, Facts>& all, const std::map<std::string, std::string>& servers) {
  struct Server {
    std::set<std::string> places, keys;  // host:port; DBProxies
  };
  std::map<std::string, Server> sharing;  // by what it calls itself, or its place
  for (const auto& [key, facts] : all) {
    if (!facts.snapshot) continue;
    for (const config::Target& target : facts.snapshot->targets) {
      const std::string place = place_of(target);
      const auto named = servers.find(place);
      Server& server = sharing[named == servers.end() ? place : named->second];
      server.places.insert(place);
      server.keys.insert(key);
    }
  }
  for (const auto& [name, server] : sharing) {
    if (server.keys.size() < 2) continue;
    std::uint32_t sum = 0;
    for (const std::string& key : server.keys) sum += all[key].snapshot->pool.max_connections_percent;
    if (sum <= 100) continue;
    const std::string one = server.places.size() > 1 ? ", which are one server" : "";
    for (const std::string& key : server.keys) {
      degrade(all[key], "Overcommitted",
              "the DBProxies of " + list(server.places) + one + " (" + list(server.keys) + ") want " +
                  std::to_string(sum) +
                  " percent of its connections together; keep the sum at 100 or less, or they take them from each "
                  "other");
    }
  }
}

void compare_ports(std::map<std::string, Facts>& all, const std::map<std::string, std::set<std::string>>& served) {
  for (const auto& [sidecar, keys] : served) {
    if (keys.size() < 2) continue;
    std::map<std::uint16_t, std::string> owners;
    for (const std::string& key : keys) {
      const auto found = all.find(key);
      if (found == all.end() || !found->second.snapshot) continue;
      for (const config::Endpoint& endpoint : found->second.snapshot->endpoints) {
        const auto [owner, fresh] = owners.emplace(endpoint.port, key);
        if (fresh || owner->second == key) continue;
        const std::string port = "port " + std::to_string(endpoint.port) + " is that of DBProxy ";
        const std::string both = " too, and the pod " + sidecar + " is bound to both; give one of them another port";
        degrade(found->second, "PortConflict", port + owner->second + both);
        degrade(all[owner->second], "PortConflict", port + key + both);
      }
    }
  }
}

}  // namespace

void compare(std::map<std::string, Facts>& all, const std::map<std::string, std::set<std::string>>& served,
             const std::map<std::string, std::string>& servers) {
  compare_percentages(all, servers);
  compare_ports(all, served);
  for (auto& [key, facts] : all) {
    if (facts.crowded) degrade(facts, kConnectionsTaken, kConnectionsTakenText);
    if (!facts.sidecars.trouble.empty()) degrade(facts, "IamAuthImpossible", facts.sidecars.trouble);
  }
}

}  // namespace dbproxy::operator_status
