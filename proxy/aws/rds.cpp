#include "proxy/aws/rds.hpp"

#include <algorithm>
#include <charconv>
#include <set>

#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/readers.hpp"
#include "proxy/aws/service_error.hpp"
#include "proxy/aws/sigv4.hpp"

namespace dbproxy::aws {
namespace {

using Kind = Failure::Kind;

constexpr std::size_t kMaxHost = 253;
constexpr std::size_t kMaxId = 63;

struct Call {
  const Environment& environment;
  Url url;
  std::string region;
  const Credentials& credentials;
  WallTime now;

  Outcome<std::string> ask(const std::string& action, const std::string& identifier, Pairs fields) const {
    fields.insert(fields.begin(), {{"Action", action}, {"Version", "2014-10-31"}});
    Exchange what;
    what.method = "POST";
    what.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
    for (const auto& [name, value] : fields)
      what.body += (what.body.empty() ? "" : "&") + percent_encode(name) + "=" + percent_encode(value);
    const std::string who = "RDS " + action + " " + identifier;
    Outcome<Reply> reply =
        signed_exchange(environment, url, std::move(what), {region, "rds"}, credentials, now, who + " in " + region);
    if (!reply.ok()) return reply.failure;
    if (reply.value.status != 200) {
      const std::string code = xml_text(reply.value.body, "Code");
      if (code == "DBClusterNotFoundFault" || code == "DBInstanceNotFound" || code == "DBInstanceNotFoundFault") {
        return Failure{Kind::kNotFound, who + " in " + region + ": there is none of that name",
                       "write the cluster's DBClusterIdentifier, and set aws.region if it is elsewhere"};
      }
      return service_failure(reply.value, who, "rds:" + action, "arn:aws:rds:" + region + ":*:cluster:" + identifier);
    }
    return std::move(reply.value.body);
  }
};

std::uint16_t port_of(const std::string& text) {
  std::uint16_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() ? out : std::uint16_t{0};
}

// What becomes part of a configuration has to be what it should.
bool is_host(const std::string& text) {
  return !text.empty() && text.size() <= kMaxHost && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == ':';
  });
}

bool is_id(const std::string& text) {
  return !text.empty() && text.size() <= kMaxId &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; });
}

Outcome<DescribedCluster> describe_instance(const Call& call, const std::string& identifier) {
  const auto answer = call.ask("DescribeDBInstances", identifier, {{"DBInstanceIdentifier", identifier}});
  if (!answer.ok()) return answer.failure;
  DescribedCluster out;
  read_instances(answer.value, {identifier}, out);
  if (out.members.empty())
    return Failure{Kind::kMalformed, "RDS: the instance " + identifier + " has no endpoint (yet)", ""};
  out.endpoint = out.members.front().host;
  out.port = out.members.front().port;
  return out;
}

}  // namespace

// Instances that are being made have no address yet.
void read_instances(std::string_view document, const std::set<std::string>& writers, DescribedCluster& out) {
  for (const std::string_view each : xml_elements(document, "DBInstance", kMaxMembers)) {
    const auto endpoints = xml_elements(each, "Endpoint", 1);
    if (endpoints.empty()) continue;
    ClusterMember member;
    member.id = xml_text(each, "DBInstanceIdentifier");
    member.host = xml_text(endpoints.front(), "Address");
    member.port = port_of(xml_text(endpoints.front(), "Port"));
    member.writer = writers.contains(member.id);
    if (out.engine.empty()) out.engine = xml_text(each, "Engine");
    if (is_id(member.id) && is_host(member.host) && member.port != 0) out.members.push_back(std::move(member));
  }
  std::sort(out.members.begin(), out.members.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  const auto same = [](const auto& a, const auto& b) { return a.id == b.id; };
  out.members.erase(std::unique(out.members.begin(), out.members.end(), same), out.members.end());
}

DescribedCluster read_cluster(std::string_view document, std::set<std::string>& writers) {
  DescribedCluster out;
  const auto clusters = xml_elements(document, "DBCluster", 1);
  if (clusters.empty()) return out;
  out.engine = xml_text(clusters.front(), "Engine");
  out.endpoint = xml_text(clusters.front(), "Endpoint");
  out.reader_endpoint = xml_text(clusters.front(), "ReaderEndpoint");
  out.port = port_of(xml_text(clusters.front(), "Port"));
  for (const std::string_view each : xml_elements(clusters.front(), "DBClusterMember", kMaxMembers)) {
    if (xml_text(each, "IsClusterWriter") == "true") writers.insert(xml_text(each, "DBInstanceIdentifier"));
  }
  if (!is_host(out.endpoint)) out.endpoint.clear();
  if (!is_host(out.reader_endpoint)) out.reader_endpoint.clear();
  return out;
}

Outcome<DescribedCluster> describe_cluster(const Environment& environment, const std::string& identifier,
                                           const std::string& region, const std::string& override_url,
                                           const Credentials& credentials, WallTime now) {
  const Outcome<Url> url = endpoint_of(environment, "rds", region, override_url);
  if (!url.ok()) return url.failure;
  const Call call{environment, url.value, region, credentials, now};
  const auto answer = call.ask("DescribeDBClusters", identifier, {{"DBClusterIdentifier", identifier}});
  if (answer.failure.kind == Kind::kNotFound) {
    auto instance = describe_instance(call, identifier);
    return instance.failure.kind == Kind::kNotFound ? Outcome<DescribedCluster>(answer.failure) : instance;
  }
  if (!answer.ok()) return answer.failure;
  std::set<std::string> writers;
  DescribedCluster out = read_cluster(answer.value, writers);
  if (out.endpoint.empty() || out.port == 0)
    return Failure{Kind::kMalformed, "RDS: the cluster " + identifier + " has no endpoint (yet)", ""};
  const auto instances =
      call.ask("DescribeDBInstances", identifier,
               {{"Filters.Filter.1.Name", "db-cluster-id"}, {"Filters.Filter.1.Values.Value.1", identifier}});
  if (!instances.ok()) return instances.failure;
  read_instances(instances.value, writers, out);
  return out;
}

}  // namespace dbproxy::aws
