#include "proxy/worker/parting.hpp"

#include <cerrno>
#include <sys/socket.h>

namespace dbproxy::worker {

Parting::Parting(Context& context, net::Stream stream, std::chrono::milliseconds silence, std::function<void()> gone)
    : context_(context), stream_(std::move(stream)), most_silence_(silence), gone_(std::move(gone)), checking_([this] {
        check();
      }) {}

void Parting::start(Context& context, net::Stream stream, std::chrono::milliseconds silence,
                    std::function<void()> gone) {
  auto* const made = new Parting(context, std::move(stream), silence, std::move(gone));
  context.cancels.emplace(made, std::unique_ptr<net::Pollable>(made));
  made->stream_.end_writing();
  context.loop.arm(made->checking_, silence / 3);
  context.loop.watch(made->stream_.fd(), *made);
}

// Past TLS: all that matters is the end.
void Parting::on_event(std::uint32_t) {
  char drop[4096];
  while (stream_.open()) {
    const ssize_t got = ::recv(stream_.fd(), drop, sizeof drop, MSG_DONTWAIT);
    if (got > 0 || (got < 0 && errno == EINTR)) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    finish();
  }
}

void Parting::check() {
  const auto look = net::Silence::look(stream_.fd());
  if (look && silence_.exceeds(most_silence_, context_.loop.now(), *look)) return finish();
  context_.loop.arm(checking_, most_silence_ / 3);
}

void Parting::finish() {
  if (!stream_.open()) return;
  checking_.disarm();
  context_.loop.unwatch(stream_.fd());
  stream_.close();
  const auto gone = std::move(gone_);
  context_.forget(*this);
  gone();
}

}  // namespace dbproxy::worker
