#include "proxy/net/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "proxy/net/tls_peer.hpp"

namespace dbproxy::net {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Bio memory_bio(std::string_view text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

std::string last_error(std::string_view what) {
  std::string out(what);
  if (auto code = ERR_peek_last_error(); code != 0) {
    out += ": ";
    auto reason = ERR_reason_error_string(code);
    out += reason != nullptr ? reason : "unknown error";
  }
  ERR_clear_error();
  return out;
}

SslContext new_context(const SSL_METHOD* method) {
  SslContext context(SSL_CTX_new(method), SSL_CTX_free);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // One recv per record instead of two.
  SSL_CTX_set_read_ahead(context.get(), 1);
  return context;
}

// Without it OpenSSL would ask on the terminal for the pass phrase of an encrypted key.
int no_pass_phrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return -1;
}

// A certificate with its issuers, and its key, as what the side shows. `whose`: for words.
bool show(SSL_CTX& context, std::string_view certificate_pem, const Secret& key_pem, const std::string& whose,
          std::string& error) {
  auto chain = memory_bio(certificate_pem);
  Certificate leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr), X509_free);
  if (!leaf) {
    error = last_error(whose + " certificate is not PEM");
    return false;
  }
  if (SSL_CTX_use_certificate(&context, leaf.get()) != 1) {
    error = last_error(whose + " certificate cannot be used");
    return false;
  }
  while (X509* issuer = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add_extra_chain_cert(&context, issuer);  // takes ownership
  }
  ERR_clear_error();  // the end of the PEM text is reported as an error
  auto key_bio = memory_bio(key_pem.reveal());
  Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_pass_phrase, nullptr), EVP_PKEY_free);
  if (!key || SSL_CTX_use_PrivateKey(&context, key.get()) != 1 || SSL_CTX_check_private_key(&context) != 1) {
    error = last_error(whose + " private key does not belong to its certificate");
    return false;
  }
  return true;
}

// The CAs that have signed what the peer may show.
bool trust(SSL_CTX& context, std::string_view ca_pem, const std::string& whose, std::string& error) {
  auto store = SSL_CTX_get_cert_store(&context);
  auto bio = memory_bio(ca_pem);
  int count = 0;
  while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(store, certificate);
    X509_free(certificate);
    ++count;
  }
  ERR_clear_error();
  if (count == 0) error = whose + " holds no PEM certificate";
  return count != 0;
}

// As PostgreSQL 17 does: a client that offers ALPN has to offer ours; one that offers none is asked later whether it
// needed to.
int select_alpn(SSL* /*ssl*/, const unsigned char** out, unsigned char* out_size, const unsigned char* in,
                unsigned in_size, void* /*arg*/) {
  for (unsigned at = 0; at < in_size && at + 1 + in[at] <= in_size; at += 1u + in[at]) {
    if (std::string_view(reinterpret_cast<const char*>(in + at + 1), in[at]) == kAlpnPostgresql) {
      *out = in + at + 1;
      *out_size = in[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

bool is_address(const std::string& host) {
  unsigned char buffer[16];
  return inet_pton(AF_INET, host.c_str(), buffer) == 1 || inet_pton(AF_INET6, host.c_str(), buffer) == 1;
}

}  // namespace

SslContext make_server_context(std::string_view certificate_pem, const Secret& key_pem, std::string& error) {
  ERR_clear_error();
  auto context = new_context(TLS_server_method());
  if (!show(*context, certificate_pem, key_pem, "the listener's", error)) return nullptr;
  return context;
}

SslContext make_listener_context(std::string_view certificate_pem, const Secret& key_pem,
                                 std::string_view client_ca_pem, std::string& error) {
  auto context = make_server_context(certificate_pem, key_pem, error);
  if (!context) return nullptr;
  SSL_CTX_set_alpn_select_cb(context.get(), select_alpn, nullptr);
  if (!client_ca_pem.empty()) {
    if (!trust(*context, client_ca_pem, "clientCert.caRef", error)) return nullptr;
    // Who shows none is refused in words once it has said who it is.
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, nullptr);
  }
  return context;
}

SslContext make_client_context(const config::ServerTls& tls, std::string& error) {
  ERR_clear_error();
  auto context = new_context(TLS_client_method());
  if (tls.mode == config::TlsMode::kVerifyCa || tls.mode == config::TlsMode::kVerifyFull) {
    if (!trust(*context, tls.ca_pem, "tls.caRef", error)) return nullptr;
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  } else {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  }
  if (!tls.client_certificate_pem.empty() &&
      !show(*context, tls.client_certificate_pem, tls.client_key_pem, "tls.clientCertificateRef's", error))
    return nullptr;
  return context;
}

SslHandle new_server_side(const SslContext& context, int fd) {
  SslHandle ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  SSL_set_accept_state(ssl.get());
  return ssl;
}

SslHandle new_client_side(const SslContext& context, int fd, config::TlsMode mode, const std::string& host) {
  SslHandle ssl(SSL_new(context.get()));
  SSL_set_fd(ssl.get(), fd);
  bool address = is_address(host);
  if (!address && !host.empty() && host[0] != '/') SSL_set_tlsext_host_name(ssl.get(), host.c_str());
  if (mode == config::TlsMode::kVerifyFull) {
    auto parameters = SSL_get0_param(ssl.get());
    X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (address) {
      X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str());
    } else {
      X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), host.size());
    }
  }
  // Always, as libpq does since 17: older servers do not look at it.
  std::string alpn(1, static_cast<char>(kAlpnPostgresql.size()));
  alpn += kAlpnPostgresql;
  SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                      static_cast<unsigned>(alpn.size()));
  SSL_set_connect_state(ssl.get());
  return ssl;
}

std::string tls_failure(const SSL* ssl, bool direct) {
  if (auto verdict = SSL_get_verify_result(ssl); verdict != X509_V_OK) {
    ERR_clear_error();
    return std::string("certificate verification failed: ") + X509_verify_cert_error_string(verdict);
  }
  return last_error("TLS handshake failed") + (direct ? "; tls.negotiation: direct needs PostgreSQL 17 or later" : "");
}

}  // namespace dbproxy::net
