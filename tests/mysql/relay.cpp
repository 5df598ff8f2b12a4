// mysql-relay HOST PORT USER LISTEN-PORT: the pure sessions of proxy/session/mysql between plain sockets, for tests.
// The password, of the user both ways, is read from standard input. Connections to the server change hands whenever the
// sessions allow it: the one that has been idle longest is taken, so that clients meet each other's leavings; another
// is opened only when none is idle. One thread, and no TLS, time-outs or bounds: nothing but the sessions is tried
// here.
#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <list>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "proxy/auth/random.hpp"
#include "proxy/backend/mysql_login.hpp"
#include "proxy/session/mysql/client_login.hpp"
#include "proxy/session/mysql/client_session.hpp"
#include "proxy/session/mysql/server_session.hpp"
#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/reader.hpp"
#include "proxy/wire/mysql/result_scanner.hpp"

namespace {

using namespace dbproxy;
using namespace dbproxy::session::mysql;
namespace wire = dbproxy::wire::mysql;

[[noreturn]] void die(const std::string& why) {
  std::cerr << why << std::endl;
  std::exit(1);
}

void send_all(int fd, const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t now = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) return;  // whoever reads will see it
    sent += static_cast<std::size_t>(now);
  }
}

void flush(int fd, session::Output& output) {
  std::string bytes;
  output.append_to(bytes, 0);
  output.clear();
  if (!bytes.empty()) send_all(fd, bytes);
}

bool receive(int fd, std::string& bytes) {
  char chunk[16384];
  const ssize_t got = ::recv(fd, chunk, sizeof chunk, 0);
  if (got <= 0) return false;
  bytes.append(chunk, static_cast<std::size_t>(got));
  return true;
}

void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

struct Client;

struct Server {
  int fd = -1;
  std::string in;
  std::unique_ptr<ServerSession> session;
  Client* client = nullptr;
  enum { kNone, kRollBack, kReset, kStart } cleaning = kNone;
};

struct Client {
  int fd = -1;
  std::string in;
  std::unique_ptr<ClientLogin> login;
  std::unique_ptr<ClientSession> session;
  Server* server = nullptr;
  bool over = false;
};

class Relay {
 public:
  Relay(const char* host, std::uint16_t port, std::string user, Secret password)
      : host_(host), port_(port), user_(std::move(user)), password_(std::move(password)) {
    idle_.push_back(open());
  }

