#include "operator/control/session.hpp"

#include <algorithm>

namespace dbproxy::operator_control {
namespace {

constexpr std::size_t kMaxError = 1024;
constexpr int kMaxHeld = 1000;

bool contains(const std::vector<std::string>& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// A peer's text that people will read in a terminal: one line, bounded.
std::string presentable(std::string text) {
  if (text.size() > kMaxError) text.resize(kMaxError);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

bool Session::Entry::due() const {
  if (!nonce.empty() || (desired && !desired->snapshot)) return false;
  if (!desired) return !digest_in_force.empty();
  return (renew || desired->digest != digest_in_force) && desired->digest != digest_refused;
}

std::string Session::begin(const v1::Hello& hello, const std::vector<std::string>& allowed,
                           const std::vector<std::string>& withheld, bool renew) {
  allowed_ = allowed;
  asked_.assign(hello.proxies().begin(), hello.proxies().end());
  everything_ = asked_.empty();
  std::erase_if(asked_, [&](const std::string& proxy) { return contains(withheld, proxy); });
  for (const std::string& proxy : asked_) {
    if (!allowed_.empty() && !contains(allowed_, proxy)) return proxy;
    entries_[proxy];
  }
  for (int i = 0; i < std::min(hello.held_size(), kMaxHeld); ++i) {
    const v1::HeldConfig& held = hello.held(i);
    if (!wants(held.proxy())) continue;
    Entry& entry = entries_[held.proxy()];
    entry.version_in_force = held.version();
    entry.digest_in_force = held.digest();
    entry.renew = renew;
  }
  return {};
}

bool Session::wants(const std::string& proxy) const {
  return everything_ ? allowed_.empty() || contains(allowed_, proxy) : contains(asked_, proxy);
}

void Session::publish(const std::string& proxy, PublishedPtr content) {
  if (!wants(proxy)) return;
  Entry& entry = entries_[proxy];
  entry.desired = std::move(content);
  if (!entry.desired && entry.digest_in_force.empty() && entry.nonce.empty() && everything_) entries_.erase(proxy);
}

void Session::publish_all(const std::map<std::string, PublishedPtr>& book) {
  for (const auto& [proxy, content] : book) publish(proxy, content);
}

void Session::refresh() {
  for (auto& [proxy, entry] : entries_) {
    if (entry.desired && entry.desired->snapshot) entry.renew = true;
  }
}

std::optional<Push> Session::next() {
  for (auto& [proxy, entry] : entries_) {
    if (!entry.due()) continue;
    entry.sent = entry.desired;
    entry.renew = false;
    entry.nonce = std::to_string(++nonces_);
    if (entry.sent) entry.version_sent = entry.sent->snapshot->version;
    return Push{entry.nonce, proxy, entry.sent};
  }
  return std::nullopt;
}

Session::Answer Session::reply(const v1::ConfigReply& reply) {
  const auto found = entries_.find(reply.proxy());
  if (found == entries_.end() || found->second.nonce.empty() || found->second.nonce != reply.nonce()) {
    return Answer::kStale;
  }
  Entry& entry = found->second;
  entry.nonce.clear();
  entry.version_in_force = reply.version();
  if (!reply.error().empty()) {
    entry.digest_refused = entry.sent ? entry.sent->digest : "";
    entry.error = presentable(reply.error());
    // A removal that is refused is not repeated: there is nothing that could change about it.
    if (!entry.sent) entry.digest_in_force.clear();
    return Answer::kNack;
  }
  entry.error.clear();
  entry.digest_refused.clear();
  entry.digest_in_force = entry.sent ? entry.sent->digest : "";
  if (!entry.sent && !entry.desired && everything_) entries_.erase(found);
  return Answer::kAck;
}

void Session::status(const v1::StatusReport& report) {
  const auto found = entries_.find(report.proxy());
  if (found != entries_.end()) found->second.figures = report;
}

bool Session::behind() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const auto& each) {
    const Entry& entry = each.second;
    return entry.desired && entry.desired->snapshot && entry.desired->digest != entry.digest_in_force;
  });
}

bool Session::exists(const std::string& proxy) const {
  const auto found = entries_.find(proxy);
  return found != entries_.end() && found->second.desired;
}

std::set<std::string> Session::served() const {
  std::set<std::string> out;
  for (const auto& [proxy, entry] : entries_) {
    if (entry.desired && entry.desired->snapshot) out.insert(proxy);
  }
  return out;
}

void Session::add_use(std::map<std::string, topology::Use>& used) const {
  for (const auto& [proxy, entry] : entries_) {
    const topology::Use use = entry.figures.clients() > 0 ? topology::Use::kClients : topology::Use::kSidecars;
    topology::Use& most = used[proxy];
    most = std::max(most, use);
  }
}

std::vector<SidecarRow> Session::rows() const {
  std::vector<SidecarRow> out;
  for (const auto& [proxy, entry] : entries_) {
    SidecarRow& row = out.emplace_back();
    row.proxy = proxy;
    row.version_in_force = entry.version_in_force;
    row.version_sent = entry.version_sent;
    if (!entry.desired || !entry.desired->snapshot) {
      row.state = SidecarState::kPending;
    } else if (entry.desired->digest == entry.digest_in_force) {
      row.state = SidecarState::kUpdated;
    } else if (entry.desired->digest == entry.digest_refused) {
      row.state = SidecarState::kRejected;
      row.error = entry.error;
    }
    row.clients = entry.figures.clients();
    row.clients_waiting = entry.figures.clients_waiting();
    row.servers = entry.figures.server_connections();
    row.servers_in_use = entry.figures.server_connections_in_use();
    row.pinned = entry.figures.pinned();
    for (const v1::Backends& each : entry.figures.backends()) {
      row.servers_of.emplace_back(each.target(), static_cast<std::uint32_t>(each.ids_size()));
    }
    row.trouble = presentable(entry.figures.trouble());
  }
  return out;
}

}  // namespace dbproxy::operator_control
