#include "operator/ctl/top_view.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "operator/ctl/document.hpp"
#include "operator/ctl/views.hpp"
#include "proxy/metrics/quantile.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;
using Value = json::value;

constexpr std::size_t kBarWidth = 32;
constexpr std::size_t kPoints = 60;          // of the curve of waiting clients
constexpr std::chrono::seconds kWindow{60};  // over which latencies are taken
constexpr std::size_t kMostSamples = 64;
constexpr const char* kBold = "\x1b[1m";
constexpr const char* kPlain = "\x1b[0m";

std::uint64_t count_at(const Value& value, std::string_view pointer) {
  return static_cast<std::uint64_t>(std::max(0.0, number_at(value, pointer)));
}

std::vector<std::uint64_t> counts_at(const Value& value, std::string_view pointer) {
  std::vector<std::uint64_t> out;
  for (const Value& each : array_at(value, pointer)) out.push_back(count_at(each, ""));
  return out;
}

// What came after `before`; all of it where the counts began anew in between, as after a restart.
std::vector<std::uint64_t> since(const std::vector<std::uint64_t>& before, const std::vector<std::uint64_t>& now) {
  std::vector<std::uint64_t> out = now;
  if (before.size() != now.size()) return out;
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (now[i] < before[i]) return now;
    out[i] = now[i] - before[i];
  }
  return out;
}

std::string milliseconds(std::optional<double> seconds) {
  if (!seconds) return "-";
  std::array<char, 32> text{};
  const double ms = *seconds * 1000;
  std::snprintf(text.data(), text.size(), ms < 10 ? "%.2f ms" : "%.0f ms", ms);
  return text.data();
}

// In use and not pinned, pinned, idle, free: by shape, and the line is where the bar ends.
std::string budget_bar(std::uint64_t used, std::uint64_t pinned, std::uint64_t open, std::uint64_t limit) {
  const std::uint64_t whole = std::max<std::uint64_t>({limit, open, 1});
  const auto cells = [&](std::uint64_t value) {
    return static_cast<std::size_t>(std::llround(static_cast<double>(value * kBarWidth) / static_cast<double>(whole)));
  };
  const std::size_t use = std::min(cells(used), kBarWidth);
  const std::size_t both = std::clamp(cells(used + pinned), use, kBarWidth);
  const std::size_t all = std::clamp(cells(open), both, kBarWidth);
  return "[" + std::string(use, '#') + std::string(both - use, 'P') + std::string(all - both, '-') +
         std::string(kBarWidth - all, ' ') + "]";
}

std::string curve(const std::deque<std::uint64_t>& points) {
  static constexpr std::array<const char*, 8> kSteps{"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::uint64_t most = points.empty() ? 0 : *std::max_element(points.begin(), points.end());
  std::string out;
  for (const std::uint64_t each : points) {
    if (most == 0) return {};
    out += kSteps.at(static_cast<std::size_t>(each * (kSteps.size() - 1) / most));
  }
  return out;
}

// At most so many characters, which may be of several bytes.
std::string cut(const std::string& text, std::size_t width) {
  if (width == 0) return text;
  std::size_t columns = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) == 0x80) continue;
    if (columns == width) return text.substr(0, i);
    ++columns;
  }
  return text;
}

struct Lines {
  explicit Lines(const TopFormat& how) : format(how) {}
  void add(const std::string& text) { out.push_back(cut(text, format.width)); }
  void title(const std::string& text) {
    out.push_back(format.colour ? kBold + cut(text, format.width) + kPlain : cut(text, format.width));
  }
  void table(const std::string& name, const Table& rows) {
    if (rows.empty()) return;
    add("");
    title(name);
    const std::string text = rows.print({});
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = text.find('\n', begin);
      add(text.substr(begin, end - begin));
      begin = end == std::string::npos ? text.size() : end + 1;
    }
  }
  const TopFormat& format;
  std::vector<std::string> out;
};

