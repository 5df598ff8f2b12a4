// What the JSON pages of the sidecar and of the operator have in common: the frame around the rows, and how rows that
// both have are spelled. Templates, because each side has rows of its own with these members.
//
// Include Boost.JSON's library in the module that uses it. Texts that come from peers are made valid UTF-8.
#pragma once

#include <algorithm>
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/http/text.hpp"

namespace dbproxy::http {

inline constexpr std::size_t kAllJsonItems = static_cast<std::size_t>(-1);

inline boost::json::string json_text(std::string_view value) {
  return boost::json::string(valid_utf8(value));
}

template <class Rows, class Make>
boost::json::array json_array(const Rows& rows, Make make, std::size_t most = kAllJsonItems) {
  boost::json::array out;
  out.reserve(std::min(rows.size(), most));
  for (const auto& row : rows) {
    if (out.size() == most) break;
    out.emplace_back(make(row));
  }
  return out;
}

// {"source": …, "items": […]}; of more than `most` the first, and "truncated" is true.
template <class Rows, class Make>
std::string json_page(std::string_view source, const Rows& rows, Make make, std::size_t most = kAllJsonItems) {
  boost::json::object out;
  out["source"] = boost::json::string(source);
  if (rows.size() > most) out["truncated"] = true;
  out["items"] = json_array(rows, make, most);
  return boost::json::serialize(out) + "\n";
}

// Latencies by DBProxy, as counts of each bucket, with the buckets' bounds: those of metrics::Histogram.
template <class Histogram>
boost::json::object json_latencies(std::string_view source, boost::json::array items) {
  boost::json::array bounds;
  for (int i = 0; i < Histogram::kBuckets; ++i) bounds.emplace_back(Histogram::upper_bound(i));
  boost::json::object out;
  out["source"] = boost::json::string(source);
  out["bounds"] = std::move(bounds);
  out["items"] = std::move(items);
  return out;
}

inline boost::json::object json_endpoint(std::string_view name, std::string_view address, unsigned port,
                                         std::string_view role) {
  boost::json::object out;
  out["name"] = json_text(name);
  out["address"] = json_text(address);
  out["port"] = port;
  out["targetRole"] = json_text(role);
  return out;
}

inline boost::json::object json_targets_summary(std::uint64_t available, std::uint64_t total, std::string_view writer) {
  boost::json::object out;
  out["available"] = available;
  out["total"] = total;
  out["writer"] = json_text(writer);
  return out;
}

template <class Row>
boost::json::object json_target(const Row& row) {
  boost::json::object out;
  out["proxy"] = json_text(row.proxy);
  out["id"] = json_text(row.id);
  out["host"] = json_text(row.host);
  out["port"] = row.port;
  out["role"] = json_text(row.role);
  out["health"] = json_text(row.health);
  out["reason"] = json_text(row.reason);
  out["maxConnections"] = row.max_connections;
  out["limit"] = row.limit;
  out["servers"] = row.servers;
  out["lagSeconds"] = row.lag_seconds;
  return out;
}

// Of a sidecar: what its clients and server connections do.
template <class Row>
void add_json_use(boost::json::object& out, const Row& row) {
  out["clients"] = row.clients;
  out["clientsWaiting"] = row.clients_waiting;
  out["servers"] = row.servers;
  out["serversInUse"] = row.servers_in_use;
  out["pinned"] = row.pinned;
}

}  // namespace dbproxy::http
