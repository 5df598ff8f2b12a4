// The packets of the connection phase: greeting, the client's answer, TLS request, change of user and what
// authentication plugins send. (MySQL internals manual: "Connection Phase Packets"; MariaDB: "Connection".)
//
// Readers give views into the payload they were given; they bound every length by what is there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::wire::mysql {

inline constexpr std::size_t kNonceSize = 20;
inline constexpr std::size_t kSslRequestPayload = 32;
// Larger ones are refused by MySQL as well; names and tokens fit many times.
inline constexpr std::uint32_t kMaxHandshakePayload = 64u << 10;
// MariaDB puts this before its version, because a client that replicates refuses versions from 10 on otherwise.
inline constexpr std::string_view kMariaDbPrefix = "5.5.5-";

// What a server says first.
struct Greeting {
  std::string server_version;
  std::uint32_t connection_id = 0;
  std::string nonce;  // 20 bytes; servers may send 8 only
  std::uint32_t capabilities = 0;
  std::uint8_t collation = 45;  // utf8mb4_general_ci
  std::uint16_t status = status::kAutocommit;
  std::string auth_plugin;

  bool mariadb() const { return server_version.find("MariaDB") != std::string::npos; }
};
// False: not a greeting of protocol 10.
bool read_greeting(std::string_view payload, Greeting& greeting);
void greeting(std::string& out, const Greeting& greeting);

using Attributes = std::vector<std::pair<std::string, std::string>>;

// What a client answers.
struct HandshakeResponse {
  std::uint32_t capabilities = 0;
  std::uint32_t max_packet = 1u << 24;
  std::uint8_t collation = 45;
  std::string_view user;
  std::string_view auth_response;
  std::string_view schema;
  std::string_view auth_plugin;
  std::string_view attributes;  // as read_attributes takes them
  std::uint8_t zstd_level = 0;  // with client::kZstd; 0: not said
};
// Of a payload of kSslRequestPayload bytes only the first four fields are there: that is the request for TLS.
bool read_handshake_response(std::string_view payload, HandshakeResponse& response);
// Needs kSecureConnection or kLenencAuthData among the capabilities. Returns the next sequence number.
std::uint8_t handshake_response(std::string& out, std::uint8_t sequence, const HandshakeResponse& response);
std::uint8_t ssl_request(std::string& out, std::uint8_t sequence, const HandshakeResponse& response);

// COM_CHANGE_USER, its command byte included. Fields that are not there are empty.
struct ChangeUser {
  std::string_view user;
  std::string_view auth_response;
  std::string_view schema;
  std::uint16_t collation = 0;  // 0: not said
  std::string_view auth_plugin;
  std::string_view attributes;
};
bool read_change_user(std::string_view payload, std::uint32_t capabilities, ChangeUser& change);

// Names and values; nothing where they are malformed, or more than 512 of them.
std::optional<Attributes> read_attributes(std::string_view attributes);
std::string write_attributes(const Attributes& attributes);

// "Use that plugin instead": the data is a nonce for those that take one, with the zero byte that ends it.
struct AuthSwitch {
  std::string_view plugin;
  std::string_view data;
};
bool read_auth_switch(std::string_view payload, AuthSwitch& request);
std::uint8_t auth_switch(std::string& out, std::uint8_t sequence, std::string_view plugin, std::string_view nonce);
std::uint8_t auth_more_data(std::string& out, std::uint8_t sequence, std::string_view data);

}  // namespace dbproxy::wire::mysql
