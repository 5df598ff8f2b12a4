#include "tests/differential/native/connection.hpp"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/auth/random.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace differential {

namespace auth = dbproxy::auth;
namespace wire = dbproxy::wire::postgres;

namespace {

constexpr int kTimeoutSeconds = 20;
constexpr std::uint32_t kProtocol = 196608;

bool connect_unix(int fd, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool connect_tcp(int fd, const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) == 1 &&
         ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

const auth::ScramKeys& Credentials::keys(const std::string& salt, int iterations) {
  auto found = known_.find(salt);
  if (found == known_.end())
    found = known_.emplace(salt, auth::derive_scram_keys(dbproxy::Secret(password_), salt, iterations)).first;
  return found->second;
}

Connection::Connection(const std::string& host, int port) {
  const bool local = host.starts_with('/');
  socket_ = ::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval timeout{kTimeoutSeconds, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (local ? connect_unix(socket_, host + "/.s.PGSQL." + std::to_string(port)) : connect_tcp(socket_, host, port))
    return;
  ::close(socket_);
  throw Closed();
}

Connection::~Connection() {
  ::close(socket_);
}

void Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) throw Closed();
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

Connection::Message Connection::read() {
  const auto need = [this](std::size_t size) {
    while (buffer_.size() - at_ < size) {
      buffer_.erase(0, at_);
      at_ = 0;
      char piece[16384];
      const auto got = ::recv(socket_, piece, sizeof piece, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) throw NoAnswer();
      if (got <= 0) throw Closed();
      buffer_.append(piece, static_cast<std::size_t>(got));
    }
  };
  need(wire::kHeaderSize);
  const char type = buffer_[at_];
  const auto size = std::size_t{wire::Reader(std::string_view(buffer_).substr(at_ + 1)).u32()} + 1;
  if (size < wire::kHeaderSize) throw Closed();
  need(size);
  const auto body = std::string_view(buffer_).substr(at_ + wire::kHeaderSize, size - wire::kHeaderSize);
  at_ += size;
  return {type, body};
}

std::optional<std::string> Connection::login(Credentials& credentials, const std::string& database,
                                             const wire::Parameters& parameters) {
  std::string out;
  wire::Parameters all{{"user", credentials.user()}, {"database", database}};
  all.insert(all.end(), parameters.begin(), parameters.end());
  wire::startup_message(out, kProtocol, all);
  send(out);
  auth::ScramClient scram(auth::make_scram_nonce(auth::system_random()));
  for (;;) {
    const auto message = read();
    wire::Reader reader(message.body);
    switch (message.type) {
      case 'E':
        return std::string(message.body);
      case 'R': {
        const auto code = reader.u32();
        out.clear();
        if (code == 10) wire::sasl_initial_response(out, auth::kScramMechanism, scram.client_first());
        if (code == 11) {
          const auto challenge = scram.on_server_first(reader.rest());
          if (!challenge) throw Closed();
          wire::sasl_response(out, scram.client_final(credentials.keys(challenge->salt, challenge->iterations)));
        }
        send(out);
        break;
      }
      case 'S': {
        const std::string name(reader.cstring());
        parameters_[name] = reader.cstring();
        break;
      }
      case 'K':
        process_id_ = reader.u32();
        break;
      case 'Z':
        status_ = message.body.empty() ? '?' : message.body[0];
        return std::nullopt;
      default:
        break;
    }
  }
}

void Connection::skip_answers(int ready) {
  while (ready > 0)
    if (read().type == 'Z') --ready;
}

std::string Connection::ask(std::string_view sql) {
  std::string out;
  wire::query(out, sql);
  send(out);
  return answer();
}

std::string Connection::answer() {
  std::string value;
  for (;;) {
    const auto message = read();
    wire::Reader reader(message.body);
    if (message.type == 'D' && reader.u16() > 0) {
      const auto size = reader.u32();
      value = size == ~std::uint32_t{0} ? "" : reader.bytes(size);
    }
    if (message.type == 'E') throw std::runtime_error(std::string(wire::read_error(message.body).message));
    if (message.type == 'Z') return value;
  }
}

}  // namespace differential
