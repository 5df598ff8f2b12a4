#include "operator/ctl/commands.hpp"

#include <boost/json.hpp>
#include <ostream>

#include "operator/ctl/document.hpp"
#include "operator/ctl/session.hpp"
#include "operator/ctl/views.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;

constexpr std::uint16_t kOperatorPort = 9932;
constexpr std::uint16_t kSidecarPort = 9930;

std::string proxy_of(const json::value& item, bool is_proxy) {
  return is_proxy ? full_name(item) : text_at(item, "/proxy");
}

Items selected(const Items& items, const Options& options, bool are_proxies) {
  Items out;
  for (const json::value& item : items) {
    const std::string full = proxy_of(item, are_proxies);
    if (!options.name.empty() && !is_named(full, options.name)) continue;
    if (!options.name_space.empty() && full.substr(0, full.find('/')) != options.name_space) continue;
    out.push_back(item);
  }
  return out;
}

int not_found(const Options& options, const Items& proxies, std::ostream& err) {
  std::string known;
  for (const json::value& proxy : proxies) known += (known.empty() ? "" : ", ") + full_name(proxy);
  err << "error: there is no DBProxy " << printable(options.name)
      << (options.name_space.empty() ? "" : " in namespace " + printable(options.name_space))
      << (known.empty() ? "; there is none at all" : "; there are: " + printable(known)) << "\n";
  return kRefused;
}

void print_document(const Options& options, const json::value& document, std::ostream& out) {
  out << (options.output == Output::kYaml ? to_yaml(document) : to_json(document));
}

void print_table(const Options& options, const Table& table, std::ostream& out) {
  Table::Format format;
  format.wide = options.output == Output::kWide;
  format.headers = options.headers;
  out << table.print(format);
}

bool for_people(const Options& options) {
  return options.output == Output::kTable || options.output == Output::kWide;
}

Table table_of(const std::string& command, const Items& items, bool from_sidecar) {
  if (command == "targets") return targets_table(items);
  if (command == "sidecars") return sidecars_table(items);
  if (command == "pools") return pools_table(items);
  if (command == "pins") return from_sidecar ? pins_table(items) : pin_kinds_table(items);
  return proxies_table(items, from_sidecar);
}

// Under the table: what keeps a manifest from being in force. The table shows the last good one.
void print_problems(const Items& proxies, const Items& diagnostics, std::ostream& err) {
  const std::vector<std::string> lines = diagnostic_lines(diagnostics);
  if (!lines.empty()) {
    err << "\nManifests with errors; what was in force before still is:\n";
    for (const std::string& line : lines) err << "  " << line << "\n";
    return;
  }
  for (const json::value& proxy : proxies) {
    const auto& errors = array_at(proxy, "/errors");
    if (!errors.empty())
      err << "\n"
          << printable(full_name(proxy)) << " has errors; version " << text_at(proxy, "/version")
          << " stays in force:\n";
    for (const json::value& error : errors) err << "  " << printable(text_at(error, "")) << "\n";
  }
}

void print_rejections(const Items& sidecars, std::ostream& err) {
  for (const json::value& row : sidecars) {
    const std::string error = text_at(row, "/error");
    if (error.empty()) continue;
    err << "\n" << printable(text_at(row, "/identity") + " rejected " + text_at(row, "/proxy") + ": " + error) << "\n";
  }
}

int describe_one(const Options& options, Session& session, std::ostream& out, std::ostream& err) {
  auto page = session.list("dbproxies");
  if (!page) return session.exit_code();
  const Items found = selected(array_at(*page, "/items"), options, true);
  if (found.empty()) return not_found(options, array_at(*page, "/items"), err);
  bool first = true;
  for (const json::value& proxy : found) {
    Options only = options;
    only.name = full_name(proxy);
    Described what;
    what.proxy = proxy;
    what.from_sidecar = session.from_sidecar();
    what.targets = selected(session.list_or_none("targets"), only, false);
    what.sidecars = selected(session.list_or_none("sidecars"), only, false);
    if (what.from_sidecar) {
      what.pools = selected(session.list_or_none("pools"), only, false);
      what.pins = selected(session.list_or_none("pins"), only, false);
    }
    if (for_people(options)) {
      out << (first ? "" : "\n") << describe(what);
    } else {
      json::object document = proxy.is_object() ? proxy.get_object() : json::object();
      document["targetList"] = what.targets;
      document["sidecarList"] = what.sidecars;
      if (what.from_sidecar) {
        document["pools"] = what.pools;
        document["pins"] = what.pins;
      }
      if (!first && options.output == Output::kYaml) out << "---\n";
      print_document(options, document, out);
    }
    first = false;
  }
  return kOk;
}

// Under a table: what it would not explain.
void print_paused(const Items& items, bool are_proxies, std::ostream& err) {
  std::string last;
  for (const json::value& item : items) {
    const std::string name = printable(proxy_of(item, are_proxies));
    if (text_at(item, "/paused") != "true" || name == last) continue;
    last = name;
    err << "\n" << name << " is paused: new transactions wait. dbproxyctl resume " << name << " ends that.\n";
  }
}

