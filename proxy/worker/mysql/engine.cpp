#include "proxy/worker/mysql/engine.hpp"

#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::mysql {
namespace {

class MysqlEngine final : public Engine {
 public:
  config::EngineFamily family() const override { return config::EngineFamily::kMysql; }

  // A proof costs a few hashes: nothing is worth keeping.
  std::shared_ptr<const void> prepare(const config::Snapshot&) override { return nullptr; }

  std::unique_ptr<Runtime> make(Context& context, metrics::Registry& registry, Prepared prepared,
                                ObservationSink& sink) override {
    return std::make_unique<Proxy>(context, registry, std::move(prepared), sink, shared_);
  }

  std::string no_configuration() const override {
    return Protocol::error(
        Trouble::kUnreachable, "the proxy has no configuration yet",
        "The operator has not been reached since this pod started; see the log of the container dbproxy.");
  }

 private:
  Shared shared_;  // of the worker
};

}  // namespace

std::unique_ptr<Engine> make_engine() {
  return std::make_unique<MysqlEngine>();
}

}  // namespace dbproxy::worker::mysql
