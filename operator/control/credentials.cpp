#include "operator/control/credentials.hpp"

#include <grpc/grpc.h>
#include <openssl/crypto.h>
#include <string>

namespace dbproxy::operator_control {
namespace {

class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(grpc_server_credentials* credentials) : credentials_(credentials) {}
  ~Credentials() override { grpc_server_credentials_release(credentials_); }
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  // Tokens are looked at by the streams themselves.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  grpc_server_credentials* const credentials_;
};

}  // namespace

void ShownIdentity::set(const pki::Identity& identity) {
  const std::lock_guard lock(mutex_);
  identity_ = identity;
  ++generation_;
}

grpc_ssl_certificate_config_reload_status ShownIdentity::fetch(void* self,
                                                               grpc_ssl_server_certificate_config** config) {
  auto& shown = *static_cast<ShownIdentity*>(self);
  const std::lock_guard lock(shown.mutex_);
  if (shown.fetched_ == shown.generation_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
  std::string key(shown.identity_.key_pem.reveal());
  const grpc_ssl_pem_key_cert_pair pair{key.c_str(), shown.identity_.certificate_pem.c_str()};
  // gRPC 1.51 aborts without roots for client certificates, which are never asked for; it copies all of it.
  *config = grpc_ssl_server_certificate_config_create(shown.identity_.certificate_pem.c_str(), &pair, 1);
  OPENSSL_cleanse(key.data(), key.size());
  shown.fetched_ = shown.generation_;
  return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
}

std::shared_ptr<grpc::ServerCredentials> make_credentials(ShownIdentity& shown) {
  grpc_ssl_server_credentials_options* options = grpc_ssl_server_credentials_create_options_using_config_fetcher(
      GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, &ShownIdentity::fetch, &shown);
  return std::make_shared<Credentials>(grpc_ssl_server_credentials_create_with_options(options));
}

}  // namespace dbproxy::operator_control
