#include "proxy/net/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

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

bool is_address(const std::string& host) {
  unsigned char buffer[16];
  return inet_pton(AF_INET, host.c_str(), buffer) == 1 || inet_pton(AF_INET6, host.c_str(), buffer) == 1;
}

}  // namespace

SslContext make_server_context(std::string_view certificate_pem, const Secret& key_pem, std::string& error) {
  ERR_clear_error();
  auto context = new_context(TLS_server_method());
  auto chain = memory_bio(certificate_pem);
  Certificate leaf(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr), X509_free);
  if (!leaf) {
    error = last_error("the listener's certificate is not PEM");
    return nullptr;
  }
  if (SSL_CTX_use_certificate(context.get(), leaf.get()) != 1) {
    error = last_error("the listener's certificate cannot be used");
    return nullptr;
  }
  while (X509* issuer = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    SSL_CTX_add_extra_chain_cert(context.get(), issuer);  // takes ownership
  }
  ERR_clear_error();  // the end of the PEM text is reported as an error
  auto key_bio = memory_bio(key_pem.reveal());
  Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  if (!key || SSL_CTX_use_PrivateKey(context.get(), key.get()) != 1 || SSL_CTX_check_private_key(context.get()) != 1) {
    error = last_error("the listener's private key does not belong to its certificate");
    return nullptr;
  }
  return context;
}

SslContext make_client_context(const config::ServerTls& tls, std::string& error) {
  ERR_clear_error();
  auto context = new_context(TLS_client_method());
  if (tls.mode == config::TlsMode::kVerifyCa || tls.mode == config::TlsMode::kVerifyFull) {
    auto store = SSL_CTX_get_cert_store(context.get());
    auto bio = memory_bio(tls.ca_pem);
    int count = 0;
    while (X509* certificate = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
      X509_STORE_add_cert(store, certificate);
      X509_free(certificate);
      ++count;
    }
    ERR_clear_error();
    if (count == 0) {
      error = "tls.caRef holds no PEM certificate";
      return nullptr;
    }
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  } else {
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  }
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
  SSL_set_connect_state(ssl.get());
  return ssl;
}

std::string tls_failure(const SSL* ssl) {
  if (auto verdict = SSL_get_verify_result(ssl); verdict != X509_V_OK) {
    ERR_clear_error();
    return std::string("certificate verification failed: ") + X509_verify_cert_error_string(verdict);
  }
  return last_error("TLS handshake failed");
}

}  // namespace dbproxy::net
