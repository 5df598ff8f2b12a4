// Wire: one end of a PostgreSQL connection for tests: a blocking socket with a deadline on everything, plain or TLS.
//
// TLS runs over memory, so that a test decides how its records are cut (`drip`: one byte per send). One thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <openssl/ssl.h>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbproxy::worker::testing {

inline constexpr std::chrono::milliseconds kPatience{20'000};

struct Message {
  char type = 0;
  std::string body;
  // Of an ErrorResponse: 'C' the SQLSTATE, 'S' the severity, 'M' the words.
  std::string field(char code) const;
};
using Messages = std::vector<Message>;
std::string types(const Messages& messages);  // "TDCZ"

// Whole messages.
std::string message(char type, std::string_view body = {});
std::string query(std::string_view text);  // 'Q'
std::string parse(std::string_view name, std::string_view text);
std::string bind(std::string_view portal, std::string_view name);
std::string describe(std::string_view name);
std::string execute();
std::string error(std::string_view severity, std::string_view sqlstate, std::string_view words = "so it is");
std::string parameter(std::string_view name, std::string_view value);
std::string complete(std::string_view tag);
std::string ready(char status = 'I');

class Wire {
 public:
  Wire() = default;
  explicit Wire(int fd) : fd_(fd) {}
  Wire(Wire&& other) noexcept;
  Wire& operator=(Wire&& other) noexcept;
  ~Wire();

  // Small buffers make a peer that does not read felt soon.
  static Wire connect(std::uint16_t port, int receive_buffer = 0);

  int fd() const { return fd_; }
  bool send(std::string_view bytes);       // false: the peer is gone, or nobody took it in time
  bool send_some(std::string_view bytes);  // only as much as can be sent now
  std::optional<Message> read(std::chrono::milliseconds patience = kPatience);
  char read_byte();
  std::string read_bytes(std::size_t count);
  Messages read_until(char type);  // that one included; ends early when the connection does
  bool at_end();                   // waits for the peer to close
  bool quiet_for(std::chrono::milliseconds time);
  void close();
  void reset();  // closes with RST
  // Between threads: wakes whoever reads.
  void shut_down();

  void start_tls(SSL_CTX* context);  // as a client; does the handshake
  bool drip = false;                 // one byte per send
  std::uint64_t sent = 0;

 private:
  bool fill(std::chrono::milliseconds patience);
  bool raw_send(std::string_view bytes);
  void flush_tls();

  int fd_ = -1;
  std::string in_;
  SSL* ssl_ = nullptr;
};

}  // namespace dbproxy::worker::testing
