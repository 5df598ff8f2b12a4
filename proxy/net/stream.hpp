// Stream: one non-blocking connection, plain or under TLS, with the edge-triggered readiness that epoll told.
//
// The owner registers itself with the loop, passes every event on by note(), and reads or writes only as far as it
// wants: readiness that was not used up is remembered, so pausing costs nothing. One thread. Not copyable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <sys/uio.h>

#include "proxy/net/tls.hpp"

namespace dbproxy::net {

enum class IoStatus {
  kOk,       // `bytes` of them moved, at least one
  kBlocked,  // nothing moved; an event will come
  kClosed,   // the peer ended the connection in order
  kError,    // reset, time-out, TLS failure: the connection is of no more use
};

struct Io {
  IoStatus status = IoStatus::kBlocked;
  std::size_t bytes = 0;
};

class Stream {
 public:
  Stream() = default;
  explicit Stream(int fd) : fd_(fd) {}  // takes ownership
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream() { close(); }

  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  bool tls() const { return ssl_ != nullptr; }
  const SSL* ssl() const { return ssl_.get(); }

  // What epoll said.
  void note(std::uint32_t events);
  // Whether a read may yield something without another event: bytes decrypted already count.
  bool readable() const { return readable_; }
  bool writable() const { return writable_; }
  bool peer_closed() const { return hung_up_; }

  Io read(char* to, std::size_t room);
  // The first byte of what a read would give, left where it is. Before TLS only.
  Io peek(char& byte);
  Io write(std::string_view bytes);
  // Plain streams send all parts in one system call; TLS joins them into one record first.
  Io write(std::span<const iovec> parts);

  void start_tls(SslHandle ssl) { ssl_ = std::move(ssl); }
  // kOk when the handshake is done.
  Io handshake();

  // Nothing more will be written; what the peer still sends can be read.
  void end_writing();
  // Sends close_notify under TLS, then closes. Harmless when closed already.
  void close();
  // Closes with a reset, so that the peer notices at once and nothing lingers.
  void abort();

 private:
  Io tls_result(int result);

  int fd_ = -1;
  bool readable_ = false;
  bool writable_ = false;
  bool hung_up_ = false;
  SslHandle ssl_;
};

}  // namespace dbproxy::net
