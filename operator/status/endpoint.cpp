#include "operator/status/endpoint.hpp"

#include <algorithm>

namespace dbproxy::operator_status {
namespace {

namespace json = boost::json;

constexpr const char* kAddress = "127.0.0.1";
constexpr std::size_t kMostMessage = 4096;

const config::Endpoint* served(const EndpointFacts& facts) {
  if (!facts.of_proxy || !facts.of_proxy->snapshot) return nullptr;
  const auto& all = facts.of_proxy->snapshot->endpoints;
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.name == facts.name; });
  return found == all.end() ? nullptr : &*found;
}

// What is wrong with the object itself, one sentence each.
std::string errors(const EndpointFacts& facts) {
  std::string out;
  if (!facts.of_proxy) return out;
  const std::string object = "DBProxyEndpoint " + facts.name_space + "/" + facts.name;
  for (const manifest::Diagnostic& each : facts.of_proxy->diagnostics) {
    if (each.severity != manifest::Severity::kError || each.object != object) continue;
    std::string text = manifest::to_text(each);
    if (text.starts_with(": ")) text.erase(0, 2);
    out += (out.empty() ? "" : "; ") + text;
  }
  return out.substr(0, kMostMessage);
}

Condition ready(const EndpointFacts& facts) {
  const std::string proxy = "DBProxy " + facts.proxy;
  if (!facts.of_proxy) return {"Ready", "False", "NoDBProxy", proxy + " does not exist"};
  if (served(facts) == nullptr) {
    return {"Ready", "False", "NotProgrammed", "it is not part of what is in force; see the conditions of " + proxy};
  }
  for (const Condition& each : conditions(*facts.of_proxy)) {
    if (each.type != "Ready" || each.status == "True") continue;
    return {"Ready", each.status, "DBProxyNotReady", proxy + " is not ready; see its conditions"};
  }
  return {"Ready", "True", "Ready", "clients are served"};
}

}  // namespace

std::vector<Condition> conditions(const EndpointFacts& facts) {
  std::vector<Condition> out;
  const std::string invalid = errors(facts);
  const bool stays = served(facts) != nullptr;
  out.push_back(invalid.empty() ? Condition{"Accepted", "True", "Accepted", "the manifest is good"}
                                : Condition{"Accepted", "False", "Invalid",
                                            invalid + (stays ? "; the last good version stays in force" : "")});
  out.push_back(facts.of_proxy ? Condition{"ResolvedRefs", "True", "ResolvedRefs", "its DBProxy exists"}
                               : Condition{"ResolvedRefs", "False", "Unresolved",
                                           "there is no DBProxy " + facts.proxy + " in namespace " + facts.name_space +
                                               "; make it, or correct spec.dbProxyName"});
  out.push_back(ready(facts));
  return out;
}

json::object make_status(const EndpointFacts& facts, const json::object* before, WallTime now) {
  json::object out{{"observedGeneration", facts.generation},
                   {"conditions", to_json(conditions(facts), facts.generation, before, now)}};
  if (const config::Endpoint* endpoint = served(facts)) {
    out["address"] = kAddress;
    out["port"] = static_cast<std::int64_t>(endpoint->port);
  }
  return out;
}

}  // namespace dbproxy::operator_status
