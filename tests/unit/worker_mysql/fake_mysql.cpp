#include "tests/unit/worker_mysql/fake_mysql.hpp"

#include <algorithm>
#include <netinet/in.h>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/auth/mysql.hpp"
#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/handshake.hpp"
#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::worker::mysql::testing {

namespace wire = dbproxy::wire::mysql;
namespace flags = dbproxy::wire::mysql::client;

namespace {

constexpr std::uint32_t kCapabilities = flags::kProtocol41 | flags::kSecureConnection | flags::kPluginAuth |
                                        flags::kConnectWithDb | flags::kTransactions | flags::kSessionTrack |
                                        flags::kDeprecateEof | flags::kMultiStatements | flags::kMultiResults |
                                        flags::kPsMultiResults | flags::kFoundRows | flags::kLongFlag;

bool write_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool read_all(int socket, std::string& out, std::size_t size) {
  out.resize(size);
  for (std::size_t at = 0; at < size;) {
    const auto got = ::recv(socket, out.data() + at, size - at, 0);
    if (got <= 0) return false;
    at += static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<std::string> read_packet(int socket) {
  std::string header, payload;
  if (!read_all(socket, header, wire::kHeaderSize)) return std::nullopt;
  if (!read_all(socket, payload, wire::scan_frame(header).length)) return std::nullopt;
  return payload;
}

std::string ok(std::uint16_t status, std::uint8_t number = 1) {
  std::string out;
  wire::Ok made;
  made.status = status;
  wire::ok(out, number, kCapabilities, made);
  return out;
}

}  // namespace

FakeMysql::FakeMysql() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(listener_, 256) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size) != 0)
    throw std::runtime_error("no listener");
  port_ = ntohs(at.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

FakeMysql::~FakeMysql() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  release();
  drop_all();
  for (auto& connection : connections_) {
    connection.thread.join();
    ::close(connection.socket);
  }
}

void FakeMysql::accept_all() {
  while (!stopping_) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    const std::lock_guard lock(mutex_);
    auto& connection = connections_.emplace_back();
    connection.socket = socket;
    connection.thread = std::thread([this, socket] {
      ++open_;
      serve(socket);
      ::shutdown(socket, SHUT_RDWR);
      --open_;
    });
  }
}

void FakeMysql::serve(int socket) {
  wire::Greeting greeting;
  greeting.server_version = "8.0.99";
  greeting.connection_id = static_cast<std::uint32_t>(1000 + logins_);
  greeting.nonce = "abcdefghijklmnopqrst";
  greeting.capabilities = kCapabilities;
  greeting.auth_plugin = auth::kMysqlNativePassword;
  std::string out;
  wire::greeting(out, greeting);
  if (!write_all(socket, out) || !read_packet(socket)) return;
  std::uint16_t status = wire::status::kAutocommit;
  if (!write_all(socket, ok(status, 2))) return;
  ++logins_;
  while (const auto request = read_packet(socket)) {
    bool die = false;
    const std::string bytes = answer(*request, status, die);
    if (die || !write_all(socket, bytes)) return;
  }
}

std::string FakeMysql::answer(const std::string& request, std::uint16_t& status, bool& die) {
  const auto command = static_cast<wire::Command>(request.empty() ? 1 : request[0]);
  die = command == wire::Command::kQuit;
  if (command != wire::Command::kQuery) return ok(status);
  const std::string text = request.substr(1);
  std::unique_lock lock(mutex_);
  queries_.push_back(text);
  if (text == "BEGIN") status |= wire::status::kInTransaction;
  if (text == "COMMIT" || text == "ROLLBACK") status &= static_cast<std::uint16_t>(~wire::status::kInTransaction);
  if (text == "DIE") die = true;
  if (text == "HOLD") {
    const int before = released_;
    changed_.wait(lock, [&] { return released_ != before || stopping_; });
  }
  std::string out;
  if (text == "FAIL") {
    wire::error_packet(out, 1, {1064, "42000", "no"});
  } else if (text.starts_with("SELECT")) {
    std::uint8_t next = wire::packet(out, 1, "\x01");
    std::string column;
    for (const std::string_view part : {"def", "", "", "", "text", ""}) wire::append_lenenc_bytes(column, part);
    column += std::string_view("\x0c\x2d\0\0\1\0\0\xfd\0\0\0\0\0", 13);
    next = wire::packet(out, next, column);
    std::string row;
    if (text.find("read_only") == std::string::npos) {
      wire::append_lenenc_bytes(row, text);
    } else {
      wire::append_lenenc_bytes(row, "0");
    }
    next = wire::packet(out, next, row);
    wire::Ok end;
    end.status = status;
    wire::ok(out, next, kCapabilities, end, wire::kEofHeader);
  } else {
    return ok(status);
  }
  return out;
}

std::size_t FakeMysql::count(const std::string& query) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count(queries_.begin(), queries_.end(), query));
}

void FakeMysql::release() {
  const std::lock_guard lock(mutex_);
  ++released_;
  changed_.notify_all();
}

void FakeMysql::drop_all() {
  const std::lock_guard lock(mutex_);
  for (const auto& connection : connections_) ::shutdown(connection.socket, SHUT_RDWR);
}

}  // namespace dbproxy::worker::mysql::testing
