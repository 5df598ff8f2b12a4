// bench_relay: the floor of the benchmarks. A TCP relay that knows no protocol: one thread, one edge-triggered epoll,
// one server connection per client, and nothing but recv and send. What a proxy costs above this is its own.
//
//   bench_relay LISTEN_PORT SERVER_ADDRESS SERVER_PORT        (IPv4 only; ends on SIGTERM)
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

namespace {

struct Pair;

// One direction ends here: bytes read from `socket` go to `other->socket`; what did not fit waits in `unsent`.
struct End {
  int socket = -1;
  End* other = nullptr;
  Pair* pair = nullptr;
  std::string unsent;     // read from the other end, not yet taken by this socket
  bool readable = false;  // an edge came and has not been used up, because the other end was full
};

struct Pair {
  End client, server;
  bool closed = false;
};

std::array<char, 64 * 1024> scratch;

// False when the pair has to go: end of stream or an error on either socket.
bool pump(End& from) {
  End& to = *from.other;
  while (to.unsent.empty()) {
    const ssize_t got = ::recv(from.socket, scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      from.readable = false;
      return true;
    }
    if (got <= 0) return false;
    ssize_t sent = ::send(to.socket, scratch.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno != EAGAIN) return false;
      sent = 0;
    }
    if (sent < got) to.unsent.assign(scratch.data() + sent, static_cast<std::size_t>(got - sent));
    // A stream socket that returned less than was asked for is drained (epoll(7)): no second recv to see EAGAIN.
    if (static_cast<std::size_t>(got) < scratch.size()) {
      from.readable = false;
      return true;
    }
  }
  return true;
}

bool flush(End& to) {
  if (to.unsent.empty()) return true;
  const ssize_t sent = ::send(to.socket, to.unsent.data(), to.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return errno == EAGAIN;
  to.unsent.erase(0, static_cast<std::size_t>(sent));
  return !to.unsent.empty() || !to.other->readable || pump(*to.other);
}

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void add(int epoll, int socket, End* end) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = end;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) != 0) fail("epoll_ctl");
}

void accept_all(int epoll, int listener, const sockaddr_in& server) {
  const int on = 1;
  for (;;) {
    const int client = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) return;
    // A blocking connect is at once on loopback; MSG_DONTWAIT below keeps this socket from blocking later.
    const int upstream = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (upstream < 0 || ::connect(upstream, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) {
      if (upstream >= 0) ::close(upstream);
      ::close(client);
      continue;
    }
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(upstream, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto* pair = new Pair;
    pair->client = {client, &pair->server, pair, {}, false};
    pair->server = {upstream, &pair->client, pair, {}, false};
    add(epoll, client, &pair->client);
    add(epoll, upstream, &pair->server);
  }
}

sockaddr_in address_of(const char* host, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(port)));
  if (::inet_pton(AF_INET, host, &address.sin_addr) != 1) fail("inet_pton");
  return address;
}

int listen_on(const char* port) {
  const int on = 1;
  const sockaddr_in address = address_of("127.0.0.1", port);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0) fail("socket");
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind");
  if (::listen(listener, 4096) != 0) fail("listen");
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_relay LISTEN_PORT SERVER_ADDRESS SERVER_PORT\n");
    return 2;
  }
  const int listener = listen_on(argv[1]);
  const sockaddr_in server = address_of(argv[2], argv[3]);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1");
  add(epoll, listener, nullptr);

  std::array<epoll_event, 256> events{};
  std::vector<Pair*> dead;
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
      auto* end = static_cast<End*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (end == nullptr) {
        accept_all(epoll, listener, server);
        continue;
      }
      if (end->pair->closed) continue;
      const std::uint32_t what = events[static_cast<std::size_t>(i)].events;
      bool alive = true;
      if ((what & EPOLLOUT) != 0) alive = flush(*end);
      if (alive && (what & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        end->readable = true;
        alive = pump(*end);
      }
      // Closed after a half-close with bytes unread: pump stops at one recv, so a hang-up is looked at once more.
      if (alive && (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && end->other->unsent.empty()) alive = pump(*end);
      if (!alive) {
        end->pair->closed = true;
        dead.push_back(end->pair);
      }
    }
    // Only now: a later event of the same batch may have named the other end of a pair that is gone.
    for (Pair* pair : dead) {
      ::close(pair->client.socket);
      ::close(pair->server.socket);
      delete pair;
    }
    dead.clear();
  }
}
