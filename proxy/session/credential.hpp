// Credential: what a client that names a user has to prove that it knows.
//
// The user's password; for spec.credentialGraceSeconds after a rotation the one from before it too, and the name from
// before it where the rotation has changed both. Plain data, and pure look-ups; any thread.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::session {

struct Credential {
  std::shared_ptr<const config::User> user;  // keeps its snapshot alive
  bool takes_previous = false;               // the previous password is good as well
  bool by_previous_name = false;             // and for this name nothing else is

  const Secret& password() const { return by_previous_name ? user->previous_password : user->password; }
  // A second password that is good; null: there is none.
  const Secret* other_password() const {
    return takes_previous && !by_previous_name ? &user->previous_password : nullptr;
  }
};

std::optional<Credential> find_credential(const config::SnapshotPtr& snapshot, std::string_view name, WallTime now);

}  // namespace dbproxy::session
