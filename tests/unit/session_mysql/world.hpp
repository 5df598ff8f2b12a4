// Clients and one server connection that a test plays: bytes in, bytes out, as the worker would move them.
#pragma once

#include <gtest/gtest.h>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/session/mysql/client_session.hpp"
#include "proxy/session/mysql/server_session.hpp"
#include "proxy/wire/mysql/commands.hpp"

namespace dbproxy::session::mysql::test {

namespace wire = dbproxy::wire::mysql;
namespace flags = dbproxy::wire::mysql::client;

inline constexpr std::uint32_t kServer =
    flags::kProtocol41 | flags::kDeprecateEof | flags::kSessionTrack | flags::kMultiStatements;

inline constexpr std::uint32_t kOld = flags::kProtocol41 | flags::kMultiStatements;

inline std::string drain(Output& output) {
  std::string bytes;
  output.append_to(bytes, 0);
  output.clear();
  return bytes;
}

inline std::string request(wire::Command command, std::string_view argument = {}) {
  std::string out;
  wire::command(out, command, argument);
  return out;
}
inline std::string query(std::string_view sql) {
  return request(wire::Command::kQuery, sql);
}

// What a server says, packet by packet.
class Says {
 public:
  explicit Says(std::uint32_t capabilities = kServer) : capabilities_(capabilities) {}
  Says& ok(wire::Ok ok = {}, std::uint8_t header = wire::kOkHeader) {
    if (!state.empty()) {
      ok.state = state;
      ok.status |= wire::status::kStateChanged;
    }
    next = wire::ok(out, next, capabilities_, ok, header);
    state.clear();
    return *this;
  }
  Says& status(std::uint16_t status) {
    wire::Ok made;
    made.status = status;
    return ok(made);
  }
  Says& end(wire::Ok made = {}) { return ok(made, wire::kEofHeader); }
  Says& error(std::uint16_t code = 1064) {
    next = wire::error_packet(out, next, {code, "42000", "no"});
    return *this;
  }
  Says& raw(std::string_view payload) {
    next = wire::packet(out, next, payload);
    return *this;
  }
  // Values as texts.
  Says& row(std::initializer_list<std::string_view> values) {
    std::string payload;
    for (const std::string_view value : values) wire::append_lenenc_bytes(payload, value);
    return raw(payload);
  }
  // What SHOW WARNINGS has before its rows.
  Says& condition_columns() { return raw("\3").raw("Level").raw("Code").raw("Message"); }
  Says& variable(std::string_view name, std::string_view value) {
    wire::append_state(state, {wire::StateType::kSystemVariable, name, value});
    return changed();
  }
  Says& changed() {
    wire::append_state(state, {wire::StateType::kStateChange, "", "1"});
    return *this;
  }
  Says& schema(std::string_view name) {
    wire::append_state(state, {wire::StateType::kSchema, "", name});
    return changed();
  }
  Says& track(wire::StateType type, std::string_view value) {
    wire::append_state(state, {type, "", value});
    return *this;
  }
  std::string out, state;
  std::uint8_t next = 1;

 private:
  std::uint32_t capabilities_;
};

struct World {
  explicit World(bool mariadb = false)
      : start(interner.intern("", *variables_of_collation(45))), server(interner, start, kServer, mariadb) {
    Output out;
    server.start(out);
    to_server = drain(out);
    EXPECT_EQ(serve(nullptr, Says().variable("sql_mode", "STRICT_TRANS_TABLES").ok().out), ServerVerdict::kReady);
    server.set_base();
  }
  // `to_client` is what the client saw of it.
  ServerVerdict serve(ClientSession* client, std::string bytes) {
    Output out;
    std::size_t consumed = 0;
    const ServerVerdict verdict = server.feed(bytes, consumed, client, out);
    left = bytes.size() - consumed;
    to_client += drain(out);
    return verdict;
  }
  ServerVerdict serve(ClientSession& client, const Says& says) { return serve(&client, says.out); }
  // `to_server` is what the server got.
  ClientVerdict say(ClientSession& client, std::string bytes, bool attached = true) {
    Output server_out, client_out;
    std::size_t consumed = 0;
    const ClientVerdict verdict =
        client.feed(bytes, consumed, attached ? &server : nullptr, server_out, client_out, options);
    left = bytes.size() - consumed;
    to_server = drain(server_out);
    to_client += drain(client_out);
    return verdict;
  }
  // The whole of a request that is answered with `says` and needs nothing before it.
  void run(ClientSession& client, std::string_view sql, const Says& says) {
    ASSERT_EQ(say(client, query(sql)), ClientVerdict::kMore) << sql;
    ASSERT_EQ(to_server, query(sql));
    ASSERT_EQ(serve(client, says), ServerVerdict::kReady) << sql;
  }
  std::string seen() { return std::exchange(to_client, {}); }

  ClientOptions options;
  SettingsInterner interner;
  StatementCache cache;
  SettingsPtr start;
  ServerSession server;
  std::string to_server, to_client;
  std::size_t left = 0;
};

struct Client : ClientSession {
  explicit Client(World& world, std::uint64_t serial = 1, std::uint32_t capabilities = kServer, std::string schema = "")
      : ClientSession(world.cache, world.interner, world.interner.intern(schema, *variables_of_collation(45)),
                      capabilities, serial) {}
};

}  // namespace dbproxy::session::mysql::test
