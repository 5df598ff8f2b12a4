#include "proxy/http/client.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace dbproxy::http {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using Protocol = asio::generic::stream_protocol;
using Clock = std::chrono::steady_clock;

bool is_address(const std::string& host) {
  beast::error_code error;
  asio::ip::make_address(host, error);
  return !error;
}

class Exchange {
 public:
  Exchange(const ClientRequest& what, const std::string& host) : deadline_(Clock::now() + what.timeout) {
    request_.version(11);
    request_.method_string(what.method);
    request_.target(what.path);
    request_.set(bhttp::field::host, host);
    for (const auto& [name, value] : what.headers) request_.set(name, value);
    request_.set(bhttp::field::connection, "close");
    if (!what.bearer_token.empty()) request_.set(bhttp::field::authorization, "Bearer " + what.bearer_token);
    request_.body() = what.body;
    request_.prepare_payload();
    parser_.body_limit(what.max_body);
  }

  ClientResponse run(const Address& address, const std::string& unix_path, const ClientTls& tls) {
    beast::error_code error = unix_path.empty() ? connect(address) : connect(unix_path);
    if (!error && tls.enabled) {
      ssl::context trusted(ssl::context::tls_client);
      error = prepare(trusted, tls);
      if (!error) {
        ssl::stream<Protocol::socket&> stream(socket_, trusted);
        error = shake_hands(stream, address.host);
        if (error) return failed("TLS: " + words(error));
        if (!error) transfer(stream, error);
      }
    } else if (!error) {
      transfer(socket_, error);
    }
    if (error) return failed(words(error));
    ClientResponse out;
    auto message = parser_.release();
    out.response.status = message.result_int();
    out.response.content_type = std::string(message[bhttp::field::content_type]);
    for (const auto& field : message) out.headers.emplace_back(field.name_string(), field.value());
    out.response.body = std::move(message.body());
    return out;
  }

 private:
  static ClientResponse failed(std::string why) {
    ClientResponse out;
    out.error = std::move(why);
    return out;
  }

  static std::string words(const beast::error_code& error) {
    if (error == asio::error::timed_out) return "no answer in time";
    if (error == bhttp::error::end_of_stream) return "the connection was closed without an answer";
    if (error.category() == bhttp::make_error_code(bhttp::error::bad_method).category())
      return "the answer is not HTTP: " + error.message();
    return error.message();
  }

  static beast::error_code prepare(ssl::context& context, const ClientTls& tls) {
    beast::error_code error;
    context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 |
                        ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
    // An end without a close_notify is judged by HTTP's own framing.
    SSL_CTX_set_options(context.native_handle(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    context.set_verify_mode(ssl::verify_peer);
    if (tls.ca_pem.empty()) {
      context.set_default_verify_paths(error);
    } else {
      context.add_certificate_authority(asio::buffer(tls.ca_pem), error);
    }
    return error;
  }

  beast::error_code shake_hands(ssl::stream<Protocol::socket&>& stream, const std::string& host) {
    beast::error_code error;
    stream.set_verify_callback(ssl::host_name_verification(host));
    if (!is_address(host)) SSL_set_tlsext_host_name(stream.native_handle(), host.c_str());
    stream.async_handshake(ssl::stream_base::client, [&](beast::error_code result) { error = result; });
    wait(error);
    return error;
  }

  template <class Stream>
  void transfer(Stream& stream, beast::error_code& error) {
    bhttp::async_write(stream, request_, [&](beast::error_code result, std::size_t) { error = result; });
    wait(error);
    if (error) return;
    bhttp::async_read(stream, buffer_, parser_, [&](beast::error_code result, std::size_t) { error = result; });
    wait(error);
  }

  // Runs what was started, up to the deadline; then everything is cancelled and the error says so.
  void wait(beast::error_code& error) {
    context_.restart();
    context_.run_until(deadline_);
    if (context_.stopped()) return;
    beast::error_code ignored;
    resolver_.cancel();
    socket_.close(ignored);
    context_.run();
    error = asio::error::timed_out;
  }

  beast::error_code connect(const Address& address) {
    beast::error_code error;
    asio::ip::tcp::resolver::results_type found;
    resolver_.async_resolve(address.host.empty() ? "127.0.0.1" : address.host, std::to_string(address.port),
                            [&](beast::error_code result, asio::ip::tcp::resolver::results_type list) {
                              error = result;
                              found = std::move(list);
                            });
    wait(error);
    if (error) return error;
    error = asio::error::host_not_found;
    for (const auto& entry : found) {
      error = connect_to(entry.endpoint());
      if (!error) break;
    }
    return error;
  }

  beast::error_code connect(const std::string& path) {
    if (path.size() >= 108) return asio::error::name_too_long;
    return connect_to(asio::local::stream_protocol::endpoint(path));
  }

  beast::error_code connect_to(const Protocol::endpoint& endpoint) {
    beast::error_code error;
    socket_ = Protocol::socket(context_);
    socket_.async_connect(endpoint, [&](beast::error_code result) { error = result; });
    wait(error);
    return error;
  }

  Clock::time_point deadline_;
  asio::io_context context_{1};
  asio::ip::tcp::resolver resolver_{context_};
  Protocol::socket socket_{context_};
  beast::flat_buffer buffer_;
  bhttp::request<bhttp::string_body> request_;
  bhttp::response_parser<bhttp::string_body> parser_;
};

}  // namespace

std::string_view ClientResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (beast::iequals(beast::string_view(key.data(), key.size()), beast::string_view(name.data(), name.size())))
      return value;
  }
  return {};
}

ClientResponse request(const Address& address, const ClientRequest& what, const std::string& unix_path) {
  try {
    Exchange exchange(what, unix_path.empty() ? to_string(address) : "localhost");
    return exchange.run(address, unix_path, what.tls);
  } catch (const std::exception& error) {
    ClientResponse out;
    out.error = error.what();
    return out;
  }
}

}  // namespace dbproxy::http
