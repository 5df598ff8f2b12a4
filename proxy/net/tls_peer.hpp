// What an established TLS connection shows: for channel binding, ALPN and client certificates. Any thread that owns
// the handle.
#pragma once

#include <openssl/ssl.h>
#include <string>
#include <string_view>

namespace dbproxy::net {

// The protocol's name for ALPN, registered with IANA; PostgreSQL 17 and later ask for it under direct TLS.
inline constexpr std::string_view kAlpnPostgresql = "postgresql";

// tls-server-end-point (RFC 5929, section 4): the hash of the server's certificate by the hash of its signature,
// SHA-256 where that is MD5 or SHA-1. Empty where the signature has no hash of its own (Ed25519): then there is no
// channel binding.
std::string own_end_point(const SSL* ssl);   // we are the server
std::string peer_end_point(const SSL* ssl);  // the peer is

// What is said of a server that takes TLS without an SSLRequest and agrees on no protocol.
inline constexpr std::string_view kNoAlpn =
    "the server did not agree on the protocol postgresql: tls.negotiation: direct needs PostgreSQL 17 or later";

// Both sides agreed on kAlpnPostgresql.
bool alpn_agreed(const SSL* ssl);

// The peer showed a certificate, and one of the CAs that its context trusts has signed it.
bool peer_verified(const SSL* ssl);
// The common name of the peer's certificate, UTF-8; empty where it has none, more than one, or one with a zero byte.
std::string peer_common_name(const SSL* ssl);

}  // namespace dbproxy::net
