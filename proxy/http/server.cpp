#include "proxy/http/server.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <list>
#include <optional>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "proxy/base/log.hpp"
#include "proxy/http/router.hpp"

namespace dbproxy::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace bhttp = boost::beast::http;

// One protocol type for TCP and Unix: Beast's machinery is instantiated once.
using Protocol = asio::generic::stream_protocol;
using Stream = beast::basic_stream<Protocol, asio::io_context::executor_type>;

constexpr std::chrono::seconds kLinger{1};
// A page is one file: nothing comes from elsewhere, nothing goes anywhere else, and no other page holds it in a frame.
constexpr const char* kPagesMay =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

struct Origin {
  bool trusted_transport = false;
  bool loopback = false;
};

class Session;
using Sessions = std::list<std::weak_ptr<Session>>;  // the one silent for longest is in front

struct Shared {
  ServerOptions options;
  Router router;
  Sessions sessions;
};

class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Stream::socket_type socket, Shared& shared, Origin origin)
      : stream_(std::move(socket)),
        shared_(shared),
        origin_(origin),
        buffer_(shared.options.max_header_bytes + shared.options.max_body_bytes) {}

  ~Session() {
    if (listed_) shared_.sessions.erase(*listed_);
  }

  void start() {
    listed_ = shared_.sessions.insert(shared_.sessions.end(), weak_from_this());
    read();
  }

  void close() {
    beast::error_code ignored;
    stream_.socket().close(ignored);
  }

 private:
  void read() {
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(shared_.options.max_header_bytes));
    parser_->body_limit(shared_.options.max_body_bytes);
    stream_.expires_after(shared_.options.timeout);
    bhttp::async_read(stream_, buffer_, *parser_,
                      [self = shared_from_this()](beast::error_code error, std::size_t) { self->on_read(error); });
  }

  void on_read(beast::error_code error) {
    shared_.sessions.splice(shared_.sessions.end(), shared_.sessions, *listed_);
    if (!error) return respond();
    if (error == bhttp::error::end_of_stream || error == bhttp::error::partial_message) return close();
    // Everything else of this category is a peer that breaks the rules; the rest is a broken or silent connection.
    if (error.category() != bhttp::make_error_code(bhttp::error::bad_method).category()) return close();
    Response answer;
    answer.status = 400;
    if (error == bhttp::error::header_limit || error == bhttp::error::buffer_overflow) answer.status = 431;
    if (error == bhttp::error::body_limit) answer.status = 413;
    answer.body = answer.status == 400   ? "this is not an HTTP/1.1 request\n"
                  : answer.status == 413 ? "the body is too large\n"
                                         : "the header is too large\n";
    write(std::move(answer), 11, false, false, {});
  }

  void respond() {
    auto& message = parser_->get();
    Request request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    const std::size_t mark = request.target.find('?');
    request.path = request.target.substr(0, mark);
    if (mark != std::string::npos) request.query = request.target.substr(mark + 1);
    for (const auto& field : message) request.headers.emplace_back(field.name_string(), field.value());
    request.body = std::move(message.body());

    Response answer = shared_.router.answer(request, origin_.trusted_transport, origin_.loopback);
    const std::string allow = answer.status == 405 ? shared_.router.allowed(request.path) : "";
    write(std::move(answer), message.version(), message.keep_alive(), request.method == "HEAD", allow);
  }

  void write(Response answer, unsigned version, bool keep_alive, bool head, const std::string& allow) {
    response_ = {};
    response_.version(version);
    response_.result(answer.status);
    response_.keep_alive(keep_alive);
    response_.set(bhttp::field::content_type, answer.content_type);
    response_.set("X-Content-Type-Options", "nosniff");
    response_.set(bhttp::field::cache_control, "no-store");
    if (answer.content_type.starts_with("text/html")) response_.set("Content-Security-Policy", kPagesMay);
    if (!allow.empty()) response_.set(bhttp::field::allow, allow);
    if (answer.status == 401) response_.set(bhttp::field::www_authenticate, "Bearer");
    response_.content_length(answer.body.size());
    if (!head) response_.body() = std::move(answer.body);
    stream_.expires_after(shared_.options.timeout);
    bhttp::async_write(stream_, response_,
                       [self = shared_from_this(), keep_alive](beast::error_code error, std::size_t) {
                         if (error) return self->close();
                         if (keep_alive) return self->read();
                         self->linger();
                       });
  }

  // A close with unread input would send a reset, and the peer might lose the answer.
  void linger() {
    beast::error_code ignored;
    stream_.socket().shutdown(asio::socket_base::shutdown_send, ignored);
    stream_.expires_after(kLinger);
    discard(shared_.options.max_body_bytes * 4);
  }

  void discard(std::size_t budget) {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = shared_from_this(), budget](beast::error_code error, std::size_t size) {
                              if (error || size >= budget) return self->close();
                              self->discard(budget - size);
                            });
  }

  Stream stream_;
  Shared& shared_;
  Origin origin_;
  beast::flat_buffer buffer_;
  std::optional<bhttp::request_parser<bhttp::string_body>> parser_;
  bhttp::response<bhttp::string_body> response_;
  std::optional<Sessions::iterator> listed_;
};

