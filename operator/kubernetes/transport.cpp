#include "operator/kubernetes/transport.hpp"

#include <boost/asio/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <sys/socket.h>

#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using asio::ip::tcp;

constexpr std::size_t kMaxPem = 4 * 1024 * 1024;

void set_options(tcp::socket& socket) {
  Transport::Error ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const int fd = socket.native_handle();
  const auto set = [fd](int option, int value) { ::setsockopt(fd, IPPROTO_TCP, option, &value, sizeof value); };
  set(TCP_KEEPIDLE, 15);  // seconds
  set(TCP_KEEPINTVL, 5);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, 30'000);  // milliseconds
}

bool is_address(const std::string& host) {
  Transport::Error error;
  asio::ip::make_address(host, error);
  return !error;
}

}  // namespace

template <class Start>
std::size_t Transport::run(Start start, Error& error) {
  if (dead_) {
    error = aborted_ ? asio::error::operation_aborted : asio::error::not_connected;
    return 0;
  }
  Error result = asio::error::would_block;
  std::size_t size = 0;
  start([&result, &size](const Error& outcome, std::size_t bytes) {
    result = outcome;
    size = bytes;
  });
  // In this order: an abort before the restart is seen by the test, one after it by the run.
  context_.restart();
  if (!aborted_) context_.run_until(deadline_);
  if (result == asio::error::would_block) {
    // The handler above is never called any more: nothing runs the context again.
    dead_ = true;
    result = aborted_ ? asio::error::operation_aborted : asio::error::timed_out;
  }
  error = result;
  return size;
}

void Transport::abort() {
  aborted_ = true;
  context_.stop();
}

std::string Transport::prepare_tls(const Config& config) {
  tls_context_.emplace(ssl::context::tls_client);
  ssl::context& context = *tls_context_;
  context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 |
                      ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  // An end without a close_notify is judged by HTTP's own framing.
  SSL_CTX_set_options(context.native_handle(), SSL_OP_IGNORE_UNEXPECTED_EOF);
  Error error;
  if (config.skip_verify) {
    context.set_verify_mode(ssl::verify_none);
  } else {
    context.set_verify_mode(ssl::verify_peer);
    std::string ca = config.ca_pem;
    if (ca.empty() && !config.ca_file.empty()) {
      Result<std::string> file = pki::read_small_file(config.ca_file, kMaxPem);
      if (file.has_error()) return "cannot read the CA " + config.ca_file + ": " + file.error().message();
      ca = std::move(file.value());
    }
    if (ca.empty()) {
      context.set_default_verify_paths(error);
    } else {
      context.add_certificate_authority(asio::buffer(ca), error);
    }
    if (error) return "the API server's CA cannot be used: " + error.message();
  }
  if (config.certificate_pem.empty() && config.certificate_file.empty()) return {};
  std::string certificate = config.certificate_pem;
  std::string key(config.key_pem.reveal());
  for (auto& [path, into] : {std::pair<const std::string&, std::string&>(config.certificate_file, certificate),
                             std::pair<const std::string&, std::string&>(config.key_file, key)}) {
    if (path.empty()) continue;
    Result<std::string> file = pki::read_small_file(path, kMaxPem);
    if (file.has_error()) return "cannot read " + path + ": " + file.error().message();
    into = std::move(file.value());
  }
  context.use_certificate_chain(asio::buffer(certificate), error);
  if (!error) context.use_private_key(asio::buffer(key), ssl::context::pem, error);
  OPENSSL_cleanse(key.data(), key.size());
  return error ? "the client certificate or its key cannot be used: " + error.message() : std::string();
}

Failure Transport::connect(const Config& config, Time deadline) {
  using Kind = Failure::Kind;
  deadline_ = deadline;
  const std::string where = config.host + ":" + std::to_string(config.port);
  const auto failed = [&](const Error& error, const std::string& doing) {
    if (error == asio::error::operation_aborted) return Failure{Kind::kCancelled, 0, "", "", std::nullopt};
    if (error == asio::error::timed_out) return Failure{Kind::kTimeout, 0, "", doing + ": no answer in time", {}};
    return Failure{Kind::kTransport, 0, "", doing + ": " + error.message(), std::nullopt};
  };
  if (config.tls) {
    if (std::string wrong = prepare_tls(config); !wrong.empty()) return {Kind::kConfig, 0, "", wrong, std::nullopt};
  }
  Error error;
  tcp::resolver::results_type found;
  if (is_address(config.host)) {
    found = tcp::resolver::results_type::create(tcp::endpoint(asio::ip::make_address(config.host), config.port),
                                                config.host, "");
  } else {
    // The handler of a look-up that outlives the deadline must not touch what is gone: it has its own share.
    const auto list = std::make_shared<tcp::resolver::results_type>();
    tcp::resolver resolver(context_);
    run(
        [&](auto done) {
          resolver.async_resolve(config.host, std::to_string(config.port),
                                 [list, done](const Error& outcome, tcp::resolver::results_type results) {
                                   *list = std::move(results);
                                   done(outcome, 0);
                                 });
        },
        error);
    if (error) return failed(error, "cannot look up " + config.host);
    found = *list;
  }
  error = asio::error::host_not_found;
  for (const auto& each : found) {
    Error ignored;
    socket_.close(ignored);
    run([&](auto done) { socket_.async_connect(each.endpoint(), [done](const Error& e) { done(e, 0); }); }, error);
    if (!error || dead_) break;
  }
  if (error) return failed(error, "cannot connect to " + where);
  set_options(socket_);
  if (!config.tls) return {};
  tls_.emplace(socket_, *tls_context_);
  const std::string name = config.server_name.empty() ? config.host : config.server_name;
  if (!config.skip_verify) tls_->set_verify_callback(ssl::host_name_verification(name));
  if (!is_address(name)) SSL_set_tlsext_host_name(tls_->native_handle(), name.c_str());
  run([&](auto done) { tls_->async_handshake(ssl::stream_base::client, [done](const Error& e) { done(e, 0); }); },
      error);
  if (error) return failed(error, "TLS with " + where);
  return {};
}

std::size_t Transport::read(asio::mutable_buffer buffer, Error& error) {
  const std::size_t size = run(
      [&](auto done) {
        if (tls_) {
          tls_->async_read_some(buffer, done);
        } else {
          socket_.async_read_some(buffer, done);
        }
      },
      error);
  if (error == ssl::error::stream_truncated) error = asio::error::eof;
  return size;
}

std::size_t Transport::write(asio::const_buffer buffer, Error& error) {
  return run(
      [&](auto done) {
        if (tls_) {
          tls_->async_write_some(buffer, done);
        } else {
          socket_.async_write_some(buffer, done);
        }
      },
      error);
}

}  // namespace dbproxy::kubernetes
