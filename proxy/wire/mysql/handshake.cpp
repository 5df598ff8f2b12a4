#include "proxy/wire/mysql/handshake.hpp"

#include <algorithm>

#include "proxy/wire/mysql/reader.hpp"

namespace dbproxy::wire::mysql {
namespace {

constexpr std::size_t kMaxAttributes = 512;

// Some clients leave the last zero byte of their packet out.
std::string_view cstring_or_rest(Reader& reader) {
  if (reader.rest().find('\0') == std::string_view::npos) return reader.all();
  return reader.cstring();
}

}  // namespace

bool read_greeting(std::string_view payload, Greeting& greeting) {
  Reader reader(payload);
  if (reader.u8() != 10) return false;
  greeting.server_version = reader.cstring();
  greeting.connection_id = reader.u32();
  greeting.nonce = reader.bytes(8);
  reader.u8();
  greeting.capabilities = reader.u16();
  if (!reader.ok()) return false;
  if (reader.rest().empty()) return true;
  greeting.collation = reader.u8();
  greeting.status = reader.u16();
  greeting.capabilities |= std::uint32_t{reader.u16()} << 16;
  const std::uint8_t nonce_length = reader.u8();
  reader.bytes(10);
  if (greeting.capabilities & client::kSecureConnection) {
    const std::size_t second = std::max<std::size_t>(13, nonce_length < 8 ? 0 : nonce_length - 8);
    std::string_view rest = reader.bytes(std::min(second, reader.rest().size()));
    if (!rest.empty() && rest.back() == '\0') rest.remove_suffix(1);
    greeting.nonce += rest;
  }
  if (greeting.capabilities & client::kPluginAuth) greeting.auth_plugin = cstring_or_rest(reader);
  return reader.ok();
}

void greeting(std::string& out, const Greeting& greeting) {
  std::string nonce = greeting.nonce;
  nonce.resize(kNonceSize);
  const std::string_view bytes = nonce;
  PacketWriter writer(out, 0);
  writer.u8(10).cstring(greeting.server_version).u32(greeting.connection_id).bytes(bytes.substr(0, 8)).u8(0);
  writer.u16(static_cast<std::uint16_t>(greeting.capabilities)).u8(greeting.collation).u16(greeting.status);
  writer.u16(static_cast<std::uint16_t>(greeting.capabilities >> 16)).u8(kNonceSize + 1).zeros(10);
  writer.bytes(bytes.substr(8)).u8(0).cstring(greeting.auth_plugin);
}

bool read_handshake_response(std::string_view payload, HandshakeResponse& response) {
  response = HandshakeResponse{};
  Reader reader(payload);
  response.capabilities = reader.u32();
  response.max_packet = reader.u32();
  response.collation = reader.u8();
  reader.bytes(23);
  if (!reader.ok() || !(response.capabilities & client::kProtocol41)) return false;
  if (payload.size() == kSslRequestPayload) return true;
  response.user = reader.cstring();
  if (response.capabilities & client::kLenencAuthData)
    response.auth_response = reader.lenenc_bytes();
  else if (response.capabilities & client::kSecureConnection)
    response.auth_response = reader.bytes(reader.u8());
  else
    response.auth_response = reader.cstring();
  // A client may claim to name a database and then end its packet.
  if (response.capabilities & client::kConnectWithDb && !reader.rest().empty())
    response.schema = cstring_or_rest(reader);
  if (response.capabilities & client::kPluginAuth && !reader.rest().empty())
    response.auth_plugin = cstring_or_rest(reader);
  if (response.capabilities & client::kConnectAttributes && !reader.rest().empty())
    response.attributes = reader.lenenc_bytes();
  if (response.capabilities & client::kZstd && !reader.rest().empty()) response.zstd_level = reader.u8();
  return reader.ok();
}

namespace {

void begin_response(PacketWriter& writer, const HandshakeResponse& response) {
  writer.u32(response.capabilities).u32(response.max_packet).u8(response.collation).zeros(23);
}

}  // namespace

std::uint8_t handshake_response(std::string& out, std::uint8_t sequence, const HandshakeResponse& response) {
  PacketWriter writer(out, sequence);
  begin_response(writer, response);
  writer.cstring(response.user);
  if (response.capabilities & client::kLenencAuthData)
    writer.lenenc_bytes(response.auth_response);
  else
    writer.u8(static_cast<std::uint8_t>(response.auth_response.size())).bytes(response.auth_response.substr(0, 255));
  if (response.capabilities & client::kConnectWithDb) writer.cstring(response.schema);
  if (response.capabilities & client::kPluginAuth) writer.cstring(response.auth_plugin);
  if (response.capabilities & client::kConnectAttributes) writer.lenenc_bytes(response.attributes);
  if (response.capabilities & client::kZstd) writer.u8(response.zstd_level);
  return writer.finish();
}

std::uint8_t ssl_request(std::string& out, std::uint8_t sequence, const HandshakeResponse& response) {
  PacketWriter writer(out, sequence);
  begin_response(writer, response);
  return writer.finish();
}

bool read_change_user(std::string_view payload, std::uint32_t capabilities, ChangeUser& change) {
  change = ChangeUser{};
  Reader reader(payload);
  reader.u8();
  change.user = reader.cstring();
  change.auth_response = capabilities & client::kSecureConnection ? reader.bytes(reader.u8()) : reader.cstring();
  change.schema = cstring_or_rest(reader);
  if (!reader.rest().empty()) change.collation = reader.u16();
  if (capabilities & client::kPluginAuth && !reader.rest().empty()) change.auth_plugin = cstring_or_rest(reader);
  if (capabilities & client::kConnectAttributes && !reader.rest().empty()) change.attributes = reader.lenenc_bytes();
  return reader.ok();
}

std::optional<Attributes> read_attributes(std::string_view attributes) {
  Attributes result;
  Reader reader(attributes);
  while (!reader.rest().empty()) {
    const auto name = reader.lenenc_bytes();
    const auto value = reader.lenenc_bytes();
    if (!reader.ok() || result.size() >= kMaxAttributes) return std::nullopt;
    result.emplace_back(name, value);
  }
  return result;
}

std::string write_attributes(const Attributes& attributes) {
  std::string out;
  for (const auto& [name, value] : attributes) {
    append_lenenc_bytes(out, name);
    append_lenenc_bytes(out, value);
  }
  return out;
}

bool read_auth_switch(std::string_view payload, AuthSwitch& request) {
  request = AuthSwitch{};
  Reader reader(payload);
  if (reader.u8() != kEofHeader || !reader.ok()) return false;
  if (reader.rest().empty()) {  // from before 4.1: a scheme that nobody should use
    request.plugin = "mysql_old_password";
    return true;
  }
  request.plugin = cstring_or_rest(reader);
  request.data = reader.all();
  if (!request.data.empty() && request.data.back() == '\0') request.data.remove_suffix(1);
  return reader.ok();
}

std::uint8_t auth_switch(std::string& out, std::uint8_t sequence, std::string_view plugin, std::string_view nonce) {
  return PacketWriter(out, sequence).u8(kEofHeader).cstring(plugin).bytes(nonce).u8(0).finish();
}

std::uint8_t auth_more_data(std::string& out, std::uint8_t sequence, std::string_view data) {
  return PacketWriter(out, sequence).u8(kMoreDataHeader).bytes(data).finish();
}

}  // namespace dbproxy::wire::mysql