int order(const Options& options, Session& session, std::ostream& out, std::ostream& err) {
  auto page = session.list("dbproxies");
  if (!page) return session.exit_code();
  const Items found = selected(array_at(*page, "/items"), options, true);
  if (found.empty()) return not_found(options, array_at(*page, "/items"), err);
  if (found.size() > 1) {
    err << "error: there are several DBProxies of that name: say which, as namespace/name\n";
    return kRefused;
  }
  const std::string name = full_name(found[0]);
  std::string what = options.command + "?proxy=" + name;
  if (options.command == "pause") what += "&seconds=" + std::to_string(options.pause_seconds);
  if (options.command == "pause" && options.hand_over) what += "&hand-over=true";
  if (!session.order(what)) return session.exit_code();
  const std::string shown = printable(name);
  if (options.command == "pause") {
    out << shown << " is paused for at most " << options.pause_seconds
        << " s: new transactions wait, and running ones end. ";
    if (options.hand_over) out << "It ends when another writer is there, or this one again after it was away; ";
    out << "dbproxyctl resume " << shown << " ends that" << (options.hand_over ? " before" : "") << ".\n";
  } else if (options.command == "resume") {
    out << shown << " goes on.\n";
  } else {
    out << "Server connections of " << shown << " are replaced as their transactions end.\n";
  }
  return kOk;
}

// What is logged where, as it is now or from now on.
int log_level(const Options& options, Session& session, std::ostream& out) {
  auto now = session.list("log-level");
  if (!now) return session.exit_code();
  if (!options.log_level.empty()) {
    if (!session.order("log-level?level=" + options.log_level)) return session.exit_code();
    now = session.list("log-level");
    if (!now) return session.exit_code();
  }
  if (for_people(options)) {
    out << printable(text_at(*now, "/level")) << "\n";
  } else {
    print_document(options, *now, out);
  }
  return kOk;
}

bool is_order(const std::string& command) {
  return command == "pause" || command == "resume" || command == "reconnect";
}

}  // namespace

std::string choose_servers(const Where& where, const std::string& command, std::vector<Server>& servers) {
  const auto add = [&](const std::string& text, const char* what, const char* from) -> std::string {
    const auto address = http::parse_address(text);
    if (!address || address->port == 0) return std::string(from) + ": '" + printable(text) + "' is not HOST:PORT";
    servers.push_back({what, *address, {}});
    if (servers.back().address.host.empty()) servers.back().address.host = "127.0.0.1";
    return {};
  };
  if (!where.socket.empty()) {
    servers.push_back({"a sidecar", {}, where.socket});
    return {};
  }
  if (!where.operator_address.empty()) return add(where.operator_address, "the operator", "--operator");
  if (!where.sidecar_address.empty()) return add(where.sidecar_address, "a sidecar", "--sidecar");
  if (!where.environment.empty()) return add(where.environment, "the server", "DBPROXYCTL_SERVER");
  // Only a sidecar sees inside of itself; of pins an operator knows kinds, not clients.
  if (command != "pools" && command != "pins") servers.push_back({"the operator", {"127.0.0.1", kOperatorPort}, {}});
  servers.push_back({"a sidecar", {"127.0.0.1", kSidecarPort}, {}});
  return {};
}

int run(const Options& options, const Transport& transport, std::ostream& out, std::ostream& err) {
  Session session(options, transport, err);
  if (options.command == "describe") return describe_one(options, session, out, err);
  if (options.command == "log-level") return log_level(options, session, out);
  if (is_order(options.command)) return order(options, session, out, err);

  const bool are_proxies = options.command == "get";
  auto page = session.list(are_proxies ? "dbproxies" : options.command);
  if (!page) return session.exit_code();
  const Items items = selected(array_at(*page, "/items"), options, are_proxies);
  // The errors of broken manifests belong to `get` of everything: such a file may not even say which DBProxy it is.
  const bool all = options.name.empty();
  const Items diagnostics =
      are_proxies && all && !session.from_sidecar() ? session.list_or_none("diagnostics") : Items();

  if (items.empty() && !all) {
    const Items proxies = are_proxies ? array_at(*page, "/items") : session.list_or_none("dbproxies");
    if (selected(proxies, options, true).empty()) return not_found(options, proxies, err);
  }
  if (!for_people(options)) {
    if (are_proxies && !all && items.size() == 1) {
      print_document(options, items[0], out);
      return kOk;
    }
    json::object document = page->get_object();
    document["items"] = items;
    if (!diagnostics.empty()) document["diagnostics"] = diagnostics;
    print_document(options, document, out);
    return kOk;
  }
  if (items.empty()) {
    err << (are_proxies ? std::string("No DBProxies found.") : "No " + options.command + " found.") << "\n";
  } else {
    print_table(options, table_of(options.command, items, session.from_sidecar()), out);
    out.flush();
  }
  if (are_proxies) print_problems(items, diagnostics, err);
  if (are_proxies || options.command == "pools") print_paused(items, are_proxies, err);
  if (options.command == "sidecars") print_rejections(items, err);
  return kOk;
}

}  // namespace dbproxy::ctl
