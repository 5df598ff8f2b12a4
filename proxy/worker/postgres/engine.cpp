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
    const auto keys_of = [&](const std::string& name, const Secret& password) -> Known& {
      Known& known = known_[snapshot.name_space + "/" + snapshot.name + "/" + name];
      if (known.keys.current.iterations == 0 || !(known.password == password)) {
        std::string salt(16, '\0');
        random({reinterpret_cast<std::uint8_t*>(salt.data()), salt.size()});
        known.keys = {auth::derive_scram_keys(password, salt, auth::kDefaultScramIterations), {}};
        known.password = password;
      }
      return known;
    };
    for (const auto& user : snapshot.users) {
      Known& known = keys_of(user.name, user.password);
      const bool takes_previous = user.previous_until != WallTime{} && !user.previous_password.empty();
      if (!takes_previous || !user.previous_name.empty()) {
        known.keys.previous = {};
      } else if (known.keys.previous.iterations == 0 || !(known.previous_password == user.previous_password)) {
        const auth::ScramKeys& current = known.keys.current;
        known.keys.previous = auth::derive_scram_keys(user.previous_password, current.salt, current.iterations);
        known.previous_password = user.previous_password;
      }
      keys->emplace(user.name, known.keys);
    }
    // A name that is another user's now is that user.
    for (const auto& user : snapshot.users) {
      if (user.previous_until == WallTime{} || user.previous_name.empty() || keys->contains(user.previous_name))
        continue;
      keys->emplace(user.previous_name, keys_of(user.previous_name, user.previous_password).keys);
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
    Secret password, previous_password;
    LoginKeys keys;
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
