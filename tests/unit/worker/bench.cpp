#include "tests/unit/worker/bench.hpp"

#include <csignal>
#include <netinet/in.h>
#include <random>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "proxy/auth/scram.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/worker/postgres/engine.hpp"

namespace dbproxy::worker::testing {

namespace pg = dbproxy::wire::postgres;

std::uint16_t free_port() {
  static std::mt19937 random{std::random_device{}()};
  while (true) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(static_cast<std::uint16_t>(std::uniform_int_distribution(10240, 32000)(random)));
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
    ::close(fd);
    if (free) return ntohs(at.sin_port);
  }
}

std::string first_error(const Messages& messages) {
  for (const auto& message : messages) {
    if (message.type == 'E') return message.field('C');
  }
  return {};
}

std::string Client::failure(std::string_view text) {
  return first_error(ask(text));
}

void log_in(Client& client, const LoginAs& as, std::string_view early) {
  static std::map<std::string, auth::ScramKeys> known;  // derivation is slow, and the salt stays
  static std::mutex mutex;
  auto& wire = client.wire;
  std::string start;
  pg::Parameters parameters = {{"user", as.user}, {"database", as.database}};
  if (!as.application_name.empty()) parameters.emplace_back("application_name", as.application_name);
  pg::startup_message(start, 3 << 16, parameters);
  wire.send(start);
  auth::ScramClient scram(auth::make_scram_nonce(auth::system_random()));
  while (auto got = wire.read()) {
    auto code = got->type == 'R' ? pg::load_u32(got->body.data()) : 0;
    std::string reply;
    if (code == 10) {
      pg::sasl_initial_response(reply, auth::kScramMechanism, scram.client_first());
      wire.send(reply);
    } else if (code == 11) {
      auto challenge = scram.on_server_first(got->body.substr(4));
      if (!challenge) return;
      auth::ScramKeys keys;
      {
        std::lock_guard lock(mutex);
        auto& slot = known[as.password + challenge->salt];
        if (slot.iterations == 0) {
          slot = auth::derive_scram_keys(Secret(as.password), challenge->salt, challenge->iterations);
        }
        keys = slot;
      }
      pg::sasl_response(reply, scram.client_final(keys));
      wire.send(reply + std::string(early));
    } else if (got->type == 'K') {
      client.process_id = pg::load_u32(got->body.data());
      client.key = got->body.substr(4);
    }
    client.greeting.push_back(*got);
    if (got->type == 'Z' || got->type == 'E') return;
  }
}

Bench::Bench() : port_(free_port()) {
  std::signal(SIGPIPE, SIG_IGN);
  snapshot_.name_space = "default";
  snapshot_.name = "shop";
  snapshot_.deferred_begin = false;  // a BEGIN is how these tests hold a server connection
  snapshot_.server_tls.mode = config::TlsMode::kDisable;
  snapshot_.endpoints = {{.name = "default", .port = port_}};
  snapshot_.users = {{.name = "app", .password = Secret("secret")}};
  snapshot_.targets = {{.id = "one",
                        .host = "127.0.0.1",
                        .port = server_.port(),
                        .health = config::TargetHealth::kAvailable,
                        .max_connections = 100}};
  service_ = std::make_unique<Service>(engines(), options(), registry_, clock_);
}

Bench::~Bench() = default;

Engines Bench::engines() {
  Engines made;
  made.push_back(postgres::make_engine());
  return made;
}

ServiceOptions Bench::options() {
  ServiceOptions out;
  out.read_catalog = false;
  return out;
}

void Bench::notice_silence_after(std::chrono::milliseconds time) {
  auto with = options();
  with.server_silence = time;
  service_ = std::make_unique<Service>(engines(), with, registry_, clock_);
}

std::string Bench::apply() {
  ++snapshot_.version;
  return service_->apply(std::make_shared<const config::Snapshot>(snapshot_), tls_);
}

Client Bench::client(const LoginAs& as, int receive_buffer) {
  Client out;
  out.wire = Wire::connect(port_, receive_buffer);
  log_in(out, as);
  return out;
}

void Bench::cancel(std::uint32_t process_id, const std::string& key) {
  auto wire = Wire::connect(port_);
  std::string out;
  pg::cancel_request(out, process_id, key);
  wire.send(out);
  EXPECT_TRUE(wire.at_end());
}

bool Bench::eventually(const std::function<bool()>& holds) {
  auto until = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // between two looks, not instead of one
  }
  return true;
}

ProxyRow Bench::row() {
  auto rows = service_->proxies();
  return rows.empty() ? ProxyRow{} : rows.front();
}

TargetRow Bench::target() {
  auto rows = service_->targets();
  return rows.empty() ? TargetRow{} : rows.front();
}

}  // namespace dbproxy::worker::testing