  void serve(std::uint16_t port) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 64) != 0)
      die("cannot listen");
    for (;;) {
      std::vector<pollfd> polled = {{listener, POLLIN, 0}};
      for (const auto& server : servers_) polled.push_back({server->fd, POLLIN, 0});
      const std::size_t first_client = polled.size();
      for (const auto& client : clients_) polled.push_back({client->fd, POLLIN, 0});
      if (::poll(polled.data(), polled.size(), -1) < 0) die("poll");
      std::vector<Server*> servers;
      std::vector<Client*> clients;
      std::size_t at = 1;
      for (const auto& server : servers_)
        if (polled[at++].revents != 0) servers.push_back(server.get());
      at = first_client;
      for (const auto& client : clients_)
        if (polled[at++].revents != 0) clients.push_back(client.get());
      for (Server* server : servers) from_server(*server);
      for (Client* client : clients) from_client(*client);
      if (polled[0].revents != 0) accept(listener);
      clients_.remove_if([](const auto& client) { return client->over; });
    }
  }

 private:
  Server* open() {
    auto server = std::make_unique<Server>();
    server->fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    ::inet_pton(AF_INET, host_, &address.sin_addr);
    if (::connect(server->fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("cannot connect");
    no_delay(server->fd);
    backend::mysql::LoginOptions options;
    options.user = user_;
    options.password = password_;
    options.tls = config::TlsMode::kDisable;
    options.capabilities = wire::kPoolFlags & ~(wire::client::kInteractive | wire::client::kIgnoreSpace |
                                                wire::client::kFoundRows | wire::client::kExpiredPasswords);
    backend::mysql::Login login(options);
    std::string out;
    using backend::mysql::Want;
    for (Want want = login.start(out); want != Want::kDone;) {
      if (!receive(server->fd, server->in)) die("the server closed during log-in");
      std::size_t consumed = 0;
      want = login.feed(server->in, consumed, out);
      server->in.erase(0, consumed);
      send_all(server->fd, out);
      out.clear();
      if (want == Want::kFailed) die("log-in: " + login.failure().message);
    }
    greeting_ = login.greeting();
    if (servers_.empty()) read_hazards(*server, login.capabilities());
    server->session =
        std::make_unique<ServerSession>(interner_, interner_.intern("", *variables_of_collation(options.collation)),
                                        login.capabilities(), login.greeting().mariadb());
    session::Output first;
    server->session->start(first);
    flush(server->fd, first);
    while (!server->session->quiet()) {
      if (!receive(server->fd, server->in)) die("the server closed at the start");
      take(*server);
    }
    server->session->set_base();
    for (const char* name : {"sql_mode", "autocommit", "time_zone"})
      if (server->session->base().find(name) == nullptr) die(std::string("not told at the start: ") + name);
    servers_.push_back(std::move(server));
    std::cout << "opened " << servers_.size() << std::endl;
    return servers_.back().get();
  }

  void read_hazards(Server& server, std::uint32_t capabilities) {
    std::string question;
    wire::query(question, capabilities, kHazardSources);
    send_all(server.fd, question);
    for (wire::ResultScanner scanner(wire::Answer::kResults, capabilities); !scanner.done();) {
      const wire::Frame frame = wire::scan_frame(server.in);
      if (!frame.known || server.in.size() < frame.size()) {
        if (!receive(server.fd, server.in)) die("the server closed");
        continue;
      }
      const std::string_view payload = std::string_view(server.in).substr(wire::kHeaderSize, frame.length);
      const wire::PacketKind kind = scanner.take(frame, payload);
      if (kind == wire::PacketKind::kError || kind == wire::PacketKind::kBroken) die("no hazards");
      if (kind == wire::PacketKind::kRow) {
        wire::Reader row(payload);
        const std::string_view name = row.lenenc_bytes();
        hazards_.add(name, row.nullable_bytes().value_or(""));
      }
      server.in.erase(0, frame.size());
    }
    hazards_.settle();
  }

  ServerVerdict take(Server& server) {
    session::Output out;
    std::size_t consumed = 0;
    Client* client = server.client;
    const ServerVerdict verdict =
        server.session->feed(server.in, consumed, client ? client->session.get() : nullptr, out);
    if (client) flush(client->fd, out);
    server.in.erase(0, consumed);
    if (verdict == ServerVerdict::kReplayFailed) die("replay failed: " + server.session->replay_error());
    if (verdict == ServerVerdict::kProtocolError)
      die("the server broke the protocol: " + server.session->hidden_error());
    return verdict;
  }

  void from_server(Server& server) {
    if (!receive(server.fd, server.in)) die("the server closed");
    if (take(server) != ServerVerdict::kReady) return;
    if (server.cleaning != Server::kNone) return clean(server);
    if (server.client != nullptr) pump(*server.client);
  }

  void give_back(Server& server) {
    idle_.push_back(&server);
    while (!waiting_.empty() && !idle_.empty()) {
      Client* next = waiting_.front();
      waiting_.pop_front();
      pump(*next);
    }
  }

  // Of a client that has gone.
  void clean(Server& server) {
    session::Output out;
    if (!server.session->quiet()) {
      server.session->finish_sequence(out);
    } else if (server.cleaning == Server::kRollBack && server.session->in_transaction()) {
      server.session->query("ROLLBACK", out);
      server.cleaning = Server::kReset;
    } else if (server.cleaning == Server::kRollBack || server.cleaning == Server::kReset) {
      server.session->reset(out);
      server.cleaning = Server::kStart;
    } else if (server.session->needs_start()) {
      server.session->start(out);
    } else {
      server.cleaning = Server::kNone;
      return give_back(server);
    }
    flush(server.fd, out);
  }

  void close(Client& client) {
    ::close(client.fd);
    client.over = true;
    std::erase(waiting_, &client);
    if (Server* server = client.server) {
      client.server = nullptr;
      server->client = nullptr;
      server->session->forget_client();
      server->cleaning = Server::kRollBack;
      clean(*server);
    }
  }

  void accept(int listener) {
    auto client = std::make_unique<Client>();
    client->fd = ::accept(listener, nullptr, nullptr);
    if (client->fd < 0) return;
    no_delay(client->fd);
    LoginPolicy policy;
    policy.server = greeting_;
    policy.connection_id = ++connections_;
    policy.random = auth::system_random();
    policy.find = [this](std::string_view name) -> std::optional<Credential> {
      if (name != user_) return std::nullopt;
      config::User user;
      user.name = user_;
      user.password = password_;
      user.client_password_auth_type = config::PasswordAuthType::kMysqlCachingSha2Password;
      return Credential{std::make_shared<const config::User>(user)};
    };
    client->login = std::make_unique<ClientLogin>(policy);
    std::string out;
    client->login->begin(out);
    send_all(client->fd, out);
    clients_.push_back(std::move(client));
  }

  void from_client(Client& client) {
    if (client.over) return;
    if (!receive(client.fd, client.in)) return close(client);
    if (!client.session) {
      std::string out;
      std::size_t consumed = 0;
      const ClientLogin::Want want = client.login->feed(client.in, consumed, out);
      client.in.erase(0, consumed);
      if (want == ClientLogin::Want::kAuthenticated) {
        client.login->finish(out);
        const auto variables = variables_of_collation(client.login->collation());
        if (!variables) die("a collation that is not known");
        client.session =
            std::make_unique<ClientSession>(cache_, interner_, interner_.intern(client.login->schema(), *variables),
                                            client.login->capabilities(), ++serials_);
      }
      send_all(client.fd, out);
      if (want == ClientLogin::Want::kRefuse || want == ClientLogin::Want::kStartTls) return close(client);
      if (!client.session) return;
    }
    pump(client);
  }

  void pump(Client& client) {
    for (;;) {
      session::Output to_server, to_client;
      std::size_t consumed = 0;
      const ClientVerdict verdict =
          client.session->feed(client.in, consumed, client.server ? client.server->session.get() : nullptr, to_server,
                               to_client, {0, &hazards_});
      if (client.server) flush(client.server->fd, to_server);
      if (const auto kill = client.session->take_kill())
        client.session->answer_kill(wire::error::kNoSuchThread, to_client);
      flush(client.fd, to_client);
      client.in.erase(0, consumed);
      switch (verdict) {
        case ClientVerdict::kNeedServer:
          if (std::find(waiting_.begin(), waiting_.end(), &client) != waiting_.end()) return;
          client.server = idle_.empty() ? open() : idle_.front();
          if (!idle_.empty()) idle_.pop_front();
          client.server->client = &client;
          continue;
        case ClientVerdict::kTerminate:
          return close(client);
        case ClientVerdict::kRefuse:
          send_all(client.fd, client.session->error());
          return close(client);
        case ClientVerdict::kChangeUser:
          return close(client);  // nobody here asks for it
        default:
          break;
      }
      if (client.server && client.server->session->quiet() && client.session->can_release(*client.server->session)) {
        Server& server = *client.server;
        client.session->detaching(*server.session);
        client.server = nullptr;
        server.client = nullptr;
        give_back(server);
      }
      return;
    }
  }

  const char* host_;
  std::uint16_t port_;
  std::string user_;
  Secret password_;
  wire::Greeting greeting_;
  SettingsInterner interner_;
  StatementCache cache_;
  HazardNames hazards_;
  std::list<std::unique_ptr<Server>> servers_;
  std::list<std::unique_ptr<Client>> clients_;
  std::deque<Server*> idle_;
  std::deque<Client*> waiting_;
  std::uint32_t connections_ = 0;
  std::uint64_t serials_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) return 2;
  std::signal(SIGPIPE, SIG_IGN);
  std::string password;
  std::getline(std::cin, password);
  Relay relay(arguments[1], static_cast<std::uint16_t>(std::atoi(arguments[2])), arguments[3], Secret(password));
  std::cout << "ready" << std::endl;
  relay.serve(static_cast<std::uint16_t>(std::atoi(arguments[4])));
}
