#include "proxy/worker/postgres/shared.hpp"

#include <charconv>

namespace dbproxy::worker::postgres {

session::postgres::CancelKey Shared::new_cancel_key(Client& client, bool long_key, const Context& context) {
  while (true) {
    auto key = session::postgres::make_cancel_key(context.worker, long_key, context.random);
    if (clients_by_id.emplace(key.process_id(), &client).second) return key;
  }
}

void TargetSide::learn_version(const wire::postgres::Parameters& greeting) {
  for (const auto& [name, value] : greeting) {
    if (name == "server_version") std::from_chars(value.data(), value.data() + value.size(), major_version_);
  }
}

}  // namespace dbproxy::worker::postgres
