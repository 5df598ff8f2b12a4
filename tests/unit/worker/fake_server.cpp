#include "tests/unit/worker/fake_server.hpp"

#include <algorithm>
#include <filesystem>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/wire/postgres/messages.hpp"

namespace dbproxy::worker::testing {

namespace pg = dbproxy::wire::postgres;

namespace {

constexpr std::uint32_t kCancelCode = 80877102;

std::string row(std::string_view text) {
  std::string out;
  pg::MessageWriter(out, 'D').u16(1).u32(static_cast<std::uint32_t>(text.size())).bytes(text);
  return out;
}

std::string columns() {
  std::string out;
  pg::MessageWriter(out, 'T').u16(1).cstring("echo").u32(0).u16(0).u32(25).u16(0xffff).u32(0xffffffff).u16(0);
  return out;
}

}  // namespace

FakeServer::FakeServer() {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(listener_, 512) != 0) std::abort();
  getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
  port_ = ntohs(at.sin_port);
  acceptor_ = std::thread([this] { accept_all(listener_); });
}

std::string FakeServer::listen_unix() {
  char made[] = "/tmp/dbproxy-test-XXXXXX";
  if (mkdtemp(made) == nullptr) std::abort();
  directory_ = made;
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  auto path = directory_ + "/.s.PGSQL." + std::to_string(port_);
  std::copy(path.begin(), path.end(), at.sun_path);
  unix_listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::bind(unix_listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || ::listen(unix_listener_, 512) != 0)
    std::abort();
  unix_acceptor_ = std::thread([this] { accept_all(unix_listener_); });
  return directory_;
}

FakeServer::~FakeServer() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  if (unix_acceptor_.joinable()) {
    ::shutdown(unix_listener_, SHUT_RDWR);
    unix_acceptor_.join();
    ::close(unix_listener_);
    std::filesystem::remove_all(directory_);
  }
  drop_all();
  for (auto& connection : connections_) connection.thread.join();
  ::close(listener_);
}

void FakeServer::on_login(Login login) {
  std::lock_guard lock(mutex_);
  login_ = std::move(login);
}

void FakeServer::accept_all(int listener) {
  while (true) {
    int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0 || stopping_) {
      if (fd >= 0) ::close(fd);
      return;
    }
    if (refuse_connections) {
      ::close(fd);
      continue;
    }
    std::lock_guard lock(mutex_);
    auto& connection = connections_.emplace_back();
    connection.wire = std::make_shared<Wire>(fd);
    connection.thread = std::thread([this, &connection] { serve(connection); });
  }
}

void FakeServer::serve(Connection& connection) {
  auto& wire = *connection.wire;
  auto header = wire.read_bytes(8);
  if (header.size() < 8) return wire.shut_down();
  auto length = pg::load_u32(header.data());
  auto body = wire.read_bytes(length - 8);
  if (pg::load_u32(header.data() + 4) == kCancelCode) {
    std::unique_lock lock(mutex_);
    cancelled_.insert(pg::load_u32(body.data()));
    ++cancels_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !keep_cancels_open_ || stopping_; });
    lock.unlock();
    return wire.shut_down();
  }
  Login login;
  {
    std::lock_guard lock(mutex_);
    login = login_;
  }
  auto process_id = next_process_id_++;
  // Counted first: the other end goes on as soon as it has the last byte.
  ++logins_;
  if (!login(wire, process_id)) {
    --logins_;
    return wire.shut_down();
  }
  {
    std::lock_guard lock(mutex_);
    ++open_;
    if (scripted_) {
      logged_in_.push_back(connection.wire);
      changed_.notify_all();
      return;
    }
    changed_.notify_all();
  }
  echo_loop(wire, process_id);
  wire.shut_down();
  std::lock_guard lock(mutex_);
  --open_;
  changed_.notify_all();
}

bool FakeServer::welcome(Wire& wire, std::uint32_t process_id) {
  std::string out;
  pg::authentication(out, 0);
  for (auto [name, value] : {std::pair{"server_version", "15.0"},
                             {"client_encoding", "UTF8"},
                             {"standard_conforming_strings", "on"},
                             {"application_name", ""},
                             {"TimeZone", "UTC"}}) {
    out += parameter(name, value);
  }
  pg::backend_key_data(out, process_id, "abcd");
  return wire.send(out + ready());
}

void FakeServer::echo_loop(Wire& wire, std::uint32_t process_id) {
  char status = 'I';
  bool skipping = false;
  std::string out;
  while (auto got = wire.read(std::chrono::hours(1))) {
    auto type = got->type;
    if (type == 'X') return;
    if (type == 'Q') {
      if (skipping) continue;
      auto text = got->body.substr(0, got->body.find('\0'));
      {
        std::lock_guard lock(mutex_);
        queries_.push_back(text.substr(0, 100));
        cancelled_.erase(process_id);              // a cancel request that came before hits nothing
        asked_[process_id] = {releases_, drops_};  // a release counts from the moment that the query can be seen
        changed_.notify_all();
      }
      if (!answer(wire, process_id, text, status)) return;
      continue;
    }
    if (type == 'S') {
      skipping = false;
      if (!wire.send(ready(status))) return;
      continue;
    }
    if (skipping || type == 'H' || type == 'd' || type == 'c' || type == 'f') continue;
    if (status == 'E' && (type == 'P' || type == 'B' || type == 'E')) {
      skipping = true;
      if (!wire.send(error("ERROR", "25P02"))) return;
      continue;
    }
    bool unknown = type == 'B' && got->body.find("none") != std::string::npos;
    if (unknown) {
      skipping = true;
      if (!wire.send(error("ERROR", "26000"))) return;
      continue;
    }
    auto reply = type == 'P'   ? message('1')
                 : type == 'B' ? message('2')
                 : type == 'C' ? message('3')
                 : type == 'D' ? message('t', std::string(2, '\0')) + message('n')
                               : complete("SELECT 0");
    if (!wire.send(reply)) return;
  }
}

