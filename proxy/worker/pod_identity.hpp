// Where a client stands, for clientAuth: PodIdentity. Any thread.
#pragma once

#include "proxy/config/snapshot.hpp"
#include "proxy/session/login_result.hpp"

namespace dbproxy::worker {

// On the Unix socket the kernel says which user it is (SO_PEERCRED): one of podIdentityUids, where there are any, and
// otherwise everybody; with `own_user_only` none but those, our own user and root. Over TCP only from loopback, and
// only where loopback_tcp is on.
session::PodIdentity pod_identity(const config::Snapshot& snapshot, bool own_user_only, bool unix_socket, int fd);

}  // namespace dbproxy::worker