Table events_table(const Items& items) {
  Table table({{"AGO"}, {"ABOUT"}, {"REASON"}, {"TIMES"}, {"MESSAGE"}});
  for (const Value& item : items) {
    table.add({duration(number_at(item, "/ageSeconds")), text_at(item, "/about"), text_at(item, "/reason"),
               text_at(item, "/count"), text_at(item, "/message")});
  }
  return table;
}

// Of a sidecar: who, how long and why, and no more columns than fit.
Table pinned_statements(const Items& items) {
  Table table({{"PROXY"}, {"USER"}, {"PINNED-FOR"}, {"REASONS"}, {"STATEMENT"}});
  for (const Value& item : items) {
    table.add({text_at(item, "/proxy"), text_at(item, "/user"), duration(number_at(item, "/pinnedSeconds")),
               joined(array_at(item, "/reasons"), ","), text_at(item, "/statementDigest")});
  }
  return table;
}

std::string health(const Value& proxy) {
  if (text_at(proxy, "/paused") == "true") return "PAUSED";
  if (text_at(proxy, "/draining") == "true") return "DRAINING";
  return text_at(proxy, "/ready") == "true" ? "ready" : "NOT READY";
}

std::string shown_of(const Value& news, const std::string& page, std::size_t shown) {
  const std::uint64_t total = count_at(news, "/" + page + "/total");
  return total > shown ? " (" + std::to_string(shown) + " of " + std::to_string(total) +
                             ", those that want to be looked at first)"
                       : "";
}

}  // namespace

bool TopView::wanted(const std::string& proxy) const {
  if (!name_.empty() && !is_named(proxy, name_)) return false;
  return name_space_.empty() || proxy.substr(0, proxy.find('/')) == name_space_;
}

json::array TopView::items(const Value& news, const std::string& page, bool are_proxies) const {
  json::array out;
  for (const Value& item : array_at(news, "/" + page + "/items")) {
    if (wanted(are_proxies ? full_name(item) : text_at(item, "/proxy"))) out.push_back(item);
  }
  return out;
}

void TopView::remember(const Value& news, Time now) {
  for (const Value& item : array_at(news, "/latency/items")) {
    std::deque<Sample>& kept = samples_[text_at(item, "/proxy")];
    kept.push_back({now, counts_at(item, "/query"), counts_at(item, "/borrow")});
    // One older than the window stays, to reckon from.
    while (kept.size() > 2 && (now - kept[1].at >= kWindow || kept.size() > kMostSamples)) kept.pop_front();
  }
  for (const Value& item : array_at(news, "/dbproxies/items")) {
    std::deque<std::uint64_t>& points = waiting_[full_name(item)];
    points.push_back(count_at(item, "/clients/waiting"));
    if (points.size() > kPoints) points.pop_front();
  }
}

std::string TopView::latency(const std::string& proxy, const std::vector<double>& bounds) const {
  const auto found = samples_.find(proxy);
  if (found == samples_.end() || found->second.empty()) return {};
  const Sample& last = found->second.back();
  const bool first = found->second.size() == 1;
  const Sample none{last.at, std::vector<std::uint64_t>(last.query.size()),
                    std::vector<std::uint64_t>(last.borrow.size())};
  const Sample& from = first ? none : found->second.front();
  const auto query = since(from.query, last.query), borrow = since(from.borrow, last.borrow);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(last.at - from.at).count();
  return "queries p50 " + milliseconds(metrics::quantile(0.5, bounds, query)) + ", p99 " +
         milliseconds(metrics::quantile(0.99, bounds, query)) + "; waiting for a connection p99 " +
         milliseconds(metrics::quantile(0.99, bounds, borrow)) +
         (first ? ", since the start" : ", in the last " + std::to_string(seconds) + " s");
}

