// Client: requests to one API server, and streams from it. HTTP/1.1 over connections that are kept for the next one.
//
// Every call blocks its thread: a handful of watches and a few writers need no more, and plain code is easier to trust
// than coroutines of GCC 12. All methods are thread-safe. Credentials are read again as config.hpp says. Responses and
// lines are bounded; a request that is refused with 429 or 503 and a Retry-After is tried again while its own time
// allows it. One that finds a kept connection closed is sent once more on a new one, whatever it is: what this client
// sends does no harm twice (applies, writes with a resourceVersion, creations with a name, reviews).
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "operator/kubernetes/config.hpp"
#include "operator/kubernetes/failure.hpp"
#include "operator/kubernetes/json.hpp"

namespace dbproxy::kubernetes {

class Transport;

// Ends the call that it was passed to, and all later ones. For one call at a time; outlives it.
class Canceller {
 public:
  void cancel();  // any thread
  bool cancelled() const;
  // Sleeps; true when cancelled meanwhile.
  bool sleep(std::chrono::milliseconds time);

 private:
  friend class Attachment;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool cancelled_ = false;
  Transport* transport_ = nullptr;
};

struct Request {
  std::string method = "GET";
  std::string target;  // path and query, encoded; the base path is put before it
  std::string body;
  std::string content_type = "application/json";
  std::string accept = "application/json";
  std::chrono::milliseconds timeout{30'000};  // for all attempts together
  std::size_t max_body = std::size_t{32} << 20;
};

struct Response {
  int status = 0;  // 200 to 299
  std::string body;
};

// The body of a watch, line by line.
class LineStream {
 public:
  LineStream();
  ~LineStream();
  LineStream(LineStream&&) noexcept;
  LineStream& operator=(LineStream&&) noexcept;

  // The next line without its end; none when the server has ended the stream. The view is good until the next call.
  Outcome<std::optional<std::string_view>> next(std::chrono::steady_clock::time_point deadline);

  struct Impl;

 private:
  friend class Client;
  std::unique_ptr<Impl> impl_;
};

class Client {
 public:
  static constexpr std::size_t kMaxLine = std::size_t{16} << 20;  // an object is 1.5 MB in etcd, more as JSON

  explicit Client(Config config);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Config& config() const;
  // Times that the server asked to come again later.
  std::uint64_t throttled() const;

  // Anything but 2xx is a Failure.
  Outcome<Response> send(const Request& request, Canceller* canceller = nullptr);
  // The same, parsed as the JSON object that it must be.
  Outcome<json::object> send_json(const Request& request, Canceller* canceller = nullptr);
  // Returns once the server has answered 200. `canceller` ends the stream's `next` as well.
  Outcome<LineStream> open(const Request& request, Canceller* canceller = nullptr);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dbproxy::kubernetes
