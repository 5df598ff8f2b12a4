// SideConnection: a connection to a server that stands beside the pool for one request, as a cancel does, and then
// tells how it went. Owned by its worker's context from open() on; one thread, that of the worker's loop.
#pragma once

#include <memory>
#include <string_view>

#include "proxy/net/loop.hpp"
#include "proxy/net/socket.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/protocol.hpp"

namespace dbproxy::worker {

class SideConnection : public net::Pollable {
 public:
  ~SideConnection() override = default;
  void on_event(std::uint32_t events) override;

  // Begins to connect. At the latest after 5 s it is over, and at once (from the loop) where `address` is null or
  // cannot be connected to.
  static void open(std::unique_ptr<SideConnection> made, const net::Address* address);

 protected:
  // `done` is called at most once, whatever happens, unless the worker ends before.
  SideConnection(Context& context, CancelDone done);

  // What can be done now; after each event, until finish().
  virtual void step() = 0;
  // The request goes out: from here on nobody knows what has become of it until the server has answered.
  void send_request(std::string_view bytes);
  // Of a failure: kUnknown if the request may be on its way. `this` may be gone afterwards.
  void fail() { finish(sent_ ? CancelOutcome::kUnknown : CancelOutcome::kOver); }
  void finish(CancelOutcome outcome = CancelOutcome::kOver);

  net::Stream stream_;

 private:
  Context& context_;
  CancelDone done_;
  net::Timer deadline_;
  bool sent_ = false;
  bool over_ = false;
};

}  // namespace dbproxy::worker
