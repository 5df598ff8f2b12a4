// One client of a script on one server: what comes back is made into a text that can be compared, by the rules of
// ../session.py: no file, line and routine of errors, no process ids, object ids as they are met.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/differential/native/connection.hpp"
#include "tests/differential/native/script.hpp"

namespace differential {

// Where scripts are played: the database itself, or the sidecar.
struct Place {
  std::string host;
  int port = 0;
  std::string database;
  Credentials* credentials = nullptr;
  // Sessions that DISCARD ALL makes like new ones, and log-ins that were refused, by what they started with. On the
  // database itself a log-in costs more than all the rest.
  bool reuse = false;
  std::map<std::string, std::vector<std::unique_ptr<Connection>>> idle = {};
  std::map<std::string, std::string> refused = {};
};

class Session {
 public:
  explicit Session(Place& place) : place_(&place) {}

  // Sends what the step says. Log-ins are finished here; their part of the answer comes first.
  void begin(const Step& step);
  // Everything that answers it.
  std::string finish();
  // When the script is over.
  void leave();

 private:
  void connect(const std::string& start);
  void log_in(const std::string& start);
  void close();
  // What one script leaves is taken back at once, and the answers are read when the next one wants the connection.
  void give_back();
  void add(char type, std::string_view body);
  std::uint32_t known(std::uint32_t oid);
  void add_columns(std::string_view body);
  void read_answers();

  Place* place_;
  std::unique_ptr<Connection> connection_;
  std::map<std::uint32_t, std::uint32_t> oids_;
  std::map<std::string, std::string> settings_, told_;  // by this step, and by all before it
  std::string answer_;
  int ready_ = 0;
  std::string start_;
  bool like_new_ = true;  // DISCARD ALL undoes all that was done
};

}  // namespace differential
