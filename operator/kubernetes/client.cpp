#include "operator/kubernetes/client.hpp"

#include <atomic>
#include <boost/asio/error.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <openssl/crypto.h>
#include <vector>

#include "operator/kubernetes/transport.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes {

// Keeps the canceller's pointer to a transport right for as long as it lives.
class Attachment {
 public:
  Attachment(Canceller* canceller, Transport& transport) : canceller_(canceller) {
    if (canceller_ == nullptr) return;
    const std::lock_guard lock(canceller_->mutex_);
    canceller_->transport_ = &transport;
    if (canceller_->cancelled_) transport.abort();
  }
  ~Attachment() {
    if (canceller_ == nullptr) return;
    const std::lock_guard lock(canceller_->mutex_);
    canceller_->transport_ = nullptr;
  }
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

 private:
  Canceller* canceller_;
};

void Canceller::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (transport_ != nullptr) transport_->abort();
  wake_.notify_all();
}

bool Canceller::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

bool Canceller::sleep(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return wake_.wait_for(lock, time, [this] { return cancelled_; });
}

namespace {

namespace http = boost::beast::http;
using Error = boost::system::error_code;
using Kind = Failure::Kind;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kKept = 4;  // idle connections
constexpr std::chrono::seconds kKeptFor{60};
constexpr std::size_t kMaxToken = 64 * 1024;
constexpr std::size_t kMaxHeader = 64 * 1024;
constexpr std::size_t kPiece = 64 * 1024;
constexpr std::chrono::seconds kMaxRetryAfter{60};

struct Kept {
  std::unique_ptr<Transport> transport;
  SteadyClock::time_point since;
};

Failure failed(const Error& error, const char* doing) {
  if (error == boost::asio::error::operation_aborted) return {Kind::kCancelled, 0, "", "", std::nullopt};
  if (error == boost::asio::error::timed_out) {
    return {Kind::kTimeout, 0, "", std::string(doing) + ": the API server did not answer in time", std::nullopt};
  }
  if (error == http::error::body_limit) {
    return {Kind::kTooLarge, 0, "", std::string(doing) + ": the answer is larger than is taken", std::nullopt};
  }
  const bool malformed = error.category() == http::make_error_code(http::error::bad_method).category() &&
                         error != http::error::end_of_stream && error != http::error::partial_message;
  const std::string words = error == http::error::end_of_stream     ? "the connection was closed"
                            : error == http::error::partial_message ? "the connection was closed in the middle"
                                                                    : error.message();
  return {malformed ? Kind::kMalformed : Kind::kTransport, 0, "", std::string(doing) + ": " + words, std::nullopt};
}

// RFC 9110 10.2.3 in seconds; the form with a date is not used by API servers.
std::optional<milliseconds> retry_after(std::string_view header) {
  if (header.empty() || header.size() > 6 || header.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  return std::chrono::seconds(std::stoi(std::string(header)));
}

template <class Message>
Failure refusal(const Message& message, std::string_view body) {
  Failure out = failure_of(static_cast<int>(message.result_int()), body);
  const auto header = message[http::field::retry_after];
  if (const auto after = retry_after({header.data(), header.size()})) out.retry_after = after;
  return out;
}

}  // namespace

struct LineStream::Impl {
  explicit Impl(Canceller* canceller) : attachment(canceller, transport) {}

