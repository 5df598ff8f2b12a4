// ConnectionRecord: the server connections that one DBProxy has open here, in a file that tells a successor of them
// when this process is killed: NAMESPACE.NAME.open beside the slots that are held (budget_side.hpp).
//
// Each connection has a place in the file from before it is begun until its server has ended it, written when it is
// begun, logged in and gone: never on the path of a query. The server may have fewer, never more than are listed. What
// processes before this one left stays listed until it is seen to be gone. A file of another boot counts for nothing.
// While a process lives nobody else takes its file.
//
// The file holds cancel keys, and is for its owner's eyes only. Nothing is synced: it is for a process that dies, not
// for a machine. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/net/socket.hpp"

namespace dbproxy::worker {

struct RecordedConnection {
  std::string target = {}, user = {};
  std::uint32_t id = 0;         // as the server numbers it; 0: not logged in
  std::uint16_t port = 0;       // ours; 0: a Unix socket
  net::Address address = {};    // the server's
  std::string cancel_key = {};  // empty: it has none
};

// This machine's, since it was switched on.
std::string boot_id();

class ConnectionRecord {
 public:
  using Place = std::size_t;
  static constexpr Place kNowhere = static_cast<Place>(-1);
  struct Left {
    Place place;
    RecordedConnection connection;
  };

  // Null: there can be none, or another process has it.
  static std::shared_ptr<ConnectionRecord> open(const std::string& path);
  ~ConnectionRecord();
  ConnectionRecord(const ConnectionRecord&) = delete;
  ConnectionRecord& operator=(const ConnectionRecord&) = delete;

  // What it was found with, to whoever asks first: gone() is for them to say.
  std::vector<Left> take_left() { return std::exchange(left_, {}); }

  // kNowhere: it cannot be kept, and must not be opened.
  Place add(const RecordedConnection& connection);
  void update(Place place, const RecordedConnection& connection);
  void gone(Place place);

 private:
  explicit ConnectionRecord(int fd) : fd_(fd) {}
  void read();
  bool grow();
  bool write(Place place, const std::string& line) const;

  const int fd_;
  std::vector<Left> left_;
  std::size_t places_ = 0;
  std::vector<Place> free_;
};

}  // namespace dbproxy::worker
