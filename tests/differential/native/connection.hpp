// A blocking connection to PostgreSQL or to a sidecar: log in, send, and read message by message. One thread each.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "proxy/auth/scram.hpp"
#include "proxy/wire/postgres/messages.hpp"

namespace differential {

// Keys are derived once for each salt.
class Credentials {
 public:
  Credentials(std::string user, std::string password) : user_(std::move(user)), password_(std::move(password)) {}
  const std::string& user() const { return user_; }
  const dbproxy::auth::ScramKeys& keys(const std::string& salt, int iterations);

 private:
  std::string user_, password_;
  std::map<std::string, dbproxy::auth::ScramKeys> known_;
};

struct Closed : std::runtime_error {
  Closed() : std::runtime_error("closed") {}
};
struct NoAnswer : std::runtime_error {
  NoAnswer() : std::runtime_error("no answer") {}
};

class Connection {
 public:
  // `host`: an address, or the directory of a Unix socket. Throws Closed.
  Connection(const std::string& host, int port);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // The body of the ErrorResponse that refuses it; nothing: it is logged in.
  std::optional<std::string> login(Credentials& credentials, const std::string& database,
                                   const dbproxy::wire::postgres::Parameters& parameters);
  void send(std::string_view bytes);
  struct Message {
    char type;
    std::string_view body;  // valid until the next call
  };
  Message read();
  // Reads on until ReadyForQuery has come so many times.
  void skip_answers(int ready);
  // A simple query whose rows are of no interest, or of which the first value of the last is.
  std::string ask(std::string_view sql);
  // Its second half, after send().
  std::string answer();

  std::uint32_t process_id() const { return process_id_; }
  const std::map<std::string, std::string>& parameters() const { return parameters_; }
  char status() const { return status_; }

 private:
  int socket_ = -1;
  std::string buffer_;
  std::size_t at_ = 0;
  std::map<std::string, std::string> parameters_;
  std::uint32_t process_id_ = 0;
  char status_ = 'I';
};

}  // namespace differential