  Transport transport;
  Attachment attachment;  // goes before the transport does
  boost::beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  std::string text;        // what has come and was not handed out
  std::size_t begin = 0;   // of the next line in it
  std::size_t looked = 0;  // up to where there is no line's end
  std::vector<char> piece = std::vector<char>(kPiece);
};

LineStream::LineStream() = default;
LineStream::~LineStream() = default;
LineStream::LineStream(LineStream&&) noexcept = default;
LineStream& LineStream::operator=(LineStream&&) noexcept = default;

Outcome<std::optional<std::string_view>> LineStream::next(SteadyClock::time_point deadline) {
  Impl& my = *impl_;
  for (;;) {
    if (const std::size_t end = my.text.find('\n', my.looked); end != std::string::npos) {
      const std::string_view line(my.text.data() + my.begin, end - my.begin);
      my.begin = my.looked = end + 1;
      if (line.empty()) continue;
      return std::optional<std::string_view>(line);
    }
    my.text.erase(0, my.begin);
    my.begin = 0;
    my.looked = my.text.size();
    if (my.text.capacity() > 1024 * 1024 && my.text.size() < kPiece) my.text.shrink_to_fit();
    if (my.text.size() > Client::kMaxLine) {
      return Failure{Kind::kTooLarge, 0, "", "watch: an event is larger than is taken", std::nullopt};
    }
    if (my.parser.is_done()) {
      if (my.text.empty()) return std::optional<std::string_view>();
      return Failure{Kind::kMalformed, 0, "", "watch: the last line has no end", std::nullopt};
    }
    my.transport.set_deadline(deadline);
    http::buffer_body::value_type& body = my.parser.get().body();
    body.data = my.piece.data();
    body.size = my.piece.size();
    Error error;
    http::read_some(my.transport, my.buffer, my.parser, error);
    my.text.append(my.piece.data(), my.piece.size() - body.size);
    if (error && error != http::error::need_buffer) return failed(error, "watch");
  }
}

struct Client::Impl {
  explicit Impl(Config c) : config(std::move(c)) {}

  std::unique_ptr<Transport> take_kept() {
    const std::lock_guard lock(mutex);
    const auto now = SteadyClock::now();
    while (!kept.empty()) {
      Kept last = std::move(kept.back());
      kept.pop_back();
      if (now - last.since < kKeptFor) return std::move(last.transport);
    }
    return nullptr;
  }
  void keep(std::unique_ptr<Transport> transport) {
    const std::lock_guard lock(mutex);
    if (kept.size() < kKept) kept.push_back({std::move(transport), SteadyClock::now()});
  }
  void forget_kept() {
    const std::lock_guard lock(mutex);
    kept.clear();
  }

  // The request with its credentials, or why they cannot be read.
  Failure prepare(const Request& request, http::request<http::string_body>& out) const {
    out.version(11);
    out.method_string(request.method);
    out.target(config.base_path + request.target);
    const bool v6 = config.host.find(':') != std::string::npos;
    out.set(http::field::host, (v6 ? "[" + config.host + "]" : config.host) + ":" + std::to_string(config.port));
    out.set(http::field::user_agent, "dbproxy-operator");
    out.set(http::field::accept, request.accept);
    if (!config.token_file.empty()) {
      Result<std::string> token = pki::read_small_file(config.token_file, kMaxToken);
      if (token.has_error()) {
        return {Kind::kConfig, 0, "", "cannot read the token " + config.token_file + ": " + token.error().message(),
                std::nullopt};
      }
      std::string& text = token.value();
      while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.pop_back();
      out.set(http::field::authorization, "Bearer " + text);
      OPENSSL_cleanse(text.data(), text.size());
    } else if (!config.token.empty()) {
      out.set(http::field::authorization, "Bearer " + std::string(config.token.reveal()));
    }
    if (!request.body.empty()) out.set(http::field::content_type, request.content_type);
    out.body() = request.body;
    out.prepare_payload();
    return {};
  }

  // One attempt on one connection. `reused`: it may have been closed by the server meanwhile; then `stale` says so.
  Outcome<Response> exchange(Transport& transport, const Request& request, bool reused, bool& stale, bool& good) {
    stale = good = false;
    http::request<http::string_body> message;
    if (Failure failure = prepare(request, message); !failure.ok()) return failure;
    Error error;
    http::write(transport, message, error);
    boost::beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(request.max_body);
    parser.header_limit(kMaxHeader);
    if (!error) http::read(transport, buffer, parser, error);
    if (error) {
      stale = reused && !parser.got_some() && error != boost::asio::error::timed_out &&
              error != boost::asio::error::operation_aborted;
      return failed(error, request.method.c_str());
    }
    good = parser.get().keep_alive() && buffer.size() == 0;
    Response out;
    out.status = static_cast<int>(parser.get().result_int());
    if (out.status < 200 || out.status > 299) return refusal(parser.get(), parser.get().body());
    out.body = std::move(parser.get().body());
    return out;
  }

