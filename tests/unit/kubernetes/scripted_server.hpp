// An HTTP/1.1 server on loopback that answers as a test says, one thread per connection.
#pragma once

#include <arpa/inet.h>
#include <atomic>
#include <cstring>
#include <functional>
#include <list>
#include <mutex>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "operator/kubernetes/config.hpp"

namespace dbproxy::kubernetes {

struct Asked {
  std::string method, target, head, body;

  std::string header(const std::string& name) const {
    const std::size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const std::size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
  bool has(const std::string& part) const { return target.find(part) != std::string::npos; }
};

class ScriptedServer {
 public:
  class Peer {
   public:
    explicit Peer(int fd) : fd_(fd) {}
    void raw(const std::string& bytes) { ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    void answer(int status, const std::string& body, const std::string& headers = {}) {
      raw("HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: application/json\r\n" + headers +
          "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
    void begin_stream() {
      raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
    }
    void chunk(const std::string& text) {
      char size[32];
      std::snprintf(size, sizeof size, "%zx\r\n", text.size());
      raw(size + text + "\r\n");
    }
    void line(const std::string& text) { chunk(text + "\n"); }
    void end_stream() { raw("0\r\n\r\n"); }
    // Until the client goes away, or the server stops.
    void hold() {
      char byte = 0;
      while (::recv(fd_, &byte, 1, 0) > 0) {
      }
    }
    void close() { ::shutdown(fd_, SHUT_RDWR); }

   private:
    int fd_;
  };
  using Script = std::function<void(const Asked&, Peer&)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    ::listen(listener_, 64);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept(); });
  }
  ~ScriptedServer() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : fds_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& each : threads_) each.join();
    for (const int fd : fds_) ::close(fd);
  }

  Config config() const {
    Config out;
    out.host = "127.0.0.1";
    out.port = port_;
    out.tls = false;
    return out;
  }
  std::vector<Asked> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  int connections() const { return connections_; }

 private:
  void accept() {
    for (;;) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd < 0) return;
      ++connections_;
      const std::lock_guard lock(mutex_);
      fds_.push_back(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }
  void serve(int fd) {
    std::string in;
    Peer peer(fd);
    for (;;) {
      std::size_t end = 0;
      while ((end = in.find("\r\n\r\n")) == std::string::npos) {
        if (!receive(fd, in)) return;
      }
      Asked asked;
      asked.head = in.substr(0, end + 2);
      const std::string length = asked.header("Content-Length");
      const std::size_t size = length.empty() ? 0 : std::stoul(length);
      while (in.size() < end + 4 + size) {
        if (!receive(fd, in)) return;
      }
      asked.body = in.substr(end + 4, size);
      in.erase(0, end + 4 + size);
      asked.method = asked.head.substr(0, asked.head.find(' '));
      asked.target = asked.head.substr(asked.method.size() + 1);
      asked.target.resize(asked.target.find(' '));
      {
        const std::lock_guard lock(mutex_);
        asked_.push_back(asked);
      }
      script_(asked, peer);
    }
  }
  static bool receive(int fd, std::string& into) {
    char buffer[4096];
    const ssize_t size = ::recv(fd, buffer, sizeof buffer, 0);
    if (size <= 0) return false;
    into.append(buffer, static_cast<std::size_t>(size));
    return true;
  }

  Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  mutable std::mutex mutex_;
  std::vector<Asked> asked_;
  std::vector<int> fds_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

// Waits for a condition; false after ten seconds.
inline bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 2000; ++i) {
    if (condition()) return true;
    ::poll(nullptr, 0, 5);
  }
  return condition();
}

}  // namespace dbproxy::kubernetes
