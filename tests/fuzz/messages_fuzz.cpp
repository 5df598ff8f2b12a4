// Clients that send anything to a server that keeps to the protocol: whatever the clients do, the session never takes
// an answer for a breach, and the connection is quiet again once a Sync was answered.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/session/postgres/client_session.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "tests/fuzz/session_world.hpp"

namespace {

using dbproxy::fuzz::World;
namespace wire = dbproxy::wire::postgres;

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  unsigned next() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

constexpr std::array<std::string_view, 16> kSql = {"SELECT 1",
                                                   "BEGIN",
                                                   "COMMIT",
                                                   "",
                                                   "SET search_path = x",
                                                   "SET application_name = 'y'",
                                                   "DISCARD ALL",
                                                   "DEALLOCATE ALL",
                                                   "COPY t FROM STDIN",
                                                   "COPY t TO STDOUT",
                                                   "DEALLOCATE a",
                                                   "EXECUTE a",
                                                   "RESET ALL",
                                                   "PREPARE a AS SELECT 1",
                                                   "CREATE TABLE t (a int)",
                                                   "SELECT set_config('a.b', 'c', false)"};
constexpr std::array<std::string_view, 4> kNames = {"", "a", "b", "fuzz_1"};

// Sets `raw` when it made bytes that may be no message, or the start of one.
std::string client_message(Bytes& bytes, bool& raw) {
  std::string out;
  const unsigned kind = bytes.next() % 14, choice = bytes.next();
  const std::string_view sql = kSql[choice % kSql.size()], name = kNames[(choice >> 4) % kNames.size()];
  switch (kind) {
    case 0:
      wire::query(out, sql);
      break;
    case 1:
      wire::parse(out, name, sql, "");
      break;
    case 2:
      wire::MessageWriter(out, 'B').cstring("").cstring(name).u16(0).u16(0).u16(0);
      break;
    case 3:
      wire::MessageWriter(out, 'D').u8(choice % 2 == 0 ? 'S' : 'P').cstring(name);
      break;
    case 4:
      wire::MessageWriter(out, 'E').cstring("").u32(0);
      break;
    case 5:
      wire::MessageWriter(out, 'C').u8(choice % 2 == 0 ? 'S' : 'P').cstring(name);
      break;
    case 6:
    case 7:
      wire::sync(out);
      break;
    case 8:
      wire::empty_message(out, 'H');
      break;
    case 9:
      wire::MessageWriter(out, 'd').bytes("row\n");
      break;
    case 10:
      wire::empty_message(out, 'c');
      break;
    case 11:
      wire::MessageWriter(out, 'f').cstring("no");
      break;
    case 12:
      wire::MessageWriter(out, 'F').u32(1).u16(0).u16(0).u16(0);
      break;
    default:  // anything; whole or not
      raw = true;
      for (unsigned i = 0; i < choice % 12; ++i) out.push_back(static_cast<char>(bytes.next()));
  }
  return out;
}

// PostgreSQL as its documentation says: one answer per message, and nothing but Sync after an error.
class Server {
 public:
  void receive(std::string_view bytes) { unread_.append(bytes); }
  bool has_work() const {
    const auto frame = wire::scan_frame(unread_);
    return frame.scan == wire::Scan::kMessage && frame.size <= unread_.size();
  }

  // A client that sent something else in the middle of a copy: dropping the connection is then right.
  bool client_broke_copy() const { return client_broke_copy_; }

  // The answer to the next message. `fails`: with an error, where that can be.
  // A statement that the session itself names to get an error from the server is never there.
  std::string answer(bool fails, char status) {
    const auto frame = wire::scan_frame(unread_);
    const std::string whole = unread_.substr(0, frame.size);
    unread_.erase(0, frame.size);
    const std::string_view body = std::string_view(whole).substr(wire::kHeaderSize);
    if (frame.type == 'B' && body.find("fuzz_none") != std::string_view::npos) fails = true;
    std::string out;
    if (copying_) {
      during_copy(frame.type, out, status);
    } else if (skipping_ && frame.type != 'S') {
      return out;
    } else {
      switch (frame.type) {
        case 'Q':
          simple(body, fails, out, status);
          break;
        case 'P':
          fails ? error(out) : wire::empty_message(out, '1');
          break;
        case 'B':
          fails ? error(out) : wire::empty_message(out, '2');
          break;
        case 'C':
          wire::empty_message(out, '3');
          break;
        case 'D':
          if (fails) {
            error(out);
          } else {
            if (!body.empty() && body[0] == 'S') wire::MessageWriter(out, 't').u16(0);
            wire::empty_message(out, 'n');
          }
          break;
        case 'E':
          fails ? error(out) : wire::command_complete(out, "SELECT 0");
          break;
        case 'F':
          if (fails) {
            wire::error_response(out, {.sqlstate = "42501", .message = "m"});
          } else {
            wire::MessageWriter(out, 'V').u32(0xffffffff);
          }
          wire::ready_for_query(out, status);
          break;
        case 'S':
          skipping_ = false;
          wire::ready_for_query(out, status);
          break;
        default:
          break;  // Flush, and copy messages after the copy: nothing
      }
    }
    return out;
  }

