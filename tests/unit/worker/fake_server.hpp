// FakeServer: a PostgreSQL server that does what a test wants, on a free port of 127.0.0.1.
//
// Each connection has a thread. In echo mode it answers by itself; in scripted mode next() hands a connection that has
// logged in to the test, which then decides about every byte. Thread-safe.
//
// What echo mode understands: BEGIN, COMMIT, ROLLBACK, FAIL (an ERROR), HOLD (runs until it is cancelled or
// release()d), BIG n (n MB of rows), COPY … (from the client, as PostgreSQL treats it), DIE (closes); for the rest one
// row with the query's text. In a failed transaction everything but COMMIT and ROLLBACK is refused. Extended-query
// messages get the answers that a statement without parameters gets.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/unit/worker/wire.hpp"

namespace dbproxy::worker::testing {

class FakeServer {
 public:
  using Login = std::function<bool(Wire&, std::uint32_t process_id)>;  // false: close

  FakeServer();
  ~FakeServer();

  std::uint16_t port() const { return port_; }
  std::string listen_unix();  // also on a Unix socket: its directory
  void script() { scripted_ = true; }
  void echo() { scripted_ = false; }
  void on_login(Login login);
  static bool welcome(Wire& wire, std::uint32_t process_id);  // the default

  std::shared_ptr<Wire> next();  // null when none comes
  std::vector<std::string> queries() const;
  std::size_t count(const std::string& query) const;
  bool wait_for(const std::string& query, std::size_t times = 1);
  bool wait_until(const std::function<bool()>& holds);  // called under the lock of queries(): use the members below
  int logins() const { return logins_; }
  int open() const { return open_; }
  int cancels() const { return cancels_; }
  void keep_cancels_open(bool keep);
  void release();                          // lets all HOLDs end
  void drop_all();                         // closes every connection
  std::atomic<bool> hold_settings{false};  // … and is not answered until go_on_with_settings()
  void go_on_with_settings();
  std::atomic<bool> refuse_settings{false};     // every BEGIN; SELECT …set_config…; COMMIT is an error
  std::atomic<bool> refuse_connections{false};  // closes them before a byte
  std::atomic<std::uint64_t> row_bytes{0};

 private:
  struct Connection {
    std::shared_ptr<Wire> wire;
    std::thread thread;
    std::atomic<bool> over{false};
  };
  void accept_all(int listener);
  void serve(Connection& connection);
  void echo_loop(Wire& wire, std::uint32_t process_id);
  bool answer(Wire& wire, std::uint32_t process_id, const std::string& text, char& status);
  bool copy_in(Wire& wire, char& status);

  int listener_ = -1, unix_listener_ = -1;
  std::string directory_;
  std::uint16_t port_ = 0;
  std::atomic<bool> scripted_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<int> logins_{0}, open_{0}, cancels_{0};
  std::atomic<std::uint32_t> next_process_id_{1000};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  Login login_ = welcome;
  std::vector<std::string> queries_;
  std::map<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>>
      asked_;  // releases and drops when a connection was last asked
  std::list<std::shared_ptr<Wire>> logged_in_;
  std::list<Connection> connections_;
  std::set<std::uint32_t> cancelled_;
  std::uint64_t releases_ = 0;
  std::uint64_t drops_ = 0;
  bool keep_cancels_open_ = false;
  std::thread acceptor_, unix_acceptor_;
};

}  // namespace dbproxy::worker::testing
