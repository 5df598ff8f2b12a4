// A script of both sides of a session: what each sends, and what the other is seen to get.
#pragma once

#include <gtest/gtest.h>
#include <string>
#include <string_view>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {

namespace wire = dbproxy::wire::postgres;

inline std::string flat(Output& output) {
  std::string bytes;
  output.append_to(bytes, 0);
  output.clear();
  return bytes;
}

// "Q(select 1) Z(I) E(26000: …)": the messages in `bytes`, shortened for comparison.
inline std::string shown(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    auto frame = wire::scan_frame(bytes);
    if (frame.scan != wire::Scan::kMessage || frame.size > bytes.size()) return out + "<broken>";
    wire::Reader reader(bytes.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize));
    if (!out.empty()) out += ' ';
    out += frame.type;
    auto quoted = [&] { out += "(" + std::string(reader.cstring()) + ")"; };
    if (frame.type == 'Q' || frame.type == 'P') quoted();
    if (frame.type == 'B') {
      reader.cstring();
      quoted();
    }
    if (frame.type == 'D' && frame.size > 6) {
      out += static_cast<char>(reader.u8());
      quoted();
    }
    if (frame.type == 'C') quoted();
    if (frame.type == 'E' && frame.size > 10) {
      auto fields = wire::read_error(bytes.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize));
      out += "(" + std::string(fields.sqlstate) + ")";
    }
    if (frame.type == 'Z') out += bytes[5];
    bytes.remove_prefix(frame.size);
  }
  return out;
}

struct Script : ::testing::Test {
  StatementCache cache{"p_"};
  SettingsInterner interner;
  SettingsPtr settings = interner.intern({{"application_name", "a"}, {"standard_conforming_strings", "on"}});
  ServerSession server{interner, settings};
  ClientSession client{cache, settings};
  ClientSession other{cache, settings};
  ClientOptions options;

  // Feeds what a client sends; returns what went to the server, and appends to `told` what the client was told.
  std::string told;
  ClientVerdict verdict{};
  std::string sent(ClientSession& from, const std::string& bytes, bool attached = true) {
    Output to_server, to_client;
    std::size_t consumed = 0;
    verdict = from.feed(bytes, consumed, attached ? &server : nullptr, to_server, to_client, options);
    told += flat(to_client);
    return shown(flat(to_server));
  }
  ServerVerdict server_verdict{};
  std::string got(ClientSession& to, const std::string& bytes) {
    Output out;
    std::size_t consumed = 0;
    server_verdict = server.feed(bytes, consumed, &to, out);
    if (consumed != bytes.size()) ADD_FAILURE() << "left over";
    return shown(flat(out));
  }

  static std::string q(std::string_view sql) {
    std::string out;
    wire::query(out, sql);
    return out;
  }
  static std::string p(std::string_view name, std::string_view sql) {
    std::string out;
    wire::parse(out, name, sql, "");
    return out;
  }
  static std::string b(std::string_view name) {
    std::string out;
    wire::MessageWriter(out, 'B').cstring("").cstring(name).u16(0).u16(0).u16(0);
    return out;
  }
  static std::string e() {
    std::string out;
    wire::MessageWriter(out, 'E').cstring("").u32(0);
    return out;
  }
  static std::string d(std::string_view name) {
    std::string out;
    wire::MessageWriter(out, 'D').u8('S').cstring(name);
    return out;
  }
  static std::string c(std::string_view name) {
    std::string out;
    wire::close_statement(out, name);
    return out;
  }
  static std::string s() { return m('S'); }
  static std::string m(char type) {
    std::string out;
    wire::empty_message(out, type);
    return out;
  }
  static std::string z(char status = 'I') {
    std::string out;
    wire::ready_for_query(out, status);
    return out;
  }
  static std::string tag(std::string_view text) {
    std::string out;
    wire::command_complete(out, text);
    return out;
  }
  static std::string error(std::string_view sqlstate, std::string_view severity = "ERROR") {
    std::string out;
    wire::error_response(out, {.severity = severity, .sqlstate = sqlstate, .message = "m"});
    return out;
  }
};

}  // namespace dbproxy::session::postgres