std::vector<std::string> TopView::frame(const Value& news, Time now, const TopFormat& format) {
  remember(news, now);
  Lines lines(format);
  std::vector<double> bounds;
  for (const Value& each : array_at(news, "/latency/bounds")) bounds.push_back(number_at(each, ""));
  if (const std::string notice = text_at(news, "/notice"); !notice.empty()) lines.title("! " + printable(notice));

  const Items proxies = items(news, "dbproxies", true);
  found_ = !proxies.empty();
  if (!found_) lines.add("There is no DBProxy to show.");
  if (const auto hidden = shown_of(news, "dbproxies", array_at(news, "/dbproxies/items").size()); !hidden.empty()) {
    lines.add("DBProxies" + hidden);
  }
  for (const Value& proxy : proxies) {
    const std::string name = full_name(proxy);
    const std::string writer = text_at(proxy, "/targets/writer");
    lines.title(printable(name + "  " + health(proxy) + "  " + text_at(proxy, "/engine") + "  writer " +
                          (writer.empty() ? "none" : writer) + "  " + text_at(proxy, "/targets/available") + " of " +
                          text_at(proxy, "/targets/total") + " targets available"));
    const std::uint64_t open = count_at(proxy, "/connections/open"), limit = count_at(proxy, "/connections/limit");
    const std::uint64_t in_use = count_at(proxy, "/connections/inUse"), pinned = count_at(proxy, "/connections/pinned");
    lines.add("  connections " + budget_bar(in_use - std::min(in_use, pinned), pinned, open, limit) + " " +
              std::to_string(open) + " of " + (limit == 0 ? "?" : std::to_string(limit)) + ", " +
              std::to_string(in_use) + " in use, " + std::to_string(pinned) + " pinned");
    std::string clients = "  clients     " + text_at(proxy, "/clients/connected") + " connected, ";
    if (const std::string active = text_at(proxy, "/clients/active"); !active.empty()) clients += active + " active, ";
    clients += text_at(proxy, "/clients/waiting") + " waiting";
    if (const std::string waited = curve(waiting_[name]); !waited.empty()) clients += "  " + waited;
    lines.add(clients);
    if (const std::string times = latency(name, bounds); !times.empty()) lines.add("  times       " + times);
    if (!text_at(proxy, "/sidecars/connected").empty()) {
      lines.add("  sidecars    " + text_at(proxy, "/sidecars/connected") + " connected, " +
                std::to_string(count_at(proxy, "/sidecars/connected") -
                               std::min(count_at(proxy, "/sidecars/connected"), count_at(proxy, "/sidecars/updated"))) +
                " behind, " + text_at(proxy, "/sidecars/rejected") + " refuse their configuration");
    }
    for (const Value& condition : array_at(proxy, "/conditions")) {
      if (text_at(condition, "/status") != "False") continue;
      lines.add("  ! " + printable(text_at(condition, "/type") + ": " + text_at(condition, "/message")));
    }
    for (const Value& error : array_at(proxy, "/errors")) lines.add("  ! " + printable(text_at(error, "")));
  }

  const std::vector<std::string> wrong = diagnostic_lines(array_at(news, "/diagnostics/items"));
  if (!wrong.empty()) {
    lines.add("");
    lines.title("WHAT IS WRONG WITH MANIFESTS");
    for (const std::string& each : wrong) lines.add(each);
  }
  lines.table("TARGETS", targets_table(items(news, "targets", false)));
  const bool from_operator = text_at(news, "/dbproxies/source") == "operator";
  const Items pins = items(news, "pins", false);
  lines.table("PINS" + shown_of(news, "pins", array_at(news, "/pins/items").size()),
              from_operator ? pin_kinds_table(pins) : pinned_statements(pins));
  lines.table("POOLS", pools_table(items(news, "pools", false)));
  const Items sidecars = items(news, "sidecars", false);
  if (from_operator) {
    lines.table("SIDECARS" + shown_of(news, "sidecars", array_at(news, "/sidecars/items").size()),
                sidecars_table(sidecars));
  }
  lines.table("EVENTS", events_table(array_at(news, "/events/items")));
  if (format.height > 0 && lines.out.size() > format.height) {
    lines.out.resize(format.height);
    lines.out.back() = cut("… more than fits: a larger window, or a NAME, shows it", format.width);
  }
  return lines.out;
}

}  // namespace dbproxy::ctl
