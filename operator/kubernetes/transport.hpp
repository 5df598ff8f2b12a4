// Transport: one TCP or TLS connection to the API server that blocks its thread, up to a deadline.
//
// A SyncStream in Beast's sense, so Beast's HTTP functions read and write through it. Internal to operator/kubernetes.
// One thread at a time; only `abort` may come from another. After an error, a deadline or an abort it is of no use any
// more. A peer that vanished is noticed after 30 s (TCP keepalive and TCP_USER_TIMEOUT); one that answers at TCP's
// level but says nothing is for the caller to judge. The destructor waits for a look-up of a name that hangs.
#pragma once

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/system/system_error.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "operator/kubernetes/config.hpp"
#include "operator/kubernetes/failure.hpp"

namespace dbproxy::kubernetes {

class Transport {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Error = boost::system::error_code;

  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Reads the CA and client certificate again, resolves, connects and shakes hands.
  Failure connect(const Config& config, Time deadline);
  void set_deadline(Time deadline) { deadline_ = deadline; }
  void abort();  // any thread, any time

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, Error& error) {
    for (boost::asio::mutable_buffer each : boost::beast::buffers_range_ref(buffers)) {
      if (each.size() > 0) return read(each, error);
    }
    return 0;
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers, Error& error) {
    for (boost::asio::const_buffer each : boost::beast::buffers_range_ref(buffers)) {
      if (each.size() > 0) return write(each, error);
    }
    return 0;
  }
  // What the concept asks for; nobody calls them.
  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    Error error;
    const std::size_t size = read_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return size;
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers) {
    Error error;
    const std::size_t size = write_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return size;
  }

 private:
  using Socket = boost::asio::ip::tcp::socket;

  std::size_t read(boost::asio::mutable_buffer buffer, Error& error);
  std::size_t write(boost::asio::const_buffer buffer, Error& error);
  std::string prepare_tls(const Config& config);  // "" or what cannot be used
  template <class Start>
  std::size_t run(Start start, Error& error);

  boost::asio::io_context context_{1};
  std::atomic<bool> aborted_{false};
  bool dead_ = false;
  Time deadline_{};
  std::optional<boost::asio::ssl::context> tls_context_;
  Socket socket_{context_};
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
};

}  // namespace dbproxy::kubernetes
