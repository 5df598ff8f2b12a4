// What every test of the data plane stands on: a service with one DBProxy, a server, clients.
#pragma once

#include <gtest/gtest.h>
#include <memory>
#include <string>

#include "proxy/worker/engine.hpp"
#include "proxy/worker/service.hpp"
#include "tests/unit/worker/fake_server.hpp"

namespace dbproxy::worker::testing {

// Of 127.0.0.1, outside the range from which the kernel gives ports to outgoing connections: it stays free until it is
// used, unless another process asks for this very one. One thread.
std::uint16_t free_port();

// A client that has logged in, or was refused.
struct Client {
  Wire wire;
  std::uint32_t process_id = 0;
  std::string key;
  Messages greeting;  // up to ReadyForQuery or the refusal
  bool in() const { return !greeting.empty() && greeting.back().type == 'Z'; }
  std::string refusal() const {
    return greeting.empty() || greeting.back().type != 'E' ? "" : greeting.back().field('C');
  }
  Messages ask(std::string_view text) {
    wire.send(query(text));
    return wire.read_until('Z');
  }
  // SQLSTATE of the first error in it.
  std::string failure(std::string_view text);
};
std::string first_error(const Messages& messages);

struct LoginAs {
  std::string user = "app";
  std::string password = "secret";
  std::string database = "shop";
  std::string application_name = {};
};
// On a wire that may be anything. `early`: sent together with the last message of the log-in.
void log_in(Client& client, const LoginAs& as = {}, std::string_view early = {});

class Bench : public ::testing::Test {
 protected:
  Bench();
  ~Bench() override;

  static Engines engines();
  static ServiceOptions options();
  void notice_silence_after(std::chrono::milliseconds time);  // a new service, without what the old one had in force
  std::string apply();                                        // the snapshot as it stands now, as the next version
  Client client(const LoginAs& as = {}, int receive_buffer = 0);
  void cancel(std::uint32_t process_id, const std::string& key);
  // Asks the service until it holds.
  static bool eventually(const std::function<bool()>& holds);
  ProxyRow row();
  TargetRow target();

  FakeServer server_;
  SystemClock clock_;
  metrics::Registry registry_;
  config::Snapshot snapshot_;
  ListenerTls tls_;
  std::unique_ptr<Service> service_;
  std::uint16_t port_;
};

}  // namespace dbproxy::worker::testing
