#include "proxy/worker/postgres/engine.hpp"

#include <map>
#include <mutex>

#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {
namespace {

class PostgresEngine final : public Engine {
 public:
  config::EngineFamily family() const override { return config::EngineFamily::kPostgresql; }

  // SCRAM keys, once for each password.
  std::shared_ptr<const void> prepare(const config::Snapshot& snapshot) override {
    auto keys = std::make_shared<UserKeys>();
    auto random = auth::system_random();
    std::lock_guard lock(mutex_);
    for (const auto& user : snapshot.users) {
      auto& known = known_[snapshot.name_space + "/" + snapshot.name + "/" + user.name];
      if (known.keys.iterations == 0 || !(known.password == user.password)) {
        std::string salt(16, '\0');
        random({reinterpret_cast<std::uint8_t*>(salt.data()), salt.size()});
        known.keys = auth::derive_scram_keys(user.password, salt, auth::kDefaultScramIterations);
        known.password = user.password;
      }
      keys->emplace(user.name, known.keys);
    }
    return keys;
  }

  std::unique_ptr<Runtime> make(Context& context, metrics::Registry& registry, Prepared prepared,
                                ObservationSink& sink) override {
    if (!shared_) shared_ = std::make_unique<Shared>(context.random);
    return std::make_unique<Proxy>(context, registry, std::move(prepared), sink, *shared_);
  }

  std::string no_configuration() const override {
    return Protocol::error(
        Trouble::kUnreachable, "the proxy has no configuration yet",
        "The operator has not been reached since this pod started; see the log of the container dbproxy.");
  }

 private:
  struct Known {
    Secret password;
    auth::ScramKeys keys;
  };
  std::mutex mutex_;
  std::map<std::string, Known> known_;  // guarded by mutex_
  std::unique_ptr<Shared> shared_;      // of the worker
};

}  // namespace

std::unique_ptr<Engine> make_engine() {
  return std::make_unique<PostgresEngine>();
}

}  // namespace dbproxy::worker::postgres
