#include "operator/ctl/views.hpp"

#include "operator/ctl/document.hpp"

namespace dbproxy::ctl {
namespace {

using Value = boost::json::value;

std::string of(const std::string& part, const std::string& whole) {
  return (part.empty() ? "0" : part) + "/" + (whole.empty() || whole == "0" ? "?" : whole);
}

std::string condition_word(const std::string& boolean) {
  return boolean == "true" ? "True" : boolean == "false" ? "False" : boolean;
}

// Why it is not ready: the reason of the first condition that does not hold.
std::string first_reason(const Value& proxy) {
  for (const Value& condition : array_at(proxy, "/conditions")) {
    if (text_at(condition, "/status") != "True") return text_at(condition, "/reason");
  }
  return {};
}

std::string lag(const Value& target) {
  return text_at(target, "/role") == "READ_ONLY" ? duration(number_at(target, "/lagSeconds")) : "-";
}

}  // namespace

std::string joined(const Items& texts, const char* separator) {
  std::string out;
  for (const Value& value : texts) out += (out.empty() ? "" : separator) + text_at(value, "");
  return out;
}

std::string full_name(const Value& proxy) {
  return text_at(proxy, "/namespace") + "/" + text_at(proxy, "/name");
}

bool is_named(const std::string& full, const std::string& wanted) {
  if (wanted.find('/') != std::string::npos) return full == wanted;
  return full.substr(full.find('/') == std::string::npos ? 0 : full.find('/') + 1) == wanted;
}

Table proxies_table(const Items& items, bool from_sidecar) {
  Table table({{"NAMESPACE"},
               {"NAME"},
               {"ENGINE"},
               {"READY"},
               {"TARGETS"},
               {from_sidecar ? "CLIENTS" : "SIDECARS"},
               {"CONNECTIONS"},
               {"VERSION"},
               {"WRITER", true},
               {"REASON", true}});
  for (const Value& item : items) {
    const std::string reason = first_reason(item);
    table.add({text_at(item, "/namespace"), text_at(item, "/name"), text_at(item, "/engine"),
               condition_word(text_at(item, "/ready")),
               of(text_at(item, "/targets/available"), text_at(item, "/targets/total")),
               from_sidecar ? text_at(item, "/clients/connected")
                            : text_at(item, "/sidecars/updated") + "/" + text_at(item, "/sidecars/connected"),
               of(text_at(item, "/connections/open"), text_at(item, "/connections/limit")), text_at(item, "/version"),
               text_at(item, "/targets/writer"),
               reason.empty() && text_at(item, "/draining") == "true" ? "Draining" : reason});
  }
  return table;
}

Table targets_table(const Items& items) {
  Table table({{"PROXY"},
               {"ID"},
               {"ROLE"},
               {"HEALTH"},
               {"REASON"},
               {"CONNECTIONS"},
               {"LAG"},
               {"MAX-CONNECTIONS", true},
               {"HOST", true},
               {"PORT", true}});
  for (const Value& item : items) {
    table.add({text_at(item, "/proxy"), text_at(item, "/id"), text_at(item, "/role"), text_at(item, "/health"),
               text_at(item, "/reason"), of(text_at(item, "/servers"), text_at(item, "/limit")), lag(item),
               text_at(item, "/maxConnections"), text_at(item, "/host"), text_at(item, "/port")});
  }
  return table;
}

Table sidecars_table(const Items& items) {
  Table table({{"IDENTITY"},
               {"PROXY"},
               {"CONNECTED"},
               {"UPDATED"},
               {"VERSION"},
               {"CLIENTS"},
               {"WAITING"},
               {"SERVERS"},
               {"PINNED"},
               {"IN-USE", true},
               {"SOFTWARE", true},
               {"SINCE", true},
               {"PEER", true},
               {"ERROR", true}});
  for (const Value& item : items) {
    const double since = number_at(item, "/connectedSeconds");
    table.add({text_at(item, "/identity"), text_at(item, "/proxy"), condition_word(text_at(item, "/connected")),
               condition_word(text_at(item, "/updated")), text_at(item, "/version"), text_at(item, "/clients"),
               text_at(item, "/clientsWaiting"), text_at(item, "/servers"), text_at(item, "/pinned"),
               text_at(item, "/serversInUse"), text_at(item, "/softwareVersion"), since > 0 ? duration(since) : "",
               text_at(item, "/peer"), text_at(item, "/error")});
  }
  return table;
}

Table pools_table(const Items& items) {
  Table table({{"PROXY"},
               {"TARGET"},
               {"ROLE"},
               {"USER"},
               {"DATABASE"},
               {"CLIENTS"},
               {"WAITING"},
               {"LONGEST-WAIT"},
               {"IDLE"},
               {"ACTIVE"},
               {"PINNED"},
               {"CONNECTING"}});
  for (const Value& item : items) {
    table.add({text_at(item, "/proxy"), text_at(item, "/target"), text_at(item, "/role"), text_at(item, "/user"),
               text_at(item, "/database"), text_at(item, "/clientsActive"), text_at(item, "/clientsWaiting"),
               duration(number_at(item, "/longestWaitSeconds")), text_at(item, "/serversIdle"),
               text_at(item, "/serversActive"), text_at(item, "/serversPinned"), text_at(item, "/serversConnecting")});
  }
  return table;
}

Table pins_table(const Items& items) {
  Table table({{"PROXY"},
               {"USER"},
               {"DATABASE"},
               {"CLIENT"},
               {"APPLICATION"},
               {"PINNED-FOR"},
               {"REASONS"},
               {"ENDPOINT", true},
               {"TARGET", true},
               {"STATEMENT"}});
  for (const Value& item : items) {
    table.add({text_at(item, "/proxy"), text_at(item, "/user"), text_at(item, "/database"), text_at(item, "/client"),
               text_at(item, "/applicationName"), duration(number_at(item, "/pinnedSeconds")),
               joined(array_at(item, "/reasons"), ","), text_at(item, "/endpoint"), text_at(item, "/target"),
               text_at(item, "/statementDigest")});
  }
  return table;
}

Table pin_kinds_table(const Items& items) {
  Table table({{"PROXY"}, {"SESSIONS"}, {"SIDECARS"}, {"PINNED-FOR"}, {"REASONS"}, {"STATEMENT"}});
  for (const Value& item : items) {
    table.add({text_at(item, "/proxy"), text_at(item, "/sessions"), text_at(item, "/sidecars"),
               duration(number_at(item, "/pinnedSeconds")), joined(array_at(item, "/reasons"), ","),
               text_at(item, "/statementDigest")});
  }
  return table;
}

std::vector<std::string> diagnostic_lines(const Items& diagnostics) {
  std::vector<std::string> out;
  for (const Value& item : diagnostics) {
    std::string line = text_at(item, "/file");
    for (const char* position : {"/line", "/column"}) {
      const std::string number = text_at(item, position);
      if (number.empty() || number == "0") break;
      line += ":" + number;
    }
    if (text_at(item, "/severity") == "warning") line += ": warning";
    for (const char* part : {"/object", "/field", "/message"}) {
      const std::string text = text_at(item, part);
      if (!text.empty()) line += (line.empty() ? "" : ": ") + text;
    }
    out.push_back(printable(line));
  }
  return out;
}

}  // namespace dbproxy::ctl