 private:
  void error(std::string& out) {
    wire::error_response(out, {.sqlstate = "42P01", .message = "m"});
    skipping_ = true;
  }

  void simple(std::string_view body, bool fails, std::string& out, char status) {
    const std::string_view sql = body.substr(0, body.find('\0'));
    if (fails) {
      wire::error_response(out, {.sqlstate = "42601", .message = "m"});
    } else if (sql == "COPY t FROM STDIN") {
      wire::MessageWriter(out, 'G').u8(0).u16(0);
      copying_ = true;
      return;
    } else if (sql == "COPY t TO STDOUT") {
      wire::MessageWriter(out, 'H').u8(0).u16(0);
      wire::MessageWriter(out, 'd').bytes("row\n");
      wire::empty_message(out, 'c');
      wire::command_complete(out, "COPY 1");
    } else if (sql.empty()) {
      wire::empty_message(out, 'I');
    } else {
      if (sql.substr(0, 3) == "SET") wire::parameter_status(out, "application_name", "y");
      wire::command_complete(out, sql.substr(0, sql.find(' ')));
    }
    wire::ready_for_query(out, status);
  }

  void during_copy(char type, std::string& out, char status) {
    if (type == 'd' || type == 'H' || type == 'S') return;
    copying_ = false;
    client_broke_copy_ = client_broke_copy_ || (type != 'c' && type != 'f');
    if (type == 'c') {
      wire::command_complete(out, "COPY 1");
    } else {
      wire::error_response(out, {.sqlstate = "57014", .message = "m"});
    }
    wire::ready_for_query(out, status);
  }

  std::string unread_;
  bool skipping_ = false;
  bool copying_ = false;
  bool client_broke_copy_ = false;
};

// With FUZZ_TRACE in the environment: the types of all messages, to read a finding by.
void trace(const char* what, std::string_view bytes) {
  static const bool on = std::getenv("FUZZ_TRACE") != nullptr;
  if (!on) return;
  std::fprintf(stderr, "%s", what);
  while (true) {
    const auto frame = wire::scan_frame(bytes);
    if (frame.scan != wire::Scan::kMessage || frame.size > bytes.size()) break;
    std::fprintf(stderr, " %c[", frame.type);
    for (const char c : bytes.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize)) {
      std::fputc(c >= ' ' && c <= '~' ? c : '.', stderr);
    }
    std::fputc(']', stderr);
    bytes.remove_prefix(frame.size);
  }
  std::fprintf(stderr, "%s\n", bytes.empty() ? "" : " …");
}

class Play {
 public:
  explicit Play(Bytes bytes) : bytes_(bytes) {}

  void run() {
    while (!bytes_.empty()) {
      const unsigned op = bytes_.next();
      switch (op % 8) {
        case 0:
        case 1:
        case 2:
          send(0);
          break;
        case 3:
          send(1);
          break;
        case 4:
          if (op >= 200) {
            world_.client_vanishes(op % 3 == 0 ? 1 : 0);
          } else if (op >= 150) {
            world_.server_vanishes();
          }
          break;
        default:
          serve(op);
          break;
      }
    }
    // Everything answered, copies ended, the sequence closed: the connection must come to rest.
    serve_all();
    const int who = world_.attached();
    if (who < 0 || raw_ || server_.client_broke_copy()) return;
    std::string end;
    wire::MessageWriter(end, 'f').cstring("no").finish();
    wire::sync(end);
    trace("end:", end);
    world_.client_sends(who, end);
    serve_all();
    if (world_.attached() == who && !world_.server().quiet()) std::abort();
  }

 private:
  void serve_all() {
    do serve(0);
    while (server_.has_work() || world_.has_to_server());
  }

  void send(int who) {
    const std::string message = client_message(bytes_, raw_);
    trace(who == 0 ? "client 0:" : "client 1:", message);
    world_.client_sends(who, message);
  }

  void serve(unsigned op) {
    if (generation_ != world_.generation()) {
      generation_ = world_.generation();
      server_ = Server();
    }
    const std::string asked = world_.take_to_server();
    if (!asked.empty()) trace("  to server:", asked);
    server_.receive(asked);
    if (!server_.has_work()) return;
    const std::string answer = server_.answer((op & 8) != 0, "IITTE"[(op >> 4) % 5]);
    trace("  server:", answer);
    // In two pieces, at a place that the input chooses.
    const std::size_t cut = answer.empty() ? 0 : op % answer.size();
    deliver(std::string_view(answer).substr(0, cut));
    if (generation_ == world_.generation()) deliver(std::string_view(answer).substr(cut));
  }

  void deliver(std::string_view bytes) {
    if (!world_.server_sends(bytes) && !server_.client_broke_copy()) std::abort();
  }

  Bytes bytes_;
  World world_;
  Server server_;
  int generation_ = 1;
  bool raw_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1024) return 0;
  Play(Bytes(data, size)).run();
  return 0;
}
