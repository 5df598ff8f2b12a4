// The server's certificate, which may be exchanged while it serves. Internal to operator_control.
//
// gRPC's C++ interface takes a certificate for ever, or files; its core asks for one at each handshake, and that is
// what this makes use of. A connection that is up keeps what it was made with.
#pragma once

#include <cstdint>
#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>
#include <memory>
#include <mutex>

#include "proxy/pki/pki.hpp"

namespace dbproxy::operator_control {

// Thread-safe.
class ShownIdentity {
 public:
  void set(const pki::Identity& identity);

 private:
  friend std::shared_ptr<grpc::ServerCredentials> make_credentials(ShownIdentity& shown);
  // Called by gRPC, with its own lock: the newest, once.
  static grpc_ssl_certificate_config_reload_status fetch(void* self, grpc_ssl_server_certificate_config** config);

  std::mutex mutex_;
  pki::Identity identity_;
  std::uint64_t generation_ = 0, fetched_ = 0;
};

// TLS without client certificates. For one port; `shown` must outlive the server.
std::shared_ptr<grpc::ServerCredentials> make_credentials(ShownIdentity& shown);

}  // namespace dbproxy::operator_control
