// TLS contexts: what a listener shows, and how a server is verified. Immutable once made; shared by streams.
//
// Minimum TLS 1.2. No renegotiation, no compression, no session tickets kept. Errors are words without secrets.
#pragma once

#include <memory>
#include <openssl/ssl.h>
#include <string>
#include <string_view>

#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::net {

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslHandle = std::unique_ptr<SSL, SslFree>;
using SslContext = std::shared_ptr<SSL_CTX>;

// For what listens, whatever it speaks. On failure null, and `error` says why.
SslContext make_server_context(std::string_view certificate_pem, const Secret& key_pem, std::string& error);

// For PostgreSQL's clients: takes no other ALPN protocol than PostgreSQL's. With `client_ca_pem` clients are asked for
// a certificate, and one that does not verify ends the handshake; that there is one at all is the caller's to check.
SslContext make_listener_context(std::string_view certificate_pem, const Secret& key_pem,
                                 std::string_view client_ca_pem, std::string& error);

// For connections to servers: mode is require, verify-ca or verify-full, in libpq's meaning.
SslContext make_client_context(const config::ServerTls& tls, std::string& error);

// A handle for one connection on `fd`. `host` is sent as SNI where it is a name, and checked under verify-full.
SslHandle new_server_side(const SslContext& context, int fd);
SslHandle new_client_side(const SslContext& context, int fd, config::TlsMode mode, const std::string& host);

// Why the handshake failed, in words: the verification result first, where there is one. `direct`: we began it without
// asking, which a server before PostgreSQL 17 takes for a start-up packet of impossible length.
std::string tls_failure(const SSL* ssl, bool direct = false);

}  // namespace dbproxy::net
