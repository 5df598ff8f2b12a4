#include "proxy/worker/side_connection.hpp"

namespace dbproxy::worker {

namespace {

constexpr auto kLongest = std::chrono::seconds(5);

}  // namespace

SideConnection::SideConnection(Context& context, CancelDone done)
    : context_(context), done_(std::move(done)), deadline_([this] { fail(); }) {}

void SideConnection::open(std::unique_ptr<SideConnection> made, const net::Address* address) {
  auto& side = *made;
  auto& context = side.context_;
  context.cancels.emplace(&side, std::move(made));
  context.loop.arm(side.deadline_, kLongest);
  const int fd = address == nullptr ? -1 : net::begin_connect(*address);
  if (fd < 0) {
    context.loop.arm(side.deadline_, Duration::zero());
    return;
  }
  side.stream_ = net::Stream(fd);
  context.loop.watch(fd, side);
}

void SideConnection::on_event(std::uint32_t events) {
  if (over_) return;
  stream_.note(events);
  step();
}

void SideConnection::send_request(std::string_view bytes) {
  sent_ = true;
  if (stream_.write(bytes).status != net::IoStatus::kOk) finish();
}

void SideConnection::finish(CancelOutcome outcome) {
  if (over_) return;
  over_ = true;
  deadline_.disarm();
  if (stream_.open()) {
    context_.loop.unwatch(stream_.fd());
    stream_.close();
  }
  auto done = std::move(done_);
  context_.forget(*this);
  done(outcome);
}

}  // namespace dbproxy::worker
