// Parting: a connection that we have ended, until its server has ended it, too.
//
// A server closes when the session is gone, and not before: PostgreSQL leaves that to the end of the process. So long
// the session takes one of the server's connections. What still comes is thrown away. One thread.
#pragma once

#include <chrono>
#include <functional>

#include "proxy/net/loop.hpp"
#include "proxy/net/silence.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/worker/context.hpp"

namespace dbproxy::worker {

class Parting final : public net::Pollable {
 public:
  // The stream is not watched any more. `gone` is called once, from the loop. `silence`: after which a server that
  // acknowledges nothing counts as vanished, its sessions with it.
  static void start(Context& context, net::Stream stream, std::chrono::milliseconds silence,
                    std::function<void()> gone);

  void on_event(std::uint32_t events) override;

 private:
  Parting(Context& context, net::Stream stream, std::chrono::milliseconds silence, std::function<void()> gone);
  void check();
  void finish();

  Context& context_;
  net::Stream stream_;
  const std::chrono::milliseconds most_silence_;
  net::Silence silence_;
  std::function<void()> gone_;
  net::Timer checking_;
};

}  // namespace dbproxy::worker
