// A blocking connection to MySQL, MariaDB or a sidecar: log in by mysql_native_password or caching_sha2_password's fast
// path, send, read packet by packet.
// One thread each.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace mysql_differential {

struct Closed : std::runtime_error {
  Closed() : std::runtime_error("closed") {}
};
struct NoAnswer : std::runtime_error {
  NoAnswer() : std::runtime_error("no answer") {}
};

struct Account {
  std::string user, password;
};

class Connection {
 public:
  // On this machine. Throws Closed.
  explicit Connection(int port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The payload of the ERR that refuses it; nothing: it is done.
  std::optional<std::string> log_in(const Account& account, const std::string& schema, std::uint32_t capabilities);
  std::optional<std::string> change_user(const Account& account, const std::string& schema);
  // A request: its packet has the number 0, and its answer goes on from there.
  void request(std::uint8_t command, std::string_view argument);
  // A packet in the middle of an exchange.
  void send(std::string_view payload);
  // The payload of the next packet, valid until the next call. Throws where its number is not the next.
  std::string_view read();
  // Statements whose rows are of no interest; throws what an error says.
  void run(std::string_view sql);
  // What comes until the other end closes is dropped. False: it does not.
  bool ends();

  std::uint32_t id() const { return id_; }
  std::uint32_t capabilities() const { return capabilities_; }

 private:
  std::optional<std::string> authenticate(const Account& account);
  bool fill(std::size_t size);
  void write(std::string_view bytes);

  int socket_ = -1;
  std::string buffer_, joined_, nonce_;
  std::size_t at_ = 0;
  std::uint8_t sequence_ = 0, collation_ = 0;
  std::uint32_t id_ = 0, capabilities_ = 0;
};

}  // namespace mysql_differential
