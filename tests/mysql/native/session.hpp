// One client of a script on one server: plays its steps, and makes what comes back into a text that can be compared.
//
// What is left out because it differs between any two sessions: numbers of statements and connections, the schemas'
// names (each side has two of its own, of one length; `billing` in a script is the second), the flags of the EOF behind
// columns, and of session tracking what a client did not ask for. Names of columns that ask for ROW_COUNT() and its
// like are cut: see docs/mysql.md.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/differential/native/script.hpp"
#include "tests/mysql/native/connection.hpp"

namespace mysql_differential {

using differential::Step;

// Where scripts are played: the database itself, or a sidecar.
struct Place {
  int port = 0;  // on this machine
  std::string schema;
  std::string billing;            // another one, without tables
  std::vector<Account> accounts;  // the first is who logs in
  // A text with this place's name of the second schema.
  std::string own(std::string text) const;
};

// What kind of client it is goes by its letter.
std::uint32_t capabilities_of(char name);

class Session {
 public:
  Session(const Place& place, char name) : place_(&place), name_(name) {}

  std::string play(Step step);
  // Somebody has killed it. True: it has ended.
  bool was_ended();
  bool connected() const { return connection_ != nullptr; }
  std::uint32_t id() const { return connection_ ? connection_->id() : 0; }

 private:
  struct Statement {
    std::uint32_t number = 0;
    std::uint16_t parameters = 0;
    bool typed = false;  // the types have been sent: from then on they are left out
    bool call = false;
    std::uint32_t sent = 0;  // bits: parameters whose data has been sent
  };
  void log_in();
  void send(std::uint8_t command, std::string_view argument) { connection_->request(command, argument); }
  void carry_out(const Step& step);
  void command(std::string_view text);
  void prepare(const std::string& name, std::string_view text);
  bool execute(const std::string& name, const std::vector<std::string>& values, bool cursor);
  void close_statement(const std::string& name);
  void results();
  void definitions(std::uint64_t count);
  // Reads rows up to their end. Whether another result follows. `parameters`: it is the row of OUT parameters, for a
  // client without DEPRECATE_EOF: one does, which MySQL's EOF behind it does not say and the proxy's does; nor does its
  // EOF have the count of warnings that the OK behind it has.
  bool rows(bool parameters = false);
  // OK, EOF or ERR. Its status. `but`: flags that are not compared; with that of OUT parameters warnings are not,
  // either.
  std::uint16_t add_end(std::string_view payload, std::uint16_t but = 0);
  void add(std::string_view word, std::string_view bytes = {});
  std::string cleaned(std::string_view payload) const;

  const Place* place_;
  char name_;
  std::unique_ptr<Connection> connection_;
  std::map<std::string, Statement> statements_;
  std::string answer_;
  std::string schema_;  // that it was told last
  bool sets_tracking_ = false;
};

}  // namespace mysql_differential