// Accepts for ever on one acceptor. Out of descriptors, it waits a little instead of spinning.
template <class Acceptor>
class Listener {
 public:
  Listener(asio::io_context& context, Shared& shared)
      : acceptor(context), context_(context), retry_(context), shared_(shared), socket_(context) {}

  void accept(bool trusted_transport, bool loopback) {
    origin_ = {trusted_transport, loopback};
    next();
  }

  Acceptor acceptor;

 private:
  void next() {
    socket_ = Stream::socket_type(context_);
    acceptor.async_accept(socket_, [this](beast::error_code error) {
      if (error == asio::error::operation_aborted || !acceptor.is_open()) return;
      if (error) {
        retry_.expires_after(std::chrono::milliseconds(100));
        retry_.async_wait([this](beast::error_code cancelled) {
          if (!cancelled) next();
        });
        return;
      }
      if (shared_.sessions.size() >= shared_.options.max_connections) {
        if (const auto oldest = shared_.sessions.front().lock()) oldest->close();
      }
      std::make_shared<Session>(std::move(socket_), shared_, origin_)->start();
      next();
    });
  }

  asio::io_context& context_;
  asio::steady_timer retry_;
  Shared& shared_;
  Origin origin_;
  Stream::socket_type socket_;
};

bool is_stale_socket(const std::string& path) {
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  asio::io_context context;
  asio::local::stream_protocol::socket probe(context);
  beast::error_code error;
  probe.connect(asio::local::stream_protocol::endpoint(path), error);
  return error == asio::error::connection_refused;
}

}  // namespace

struct Server::Impl {
  explicit Impl(ServerOptions options)
      : shared{std::move(options), {}, {}}, tcp(context, shared), local(context, shared) {}

  Shared shared;
  // After what its handlers refer to: it is destroyed first, and with it the sessions.
  asio::io_context context{1};
  Listener<asio::ip::tcp::acceptor> tcp;
  Listener<asio::local::stream_protocol::acceptor> local;
  std::thread thread;
  std::uint16_t port = 0;
  bool unix_bound = false;

  std::string listen_tcp(bool& loopback) {
    const Address& where = shared.options.listen;
    beast::error_code error;
    const auto fail = [&] { return "cannot listen on " + to_string(where) + ": " + error.message(); };
    const auto address = asio::ip::make_address(where.host == "localhost" ? "127.0.0.1" : where.host, error);
    if (error) return fail();
    loopback = address.is_loopback();
    const asio::ip::tcp::endpoint endpoint(address, where.port);
    tcp.acceptor.open(endpoint.protocol(), error);
    if (!error) tcp.acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) tcp.acceptor.bind(endpoint, error);
    if (!error) tcp.acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) return fail();
    port = tcp.acceptor.local_endpoint(error).port();
    return {};
  }

  std::string listen_unix() {
    const std::string& path = shared.options.unix_path;
    if (path.size() >= 108) return "cannot listen on " + path + ": a socket's path has at most 107 bytes";
    if (is_stale_socket(path)) unlink(path.c_str());
    beast::error_code error;
    local.acceptor.open({}, error);
    // On Linux the mode of the unbound socket is the mode of the file that bind makes: it is never open to others.
    if (!error && fchmod(local.acceptor.native_handle(), 0600) != 0) {
      error.assign(errno, boost::system::system_category());
    }
    if (!error) local.acceptor.bind(path, error);
    unix_bound = !error;
    if (!error) local.acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (error) return "cannot listen on " + path + ": " + error.message();
    return {};
  }
};

Server::Server(ServerOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

Server::~Server() {
  stop();
}

void Server::route(std::string method, std::string path, Handler handler, RouteOptions options) {
  impl_->shared.router.add(std::move(method), std::move(path), std::move(handler), std::move(options));
}

std::string Server::start() {
  bool loopback = false;
  std::string error = impl_->listen_tcp(loopback);
  if (error.empty() && !impl_->shared.options.unix_path.empty()) error = impl_->listen_unix();
  if (!error.empty()) {
    stop();
    return error;
  }
  impl_->tcp.accept(false, loopback);
  if (impl_->unix_bound) impl_->local.accept(true, false);
  impl_->thread = std::thread([this] {
    while (!impl_->context.stopped()) {
      try {
        impl_->context.run();
      } catch (const std::exception& failure) {  // out of memory in one connection must not end the others
        log::error("http", "connection failed", {{"error", failure.what()}});
      }
    }
  });
  return {};
}

void Server::stop() {
  if (impl_->thread.joinable()) {
    impl_->context.stop();
    impl_->thread.join();
  }
  beast::error_code ignored;
  impl_->tcp.acceptor.close(ignored);
  impl_->local.acceptor.close(ignored);
  for (const auto& session : impl_->shared.sessions) {
    if (const auto alive = session.lock()) alive->close();
  }
  if (impl_->unix_bound) unlink(impl_->shared.options.unix_path.c_str());
  impl_->unix_bound = false;
}

std::uint16_t Server::port() const {
  return impl_->port;
}

}  // namespace dbproxy::http
