// Sockets as the data path wants them: non-blocking, close-on-exec, no Nagle, keepalive. Names to addresses.
#pragma once

#include <cstdint>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <vector>

namespace dbproxy::net {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// Numeric IPv4 or IPv6 only; never asks DNS.
std::optional<Address> numeric_address(const std::string& host, std::uint16_t port);
// A Unix socket's path; nullopt when it is too long (107 bytes).
std::optional<Address> unix_address(const std::string& path);
// Blocking: for Offload. Empty on failure, then `error` says why.
std::vector<Address> resolve(const std::string& host, std::uint16_t port, std::string& error);

// Listening sockets. −1 on failure, then `error` says which address and why.
int listen_on(const Address& address, const std::string& shown, std::string& error);

// Begins to connect: the fd, or −1 with errno. Done or failed when it turns writable: see connect_result.
int begin_connect(const Address& address);
// 0 when connected, else an errno.
int connect_result(int fd);

// After accept: no delay, keepalive.
void tune_client(int fd);

std::string to_string(const Address& address);
// Of this end of a connection; 0: it has none.
std::uint16_t local_port(int fd);
// "127.0.0.1:40000" or "unix:pid=123,uid=1000".
std::string peer_name(int fd);

// The user at the other end of a Unix socket, as the kernel saw it connect; none: it is no Unix socket.
std::optional<std::uint32_t> peer_user(int fd);
// The other end is on this machine: 127.0.0.0/8 or ::1.
bool peer_is_loopback(int fd);

}  // namespace dbproxy::net
