#include "proxy/http/client.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace dbproxy::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;
using Protocol = asio::generic::stream_protocol;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMaxBody = 64U * 1024 * 1024;

class Exchange {
 public:
  Exchange(const ClientRequest& what, const std::string& host) : deadline_(Clock::now() + what.timeout) {
    request_.version(11);
    request_.method_string(what.method);
    request_.target(what.path);
    request_.set(bhttp::field::host, host);
    request_.set(bhttp::field::connection, "close");
    if (!what.bearer_token.empty()) request_.set(bhttp::field::authorization, "Bearer " + what.bearer_token);
    request_.body() = what.body;
    request_.prepare_payload();
    parser_.body_limit(kMaxBody);
  }

  ClientResponse run(const Address& address, const std::string& unix_path) {
    beast::error_code error = unix_path.empty() ? connect(address) : connect(unix_path);
    if (!error) {
      bhttp::async_write(socket_, request_, [&](beast::error_code result, std::size_t) { error = result; });
      wait(error);
    }
    if (!error) {
      bhttp::async_read(socket_, buffer_, parser_, [&](beast::error_code result, std::size_t) { error = result; });
      wait(error);
    }
    ClientResponse out;
    if (error) {
      out.error = error == asio::error::timed_out ? "no answer in time"
                  : error == bhttp::error::end_of_stream
                      ? "the connection was closed without an answer"
                      : (error.category() == bhttp::make_error_code(bhttp::error::bad_method).category()
                             ? "the answer is not HTTP: " + error.message()
                             : error.message());
      return out;
    }
    auto message = parser_.release();
    out.response.status = message.result_int();
    out.response.content_type = std::string(message[bhttp::field::content_type]);
    out.response.body = std::move(message.body());
    return out;
  }

 private:
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

ClientResponse request(const Address& address, const ClientRequest& what, const std::string& unix_path) {
  try {
    Exchange exchange(what, unix_path.empty() ? to_string(address) : "localhost");
    return exchange.run(address, unix_path);
  } catch (const std::exception& error) {
    ClientResponse out;
    out.error = error.what();
    return out;
  }
}

}  // namespace dbproxy::http
