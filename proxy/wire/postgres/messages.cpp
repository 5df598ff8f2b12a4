#include "proxy/wire/postgres/messages.hpp"

#include "proxy/wire/postgres/reader.hpp"
#include "proxy/wire/postgres/startup.hpp"

namespace dbproxy::wire::postgres {

MessageWriter::MessageWriter(std::string& out, char type) : out_(out) {
  if (type != 0) out_ += type;
  length_at_ = out_.size();
  out_.append(4, '\0');
}

MessageWriter& MessageWriter::u8(std::uint8_t v) {
  out_ += static_cast<char>(v);
  return *this;
}

MessageWriter& MessageWriter::u16(std::uint16_t v) {
  out_ += static_cast<char>(v >> 8);
  out_ += static_cast<char>(v);
  return *this;
}

MessageWriter& MessageWriter::u32(std::uint32_t v) {
  char bytes[4];
  store_u32(bytes, v);
  out_.append(bytes, 4);
  return *this;
}

MessageWriter& MessageWriter::bytes(std::string_view v) {
  out_ += v;
  return *this;
}

MessageWriter& MessageWriter::cstring(std::string_view v) {
  out_ += v.substr(0, v.find('\0'));
  out_ += '\0';
  return *this;
}

void MessageWriter::finish() {
  if (finished_) return;
  finished_ = true;
  store_u32(out_.data() + length_at_, static_cast<std::uint32_t>(out_.size() - length_at_));
}

void startup_message(std::string& out, std::uint32_t protocol, const Parameters& parameters) {
  MessageWriter message(out, 0);
  message.u32(protocol);
  for (const auto& [name, value] : parameters) message.cstring(name).cstring(value);
  message.u8(0);
}

void ssl_request(std::string& out) {
  MessageWriter(out, 0).u32(kSslRequestCode);
}

void cancel_request(std::string& out, std::uint32_t process_id, std::string_view key) {
  MessageWriter(out, 0).u32(kCancelRequestCode).u32(process_id).bytes(key);
}

void password_message(std::string& out, std::string_view password) {
  MessageWriter(out, 'p').cstring(password);
}

void sasl_initial_response(std::string& out, std::string_view mechanism, std::string_view data) {
  MessageWriter(out, 'p').cstring(mechanism).u32(static_cast<std::uint32_t>(data.size())).bytes(data);
}

void sasl_response(std::string& out, std::string_view data) {
  MessageWriter(out, 'p').bytes(data);
}

void query(std::string& out, std::string_view sql) {
  MessageWriter(out, 'Q').cstring(sql);
}

void parse(std::string& out, std::string_view name, std::string_view sql, std::string_view parameter_types) {
  MessageWriter message(out, 'P');
  message.cstring(name).cstring(sql).u16(static_cast<std::uint16_t>(parameter_types.size() / 4)).bytes(parameter_types);
}

void close_statement(std::string& out, std::string_view name) {
  MessageWriter(out, 'C').u8('S').cstring(name);
}

void sync(std::string& out) {
  empty_message(out, 'S');
}

void terminate(std::string& out) {
  empty_message(out, 'X');
}

void authentication(std::string& out, std::uint32_t code, std::string_view data) {
  MessageWriter(out, 'R').u32(code).bytes(data);
}

void authentication_sasl(std::string& out, std::span<const std::string_view> mechanisms) {
  MessageWriter message(out, 'R');
  message.u32(10);
  for (auto mechanism : mechanisms) message.cstring(mechanism);
  message.u8(0);
}

void parameter_status(std::string& out, std::string_view name, std::string_view value) {
  MessageWriter(out, 'S').cstring(name).cstring(value);
}

void backend_key_data(std::string& out, std::uint32_t process_id, std::string_view key) {
  MessageWriter(out, 'K').u32(process_id).bytes(key);
}

void ready_for_query(std::string& out, char status) {
  MessageWriter(out, 'Z').u8(static_cast<std::uint8_t>(status));
}

void command_complete(std::string& out, std::string_view tag) {
  MessageWriter(out, 'C').cstring(tag);
}

void negotiate_protocol_version(std::string& out, std::uint32_t version, std::span<const std::string_view> unknown) {
  MessageWriter message(out, 'v');
  message.u32(version).u32(static_cast<std::uint32_t>(unknown.size()));
  for (auto name : unknown) message.cstring(name);
}

void empty_message(std::string& out, char type) {
  MessageWriter(out, type).finish();
}

namespace {

void append_error(std::string& out, char type, const Error& error) {
  MessageWriter message(out, type);
  message.u8('S').cstring(error.severity).u8('V').cstring(error.severity);
  message.u8('C').cstring(error.sqlstate).u8('M').cstring(error.message);
  if (!error.detail.empty()) message.u8('D').cstring(error.detail);
  if (!error.hint.empty()) message.u8('H').cstring(error.hint);
  message.u8(0);
}

}  // namespace

void error_response(std::string& out, const Error& error) {
  append_error(out, 'E', error);
}
void notice_response(std::string& out, const Error& notice) {
  append_error(out, 'N', notice);
}

ErrorFields read_error(std::string_view body) {
  ErrorFields fields;
  Reader reader(body);
  while (true) {
    char code = static_cast<char>(reader.u8());
    if (!reader.ok() || code == 0) break;
    auto value = reader.cstring();
    if (!reader.ok()) break;
    switch (code) {
      case 'S':
        if (fields.severity.empty()) fields.severity = value;
        break;
      case 'V':
        fields.severity = value;  // never translated, so it wins over 'S'
        break;
      case 'C':
        fields.sqlstate = value;
        break;
      case 'M':
        fields.message = value;
        break;
      case 'D':
        fields.detail = value;
        break;
      case 'H':
        fields.hint = value;
        break;
      default:
        break;
    }
  }
  return fields;
}

}  // namespace dbproxy::wire::postgres