bool FakeServer::answer(Wire& wire, std::uint32_t process_id, const std::string& text, char& status) {
  if (text == "DIE") return false;
  if (status == 'E' && !text.starts_with("COMMIT") && text != "ROLLBACK") {
    return wire.send(error("ERROR", "25P02") + ready(status));
  }
  if (text.starts_with("BEGIN ISOLATION LEVEL READ COMMITTED, NOT DEFERRABLE; SELECT pg_catalog.set_config")) {
    if (hold_settings) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return stopping_ || !hold_settings; });
    }
    if (refuse_settings) {
      status = 'E';
      return wire.send(error("ERROR", "22023") + ready(status));
    }
    return wire.send(complete("BEGIN") + columns() + row("") + complete("SELECT 1") + complete("COMMIT") + ready());
  }
  if (text == "BEGIN") status = 'T';
  if (text == "COMMIT" || text == "ROLLBACK") status = 'I';
  if (text == "BEGIN" || text == "COMMIT" || text == "ROLLBACK" || text == "DISCARD ALL") {
    return wire.send(complete(text) + ready(status));
  }
  if (text.starts_with("SET ")) return wire.send(complete("SET") + ready(status));
  if (text == "FAIL") {
    if (status == 'T') status = 'E';
    return wire.send(error("ERROR", "22012") + ready(status));
  }
  if (text.starts_with("COPY")) return copy_in(wire, status);
  if (text == "HOLD") {
    std::unique_lock lock(mutex_);
    const auto [releases, drops] = asked_[process_id];
    changed_.wait(lock, [&, releases = releases, drops = drops] {
      return stopping_ || drops_ != drops || releases_ != releases || cancelled_.contains(process_id);
    });
    if (stopping_ || drops_ != drops) return false;
    if (cancelled_.erase(process_id) > 0) {
      lock.unlock();
      if (status == 'T') status = 'E';
      return wire.send(error("ERROR", "57014") + ready(status));
    }
  }
  if (text.starts_with("BIG ")) {
    auto chunk = row(std::string(64 * 1024, 'x'));
    int rows = std::stoi(text.substr(4)) * 16;
    if (!wire.send(columns())) return false;
    for (int i = 0; i < rows; ++i) {
      if (!wire.send(chunk)) return false;
      row_bytes += chunk.size();
    }
    return wire.send(complete("SELECT") + ready(status));
  }
  return wire.send(columns() + row(text.substr(0, 100)) + complete("SELECT 1") + ready(status));
}

// PostgreSQL 15's way: other messages end the copy with an error, and then the connection.
bool FakeServer::copy_in(Wire& wire, char& status) {
  std::string formats;
  pg::MessageWriter(formats, 'G').u8(0).u16(0);
  if (!wire.send(formats)) return false;
  std::uint64_t bytes = 0;
  while (auto got = wire.read(std::chrono::hours(1))) {
    if (got->type == 'd') {
      bytes += got->body.size();
    } else if (got->type == 'c') {
      return wire.send(complete("COPY " + std::to_string(bytes)) + ready(status));
    } else if (got->type == 'f') {
      if (status == 'T') status = 'E';
      return wire.send(error("ERROR", "57014") + ready(status));
    } else if (got->type != 'H' && got->type != 'S') {
      wire.send(error("ERROR", "08P01") + error("FATAL", "08P01"));
      return false;
    }
  }
  return false;
}

std::shared_ptr<Wire> FakeServer::next() {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, kPatience, [this] { return !logged_in_.empty(); })) return nullptr;
  auto out = logged_in_.front();
  logged_in_.pop_front();
  return out;
}

std::vector<std::string> FakeServer::queries() const {
  std::lock_guard lock(mutex_);
  return queries_;
}

std::size_t FakeServer::count(const std::string& query) const {
  std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count(queries_.begin(), queries_.end(), query));
}

bool FakeServer::wait_for(const std::string& query, std::size_t times) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] {
    return static_cast<std::size_t>(std::count(queries_.begin(), queries_.end(), query)) >= times;
  });
}

bool FakeServer::wait_until(const std::function<bool()>& holds) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, holds);
}

void FakeServer::keep_cancels_open(bool keep) {
  std::lock_guard lock(mutex_);
  keep_cancels_open_ = keep;
  changed_.notify_all();
}

void FakeServer::go_on_with_settings() {
  std::lock_guard lock(mutex_);
  hold_settings = false;
  changed_.notify_all();
}

void FakeServer::release() {
  std::lock_guard lock(mutex_);
  ++releases_;
  changed_.notify_all();
}

void FakeServer::drop_all() {
  std::lock_guard lock(mutex_);
  ++drops_;
  for (auto& connection : connections_) connection.wire->shut_down();
  changed_.notify_all();
}

}  // namespace dbproxy::worker::testing