  Outcome<Response> attempt(const Request& request, SteadyClock::time_point deadline, Canceller* canceller) {
    for (bool may_reuse = true;; may_reuse = false) {
      std::unique_ptr<Transport> transport = may_reuse ? take_kept() : nullptr;
      const bool reused = transport != nullptr;
      if (!reused) transport = std::make_unique<Transport>();
      bool stale = false;
      bool good = false;
      Outcome<Response> out = Failure{};
      {
        const Attachment attachment(canceller, *transport);
        if (!reused) {
          if (Failure failure = transport->connect(config, deadline); !failure.ok()) return failure;
        }
        transport->set_deadline(deadline);
        out = exchange(*transport, request, reused, stale, good);
      }
      if (stale) {
        forget_kept();
        continue;
      }
      // Credentials of a connection may have been rotated: a client certificate is shown only once.
      if (good && !(out.has_error() && out.error().status(401))) keep(std::move(transport));
      return out;
    }
  }

  const Config config;
  std::atomic<std::uint64_t> throttled{0};
  std::mutex mutex;
  std::vector<Kept> kept;
};

Client::Client(Config config) : impl_(std::make_unique<Impl>(std::move(config))) {}
Client::~Client() = default;

const Config& Client::config() const {
  return impl_->config;
}

std::uint64_t Client::throttled() const {
  return impl_->throttled;
}

Outcome<Response> Client::send(const Request& request, Canceller* canceller) {
  const auto deadline = SteadyClock::now() + request.timeout;
  for (;;) {
    if (canceller != nullptr && canceller->cancelled()) return Failure{Kind::kCancelled, 0, "", "", std::nullopt};
    Outcome<Response> out = impl_->attempt(request, deadline, canceller);
    if (out.has_value()) return out;
    const Failure& failure = out.error();
    const bool later = (failure.status(429) || failure.status(503)) && failure.retry_after;
    if (!later) return out;
    ++impl_->throttled;
    const milliseconds wait = std::max(milliseconds(100), *failure.retry_after);
    if (wait > kMaxRetryAfter || SteadyClock::now() + wait >= deadline) return out;
    Canceller nobody;
    if ((canceller != nullptr ? *canceller : nobody).sleep(wait)) {
      return Failure{Kind::kCancelled, 0, "", "", std::nullopt};
    }
  }
}

Outcome<json::object> Client::send_json(const Request& request, Canceller* canceller) {
  Outcome<Response> response = send(request, canceller);
  if (response.has_error()) return response.error();
  Outcome<json::value> parsed = parse_json(response->body);
  if (parsed.has_error()) return parsed.error();
  if (!parsed->is_object()) {
    return Failure{Kind::kMalformed, 0, "", request.method + ": what came is not a JSON object", std::nullopt};
  }
  return std::move(parsed->get_object());
}

Outcome<LineStream> Client::open(const Request& request, Canceller* canceller) {
  const auto deadline = SteadyClock::now() + request.timeout;
  LineStream out;
  out.impl_ = std::make_unique<LineStream::Impl>(canceller);
  LineStream::Impl& my = *out.impl_;
  if (Failure failure = my.transport.connect(impl_->config, deadline); !failure.ok()) return failure;
  http::request<http::string_body> message;
  if (Failure failure = impl_->prepare(request, message); !failure.ok()) return failure;
  Error error;
  http::write(my.transport, message, error);
  my.parser.body_limit(boost::none);
  my.parser.header_limit(kMaxHeader);
  if (!error) http::read_header(my.transport, my.buffer, my.parser, error);
  if (error) return failed(error, "watch");
  if (my.parser.get().result_int() == 200) return out;
  std::string body;
  while (!my.parser.is_done() && body.size() < kPiece) {
    http::buffer_body::value_type& piece = my.parser.get().body();
    piece.data = my.piece.data();
    piece.size = my.piece.size();
    http::read_some(my.transport, my.buffer, my.parser, error);
    body.append(my.piece.data(), my.piece.size() - piece.size);
    if (error && error != http::error::need_buffer) break;
  }
  return refusal(my.parser.get(), body);
}

}  // namespace dbproxy::kubernetes
