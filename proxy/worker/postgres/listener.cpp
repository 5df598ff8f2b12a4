#include "proxy/worker/postgres/listener.hpp"

#include <algorithm>

#include "proxy/session/postgres/prepare_text.hpp"
#include "proxy/wire/postgres/reader.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {

// What clients have set shall not end it.
Listener::Listener(Server& server) : server_(server) {
  server_.session().collect_notifications(true);
  auto& out = server_.context().listen_to_server;
  server_.session().query(
      "SELECT pg_catalog.set_config(s.name, '0', false) FROM pg_catalog.pg_settings AS s WHERE s.name"
      " OPERATOR(pg_catalog.=) ANY ('{idle_session_timeout,statement_timeout,lock_timeout,transaction_timeout}'"
      "::pg_catalog.text[])",
      out);
  server_.channel().send(out);
}

void Listener::drop(Client& client, const Channels& keep) {
  auto it = clients_.find(&client);
  if (it == clients_.end()) return;
  for (const auto& channel : it->second) {
    if (!keep.contains(channel)) std::erase(wanted_[channel], &client);
  }
  std::erase_if(it->second, [&](const auto& channel) { return !keep.contains(channel); });
}

void Listener::update(Client& client, const Channels& channels) {
  clients_.try_emplace(&client);
  drop(client, channels);
  for (const auto& channel : channels) wanted_.try_emplace(channel);
  next_.push_back({&client, channels});
  ask();
}

void Listener::forget(Client& client) {
  drop(client, {});
  clients_.erase(&client);
  for (auto* changes : {&asked_, &next_}) {
    for (auto& change : *changes) {
      if (change.client == &client) change.client = nullptr;
    }
  }
  ask();
}

// One question at a time, for all that is wanted by then.
void Listener::ask() {
  if (busy_ || !server_.ready()) return;
  std::erase_if(next_, [](const auto& change) { return change.client == nullptr; });
  std::string sql;
  const auto add = [&](std::string_view verb, const std::string& channel) {
    if (!sql.empty()) sql += "; ";
    (sql += verb) += session::postgres::quoted_name(channel);
  };
  Channels coming;
  for (const auto& change : next_) coming.insert(change.channels.begin(), change.channels.end());
  std::erase_if(wanted_, [&](const auto& item) { return item.second.empty() && !coming.contains(item.first); });
  for (auto it = listened_.begin(); it != listened_.end();) {
    if (wanted_.contains(*it)) {
      ++it;
      continue;
    }
    add("UNLISTEN ", *it);
    it = listened_.erase(it);
  }
  for (const auto& channel : coming) {
    if (listened_.insert(channel).second) add("LISTEN ", channel);
  }
  if (sql.empty() && next_.empty()) return;
  asked_ = std::exchange(next_, {});
  busy_ = true;
  auto& out = server_.context().listen_to_server;
  server_.session().query(sql, out);
  server_.channel().send(out);
}

void Listener::answered(std::string_view notifications) {
  while (!notifications.empty()) {
    const auto frame = wire::postgres::scan_frame(notifications);
    if (frame.scan != wire::postgres::Scan::kMessage || frame.size > notifications.size()) break;
    deliver(notifications.substr(0, frame.size));
    notifications.remove_prefix(frame.size);
  }
  if (busy_ && !server_.session().asked()) done();
}

void Listener::done() {
  busy_ = false;
  if (server_.session().hidden_query_failed()) return;  // ServerSide ends the connection
  for (auto& change : asked_) {
    if (change.client == nullptr) continue;
    auto& own = clients_[change.client];
    for (const auto& channel : change.channels) {
      if (own.insert(channel).second) wanted_[channel].push_back(change.client);
    }
  }
  // They may leave, or ask for something else, while they are told.
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (auto client = std::exchange(asked_[i].client, nullptr)) client->side().listener_done(*client);
  }
  if (!busy_) asked_.clear();
  ask();
}

// A client's own process id for that of the server connection by which it spoke.
void Listener::deliver(std::string_view message) {
  wire::postgres::Reader reader(message.substr(wire::postgres::kHeaderSize));
  auto process_id = reader.u32();
  const auto channel = reader.cstring();
  if (!reader.ok()) return;
  const auto wanted = wanted_.find(std::string(channel));
  if (wanted == wanted_.end() || wanted->second.empty()) return;
  for (const auto& [server, owner] : server_.target().servers()) {
    if (!server->ready() || server->side().id() != process_id) continue;
    if (server->session().spoke_for() != 0) process_id = server->session().spoke_for();
    break;
  }
  std::string mapped;
  wire::postgres::MessageWriter(mapped, 'A')
      .u32(process_id)
      .bytes(message.substr(wire::postgres::kHeaderSize + sizeof process_id));
  const auto clients = wanted->second;  // they may leave while they are told
  for (auto client : clients) {
    if (clients_.contains(client)) client->side().notified(*client, mapped);
  }
}

void Listener::lost() {
  const auto clients = std::exchange(clients_, {});
  wanted_.clear();
  asked_.clear();
  next_.clear();
  for (const auto& [client, channels] : clients) client->side().listener_lost(*client);
}

}  // namespace dbproxy::worker::postgres
