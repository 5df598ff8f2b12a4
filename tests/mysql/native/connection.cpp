#include "tests/mysql/native/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/auth/mysql.hpp"
#include "proxy/wire/mysql/handshake.hpp"

namespace mysql_differential {

namespace auth = dbproxy::auth;
namespace wire = dbproxy::wire::mysql;

namespace {

constexpr int kTimeoutSeconds = 20;
constexpr std::uint8_t kGeneral = 45, kUnicode9 = 255;  // of utf8mb4

bool connect_to(int fd, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::string proof(const Account& account, std::string_view nonce,
                  std::string_view plugin = auth::kMysqlNativePassword) {
  const dbproxy::Secret password(account.password);
  nonce = nonce.substr(0, wire::kNonceSize);
  auto made = plugin == auth::kMysqlCachingSha2 ? auth::mysql_sha2_response(password, nonce)
                                                : auth::mysql_native_response(password, nonce);
  if (!made) throw std::runtime_error("a nonce that is none");
  return *made;
}

}  // namespace

Connection::Connection(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval timeout{kTimeoutSeconds, 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (connect_to(socket_, port)) return;
  ::close(socket_);
  throw Closed();
}

Connection::~Connection() {
  ::close(socket_);
}

void Connection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) throw Closed();
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

void Connection::send(std::string_view payload) {
  std::string out;
  sequence_ = wire::packet(out, sequence_, payload);
  write(out);
}

void Connection::request(std::uint8_t command, std::string_view argument) {
  sequence_ = 0;
  std::string payload(1, static_cast<char>(command));
  payload += argument;
  send(payload);
}

// False: the other end has closed.
bool Connection::fill(std::size_t size) {
  while (buffer_.size() - at_ < size) {
    buffer_.erase(0, at_);
    at_ = 0;
    char piece[16384];
    const auto got = ::recv(socket_, piece, sizeof piece, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) throw NoAnswer();
    if (got <= 0) return false;
    buffer_.append(piece, static_cast<std::size_t>(got));
  }
  return true;
}

std::string_view Connection::read() {
  joined_.clear();
  for (bool more = true; more;) {
    if (!fill(wire::kHeaderSize)) throw Closed();
    const wire::Frame frame = wire::scan_frame(std::string_view(buffer_).substr(at_));
    if (!fill(frame.size())) throw Closed();
    if (frame.sequence != sequence_) throw std::runtime_error("a packet with a number that is not the next");
    ++sequence_;
    joined_.append(buffer_, at_ + wire::kHeaderSize, frame.length);
    at_ += frame.size();
    more = frame.continued();
  }
  if (joined_.empty()) throw std::runtime_error("an empty packet");
  return joined_;
}

bool Connection::ends() try {
  for (;;) {
    buffer_.clear();
    at_ = 0;
    if (!fill(1)) return true;
  }
} catch (const NoAnswer&) {
  return false;
}

std::optional<std::string> Connection::log_in(const Account& account, const std::string& schema,
                                              std::uint32_t capabilities) {
  sequence_ = 0;
  const auto first = read();
  if (static_cast<std::uint8_t>(first[0]) == wire::kErrorHeader) return std::string(first);
  wire::Greeting greeting;
  if (!wire::read_greeting(first, greeting)) throw std::runtime_error("not a greeting");
  id_ = greeting.connection_id;
  nonce_ = greeting.nonce;
  // The server's own; a sidecar that has just been started says another one in its greeting.
  collation_ = greeting.mariadb() ? kGeneral : kUnicode9;
  capabilities_ = capabilities & greeting.capabilities;
  const std::string response = proof(account, nonce_);
  std::string out;
  sequence_ = wire::handshake_response(out, sequence_,
                                       {.capabilities = capabilities_,
                                        .max_packet = 1u << 24,
                                        .collation = collation_,
                                        .user = account.user,
                                        .auth_response = response,
                                        .schema = schema,
                                        .auth_plugin = auth::kMysqlNativePassword,
                                        .attributes = {},
                                        .zstd_level = 0});
  write(out);
  return authenticate(account);
}

std::optional<std::string> Connection::authenticate(const Account& account) {
  for (;;) {
    const auto payload = read();
    switch (static_cast<std::uint8_t>(payload[0])) {
      case wire::kOkHeader:
        return std::nullopt;
      case wire::kErrorHeader:
        return std::string(payload);
      case wire::kEofHeader: {
        wire::AuthSwitch asked;
        if (!wire::read_auth_switch(payload, asked) ||
            (asked.plugin != auth::kMysqlNativePassword && asked.plugin != auth::kMysqlCachingSha2))
          throw std::runtime_error("asked for a plugin that is not spoken here");
        nonce_ = asked.data;
        const std::string answer = proof(account, nonce_, asked.plugin);
        send(answer);
        break;
      }
      case wire::kMoreDataHeader:
        if (payload.size() != 2 || payload[1] != auth::kSha2FastOk)
          throw std::runtime_error("the fast path is not enough");
        break;
      default:
        throw std::runtime_error("not what follows a proof");
    }
  }
}

std::optional<std::string> Connection::change_user(const Account& account, const std::string& schema) {
  const std::string response = proof(account, nonce_);
  std::string argument = account.user + '\0';
  argument += static_cast<char>(response.size());
  argument += response + schema + '\0';
  argument += static_cast<char>(collation_);
  argument += '\0';
  argument += std::string(auth::kMysqlNativePassword) + '\0';
  request(static_cast<std::uint8_t>(wire::Command::kChangeUser), argument);
  return authenticate(account);
}

void Connection::run(std::string_view sql) {
  request(static_cast<std::uint8_t>(wire::Command::kQuery), sql);
  const std::string first(read());
  wire::Error error;
  if (wire::read_error(first, error)) throw std::runtime_error(std::string(sql) + ": " + std::string(error.message));
  if (static_cast<std::uint8_t>(first[0]) == wire::kOkHeader) return;
  for (int ends = 0; ends < 2;) {
    const auto packet = read();
    if (static_cast<std::uint8_t>(packet[0]) == wire::kEofHeader && packet.size() < 9) ++ends;
  }
}

}  // namespace mysql_differential
