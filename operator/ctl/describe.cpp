#include <algorithm>

#include "operator/ctl/document.hpp"
#include "operator/ctl/views.hpp"

namespace dbproxy::ctl {
namespace {

using Value = boost::json::value;

constexpr std::size_t kLabelWidth = 14;

void fact(std::string& out, std::string label, const std::string& value) {
  label += ":";
  label.resize(std::max(label.size() + 1, kLabelWidth), ' ');
  out += label + (value.empty() ? "<none>" : printable(value)) + "\n";
}

void section(std::string& out, const std::string& title, const Table& table) {
  if (table.empty()) {
    fact(out, title, "");
    return;
  }
  Table::Format format;
  format.indent = "  ";
  out += title + ":\n" + table.print(format);
}

std::string limit_of(const Value& proxy) {
  const std::string limit = text_at(proxy, "/connections/limit");
  return limit.empty() || limit == "0" ? "limit not known yet" : "limit " + limit;
}

Table endpoints(const Value& proxy) {
  Table table({{"NAME"}, {"ADDRESS"}, {"PORT"}, {"ROLE"}});
  for (const Value& row : array_at(proxy, "/endpoints")) {
    table.add({text_at(row, "/name"), text_at(row, "/address"), text_at(row, "/port"), text_at(row, "/targetRole")});
  }
  return table;
}

Table conditions(const Value& proxy) {
  Table table({{"TYPE"}, {"STATUS"}, {"REASON"}, {"MESSAGE"}});
  for (const Value& row : array_at(proxy, "/conditions")) {
    table.add({text_at(row, "/type"), text_at(row, "/status"), text_at(row, "/reason"), text_at(row, "/message")});
  }
  return table;
}

Table targets(const Items& items) {
  Table table({{"ID"}, {"ROLE"}, {"HEALTH"}, {"REASON"}, {"CONNECTIONS"}, {"MAX"}, {"ADDRESS"}});
  for (const Value& row : items) {
    const std::string limit = text_at(row, "/limit");
    table.add({text_at(row, "/id"), text_at(row, "/role"), text_at(row, "/health"), text_at(row, "/reason"),
               text_at(row, "/servers") + "/" + (limit == "0" ? "?" : limit), text_at(row, "/maxConnections"),
               text_at(row, "/host") + ":" + text_at(row, "/port")});
  }
  return table;
}

}  // namespace

std::string describe(const Described& what) {
  const Value& proxy = what.proxy;
  std::string out;
  fact(out, "Name", text_at(proxy, "/name"));
  fact(out, "Namespace", text_at(proxy, "/namespace"));
  fact(out, "Engine", text_at(proxy, "/engine"));
  fact(out, "Ready", text_at(proxy, "/ready") == "true" ? "True" : "False");
  fact(out, "Version", text_at(proxy, "/version"));
  if (text_at(proxy, "/paused") == "true") fact(out, "Paused", "True: new transactions wait");
  if (what.from_sidecar) {
    fact(out, "Draining", text_at(proxy, "/draining") == "true" ? "True" : "False");
    fact(out, "Clients",
         text_at(proxy, "/clients/connected") + " connected, " + text_at(proxy, "/clients/active") + " active, " +
             text_at(proxy, "/clients/waiting") + " waiting");
    fact(out, "Connections",
         text_at(proxy, "/connections/open") + " open, " + text_at(proxy, "/connections/inUse") + " in use, " +
             text_at(proxy, "/connections/pinned") + " pinned, " + limit_of(proxy));
  } else {
    fact(out, "Sidecars",
         text_at(proxy, "/sidecars/connected") + " connected, " + text_at(proxy, "/sidecars/updated") + " updated, " +
             text_at(proxy, "/sidecars/rejected") + " rejected");
    fact(out, "Connections", text_at(proxy, "/connections/open") + " open, " + limit_of(proxy));
  }
  if (const Value* tags = proxy.is_object() ? proxy.get_object().if_contains("tags") : nullptr) {
    std::string line;
    if (const auto* object = tags->if_object()) {
      for (const auto& [key, value] : *object)
        line += (line.empty() ? "" : ", ") + std::string(key) + "=" + text_at(value, "");
    }
    fact(out, "Tags", line);
  }
  section(out, "Endpoints", endpoints(proxy));
  section(out, "Targets", targets(what.targets));
  if (what.from_sidecar) {
    section(out, "Pools", pools_table(what.pools));
    section(out, "Pins", pins_table(what.pins));
  } else {
    section(out, "Sidecar list", sidecars_table(what.sidecars));
    section(out, "Conditions", conditions(proxy));
    bool titled = false;
    for (const Value& row : what.sidecars) {
      const std::string error = text_at(row, "/error");
      if (error.empty()) continue;
      if (!titled) out += "Rejections:\n";
      titled = true;
      out += "  " + printable(text_at(row, "/identity") + ": " + error) + "\n";
    }
    const auto& errors = array_at(proxy, "/errors");
    if (!errors.empty()) out += "Errors (an older version stays in force):\n";
    for (const Value& error : errors) out += "  " + printable(text_at(error, "")) + "\n";
  }
  return out;
}

}  // namespace dbproxy::ctl
