#include "operator/ctl/plan_ips.hpp"

#include <array>
#include <string_view>
#include <utility>

#include "operator/ctl/table.hpp"

namespace dbproxy::ctl {
namespace {

// As Amazon RDS's user guide has it ("Planning for IP address capacity").
constexpr std::array<std::pair<std::string_view, int>, 11> kSizes{{
    {"micro", 10},
    {"small", 10},
    {"medium", 10},
    {"large", 10},
    {"xlarge", 10},
    {"2xlarge", 15},
    {"4xlarge", 25},
    {"8xlarge", 45},
    {"12xlarge", 60},
    {"16xlarge", 75},
    {"24xlarge", 110},
}};
constexpr int kPerEndpoint = 3;
constexpr int kMost = 215;
constexpr int kMostEndpoints = 20;

int addresses_of(const std::string& instance, std::string& error) {
  const std::string_view text = instance;
  const std::size_t dot = text.rfind('.');
  const std::string_view size = dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
  for (const auto& [name, addresses] : kSizes) {
    if (size == name && text.starts_with("db.")) return addresses;
  }
  if (text == "db.serverless") {
    error =
        "db.serverless has no size of its own: take the class that its largest capacity is like (2 GiB for each ACU)";
  } else {
    error = "\"" + printable(instance) +
            "\" is not an instance class with a known number of addresses; write it as in " +
            "db.r5.8xlarge, up to 24xlarge";
  }
  return 0;
}

}  // namespace

std::string plan_ips(const AddressPlan& plan, std::string& error) {
  Table table({{"WHAT"}, {"CLASS"}, {"ADDRESSES"}});
  int total = 0;
  const auto add = [&](const char* what, const std::string& instance) {
    if (!error.empty()) return;
    const int addresses = addresses_of(instance, error);
    table.add({what, instance, std::to_string(addresses)});
    total += addresses;
  };
  add("writer", plan.writer);
  for (const std::string& reader : plan.readers) add("reader", reader);
  if (plan.endpoints < 0 || plan.endpoints > kMostEndpoints) {
    error = "--endpoints is between 0 and 20: a proxy has at most 20 beside its default one";
  }
  if (!error.empty()) return {};
  if (plan.endpoints > 0) {
    table.add({std::to_string(plan.endpoints) + (plan.endpoints == 1 ? " further endpoint" : " further endpoints"), "-",
               std::to_string(plan.endpoints * kPerEndpoint)});
    total += plan.endpoints * kPerEndpoint;
  }
  if (total > kMost) {
    error =
        "this needs " + std::to_string(total) + " addresses, and RDS Proxy takes at most " + std::to_string(kMost) +
        " of a VPC: use smaller instances, fewer readers or endpoints, or a second proxy. A sidecar of dbproxy needs "
        "none of its own";
    return {};
  }
  return table.print({}) + "\nRDS Proxy needs " + std::to_string(total) +
         " addresses of the VPC's subnets; a sidecar of dbproxy needs none of its own.\n";
}

}  // namespace dbproxy::ctl
