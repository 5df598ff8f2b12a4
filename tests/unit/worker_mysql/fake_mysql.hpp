// FakeMysql: a MySQL server on a free port of 127.0.0.1, a thread for each connection. Thread-safe.
//
// It lets everybody in. BEGIN, COMMIT, ROLLBACK and what is in a transaction have the flag of one; HOLD runs until
// release(); DIE closes; FAIL is an error; SELECT gives one row with the query's text; everything else is done.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace dbproxy::worker::mysql::testing {

class FakeMysql {
 public:
  FakeMysql();
  ~FakeMysql();

  std::uint16_t port() const { return port_; }
  int logins() const { return logins_; }
  int open() const { return open_; }
  std::size_t count(const std::string& query) const;
  void release();  // of all HOLDs
  void drop_all();

 private:
  struct Connection {
    int socket = -1;
    std::thread thread;
  };
  void accept_all();
  void serve(int socket);
  std::string answer(const std::string& request, std::uint16_t& status, bool& die);

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> logins_{0}, open_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> queries_;
  std::list<Connection> connections_;
  int released_ = 0;
  std::thread acceptor_;
};

}  // namespace dbproxy::worker::mysql::testing
