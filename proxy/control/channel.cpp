#include "proxy/control/channel.hpp"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <openssl/crypto.h>

#include "proxy/control/last_good.hpp"
#include "proxy/pki/pki.hpp"
#include "proxy/wire/control/limits.hpp"

namespace dbproxy::control {

std::shared_ptr<grpc::Channel> make_channel(const std::string& address, const std::string& ca_pem,
                                            const std::string& verified_name) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 3000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // messages are small
  // Back-off is ours: a subchannel shared with the channel before would bring its own.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetMaxReceiveMessageSize(wire_control::kMaxMessageToSidecar);
  if (!verified_name.empty()) arguments.SetSslTargetNameOverride(verified_name);
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = ca_pem;
  return grpc::CreateCustomChannel(address, grpc::SslCredentials(tls), arguments);
}

Result<Secret> read_token(const std::string& path) {
  Result<std::string> content = pki::read_small_file(path, 64 * 1024);
  if (content.has_error()) return content.error();
  std::string& text = content.value();
  Secret token(text.substr(0, text.find_first_of("\r\n")));
  OPENSSL_cleanse(text.data(), text.size());
  // A header's value may hold printable ASCII only; anything else is not a token.
  for (const char c : token.reveal()) {
    if (c < 0x21 || c > 0x7e) return Error::kNoToken;
  }
  if (token.empty()) return Error::kNoToken;
  return token;
}

std::string host_of(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return host;
}

}  // namespace dbproxy::control
