// Builders of PostgreSQL messages, and readers of the few that the proxy looks into.
//
// Every builder appends one whole message to `out`. Strings are sent as they are; the caller makes sure that none
// holds a zero byte where the protocol wants a C string (a zero byte ends it here, too).
// (Protocol: "Message Formats"; error fields: "Error and Notice Message Fields".)
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/wire/postgres/frame.hpp"

namespace dbproxy::wire::postgres {

// One message under construction; the length is filled in by the destructor or by finish().
class MessageWriter {
 public:
  // type 0: a start-up packet, which has no type byte
  MessageWriter(std::string& out, char type);
  ~MessageWriter() { finish(); }
  MessageWriter(const MessageWriter&) = delete;
  MessageWriter& operator=(const MessageWriter&) = delete;

  MessageWriter& u8(std::uint8_t v);
  MessageWriter& u16(std::uint16_t v);
  MessageWriter& u32(std::uint32_t v);
  MessageWriter& bytes(std::string_view v);
  MessageWriter& cstring(std::string_view v);
  void finish();

 private:
  std::string& out_;
  std::size_t length_at_;
  bool finished_ = false;
};

using Parameters = std::vector<std::pair<std::string, std::string>>;

// ---- to a server ----
void startup_message(std::string& out, std::uint32_t protocol, const Parameters& parameters);
void ssl_request(std::string& out);
void cancel_request(std::string& out, std::uint32_t process_id, std::string_view key);
void password_message(std::string& out, std::string_view password);  // 'p'; also MD5
void sasl_initial_response(std::string& out, std::string_view mechanism, std::string_view data);
void sasl_response(std::string& out, std::string_view data);
void query(std::string& out, std::string_view sql);
void parse(std::string& out, std::string_view name, std::string_view sql, std::string_view parameter_types);
void close_statement(std::string& out, std::string_view name);
void sync(std::string& out);
void terminate(std::string& out);

// ---- to a client ----
void authentication(std::string& out, std::uint32_t code, std::string_view data = {});  // 'R'
void authentication_sasl(std::string& out, std::span<const std::string_view> mechanisms);
void parameter_status(std::string& out, std::string_view name, std::string_view value);
void backend_key_data(std::string& out, std::uint32_t process_id, std::string_view key);
void ready_for_query(std::string& out, char status);
void command_complete(std::string& out, std::string_view tag);
// `version`: the newest that is spoken, major in the high 16 bits, as PostgreSQL itself sends it.
void negotiate_protocol_version(std::string& out, std::uint32_t version, std::span<const std::string_view> unknown);
// A message without a body: ParseComplete '1', BindComplete '2', CloseComplete '3', …
void empty_message(std::string& out, char type);

struct Error {
  std::string_view severity = "ERROR";  // ERROR, FATAL, or for notices NOTICE, WARNING
  std::string_view sqlstate = "XX000";
  std::string_view message;
  std::string_view detail = {};
  std::string_view hint = {};
};
void error_response(std::string& out, const Error& error);
void notice_response(std::string& out, const Error& notice);

// The fields of an ErrorResponse or NoticeResponse that the proxy acts on; absent ones are empty. Views into `body`.
struct ErrorFields {
  std::string_view severity, sqlstate, message, detail, hint;
};
ErrorFields read_error(std::string_view body);

}  // namespace dbproxy::wire::postgres
