#include "proxy/session/credential.hpp"

namespace dbproxy::session {

std::optional<Credential> find_credential(const config::SnapshotPtr& snapshot, std::string_view name, WallTime now) {
  const config::User* const user = snapshot->find_user(name);
  if (user == nullptr) return std::nullopt;
  Credential out{std::shared_ptr<const config::User>(snapshot, user)};
  out.takes_previous = !user->previous_password.empty() && now < user->previous_until;
  const bool same_name = user->previous_name.empty() || user->previous_name == user->name;
  out.by_previous_name = user->name != name;
  if (out.by_previous_name && !out.takes_previous) return std::nullopt;  // its time is over
  if (!out.by_previous_name && !same_name) out.takes_previous = false;   // it is the other name's
  return out;
}

}  // namespace dbproxy::session
